"""Admission: how many connections, in all and of one client."""

from __future__ import annotations

from ipaddress import ip_address

from mta.protocol.replies import TOO_MANY_CONNECTIONS
from mta.server.listener import Admission

A, B = ip_address("192.0.2.1"), ip_address("192.0.2.2")


def admission(limit: int, per_client: int) -> Admission:
    made = Admission()
    made.limit, made.per_client = limit, per_client
    return made


def test_one_client_gets_its_own_number_of_places_and_no_more() -> None:
    door = admission(limit=100, per_client=2)
    assert [door.admit(A, trusted=False) for _ in range(3)] == [None, None, TOO_MANY_CONNECTIONS]
    assert door.admit(B, trusted=False) is None
    door.leave(A)
    assert door.admit(A, trusted=False) is None


def test_trusted_clients_have_no_limit_of_their_own() -> None:
    door = admission(limit=100, per_client=1)
    assert [door.admit(A, trusted=True) for _ in range(5)] == [None] * 5


def test_the_last_places_are_kept_for_trusted_clients() -> None:
    door = admission(limit=20, per_client=100)
    assert [door.admit(A, trusted=False) for _ in range(20)] == [None] * 19 + [TOO_MANY_CONNECTIONS]
    assert door.admit(A, trusted=True) is None
    assert door.admit(A, trusted=True) == TOO_MANY_CONNECTIONS


def test_an_ipv6_customer_is_one_client_whatever_address_it_takes() -> None:
    door = admission(limit=100, per_client=1)
    assert door.admit(ip_address("2001:db8::1"), trusted=False) is None
    assert door.admit(ip_address("2001:db8::2"), trusted=False) == TOO_MANY_CONNECTIONS
    assert door.admit(ip_address("2001:db8:0:1::2"), trusted=False) is None
    assert door.admit(A, trusted=False) is None


def test_nothing_is_remembered_of_clients_that_left() -> None:
    door = admission(limit=100, per_client=5)
    for _ in range(3):
        door.admit(A, trusted=False)
        door.leave(A)
    assert door.current == 0
    assert not door._by_client
