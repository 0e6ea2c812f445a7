"""Listeners: all or nothing, and an address that changes its service."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from mta.daemon.errors import CannotStart
from mta.daemon.listeners import Listeners, bind


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    some = Listeners()
    yield some
    some.change([])


def test_port_0_becomes_a_real_one(listeners: Listeners) -> None:
    listeners.change([("smtp", "127.0.0.1:0")])
    [bound] = listeners.bound()
    assert (bound["service"], bound["address"]) == ("smtp", "127.0.0.1:0")
    assert int(bound["bound"].rpartition(":")[2]) > 0


def test_one_that_cannot_be_bound_changes_nothing(listeners: Listeners) -> None:
    listeners.change([("smtp", "127.0.0.1:0")])
    before = dict(listeners.sockets)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(CannotStart, match="Address already in use") as refusal:
            listeners.change([("pop3", "127.0.0.1:0"), ("control", taken)])
    assert refusal.value.status == 75
    assert listeners.sockets == before
    assert before["smtp", "127.0.0.1:0"].fileno() > 0


def test_an_address_that_moves_to_another_service_keeps_its_socket(listeners: Listeners) -> None:
    listeners.change([("smtp", "127.0.0.1:0")])
    [bound] = listeners.bound()
    address = bound["bound"]
    listeners.change([])
    listeners.change([("smtp", address)])
    before = listeners.sockets["smtp", address]
    listeners.change([("submission", address)])
    assert listeners.sockets == {("submission", address): before}
    assert before.fileno() > 0


def test_what_is_no_longer_wanted_is_closed(listeners: Listeners) -> None:
    listeners.change([("smtp", "127.0.0.1:0")])
    closed = listeners.sockets["smtp", "127.0.0.1:0"]
    listeners.change([])
    assert closed.fileno() == -1


def test_an_address_of_another_machine() -> None:
    with pytest.raises(CannotStart, match=r"smtp\.listen: 192\.0\.2\.1:25: ") as refusal:
        bind(("smtp", "192.0.2.1:25"))
    assert refusal.value.status == 75


def test_datagrams_and_streams_share_a_port(listeners: Listeners) -> None:
    listeners.change([("smtp", "127.0.0.1:0")])
    address = listeners.bound()[0]["bound"]
    listeners.change([])
    listeners.change([("smtp", address), ("datagram", address)])
    assert [each.type for each in listeners.sockets.values()] == [socket.SOCK_STREAM, socket.SOCK_DGRAM]


def test_version_6_is_a_listener_of_its_own(listeners: Listeners) -> None:
    listeners.change([("smtp", "[::1]:0")])
    assert listeners.bound()[0]["bound"].startswith("[::1]:")
