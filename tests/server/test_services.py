"""The services: what is configured is served, by whom it is said to be, and counted."""

from __future__ import annotations

import select
import socket
from pathlib import Path

import pytest

from mta import counters
from mta.config.rules import LISTENERS
from mta.daemon.start import RECEIVER, WORKERS, served
from mta.protocol.replies import BANNED, TOO_MANY_CONNECTIONS
from mta.server.services import SERVICES
from tests.server.receiver import House


def test_the_supervisor_gives_the_receiver_the_listeners_that_it_serves() -> None:
    assert RECEIVER.services == SERVICES.keys()


def test_somebody_answers_at_every_listener_that_can_be_configured() -> None:
    assert served(WORKERS) == set(LISTENERS)


def test_what_a_client_reads_that_is_not_let_in() -> None:
    banned = {name: service.refuse(BANNED) for name, service in SERVICES.items()}
    assert banned.pop("submissions") == banned.pop("pop3s") == b""  # it waits for TLS and would read garbage
    assert banned["management"] == b"-ERR NOT PERMITTED\r\n"
    assert all(text.endswith(b"\r\n") for text in banned.values())
    assert SERVICES["management"].refuse(TOO_MANY_CONNECTIONS) == b"-ERR TOO MANY CONNECTIONS\r\n"


def test_the_connections_of_every_service_are_counted() -> None:
    assert set(counters.SERVICES) == SERVICES.keys()
    assert set(counters.MAIL_SERVICES) <= SERVICES.keys()


@pytest.mark.parametrize("service", ["submissions", "pop3s"])
def test_without_a_certificate_nothing_is_said_in_clear_where_tls_comes_first(
    tmp_path: Path, service: str
) -> None:
    house = House(tmp_path, service=service)
    with socket.create_connection(house.listener.getsockname()) as client:
        house.until(lambda: select.select([client], [], [], 0)[0])
        assert client.recv(1) == b""
    house.close()
