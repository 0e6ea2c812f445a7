"""XSTAT against the receiver: the sentences of its contract, and what they count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.receiver import Client, House

TEXT = b"Subject: x\r\n\r\nhello\r\n"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture
def client(house: House) -> Iterator[Client]:
    made = house.client()
    yield made
    made.close()


def statistics(client: Client) -> tuple[bytes, ...]:
    return tuple(
        client.say(b"XSTAT %b\r\n" % name, b"250 ") for name in (b"TOTAL", b"CURRENT", b"BYTES", b"MAILS")
    )


def test_the_four_sentences(house: House, client: Client) -> None:
    client.deliver(TEXT, b"a@example.org", b"b@other.example")
    assert statistics(client) == (
        b"250 total connections: 1",
        b"250 current connections: 1",
        b"250 total bytes of data transferred: %d" % len(TEXT),
        b"250 total mails sent: 1",
    )


def test_in_the_middle_of_a_transaction(client: Client) -> None:
    client.envelope(b"a@example.org")
    assert statistics(client)[3] == b"250 total mails sent: 0"
    client.say(b"DATA\r\n", b"354 ")
    client.say(TEXT + b".\r\n", b"250 ")
    assert statistics(client)[3] == b"250 total mails sent: 1"


@pytest.mark.parametrize("quits", [True, False])
def test_a_second_connection_is_counted_and_discounted_however_it_ends(
    house: House, client: Client, quits: bool
) -> None:
    second = house.client()
    assert statistics(client)[:2] == (b"250 total connections: 2", b"250 current connections: 2")
    if quits:
        second.say(b"QUIT\r\n", b"221 ")
    second.close()
    house.until(lambda: house.records("closed"))
    assert statistics(client)[:2] == (b"250 total connections: 2", b"250 current connections: 1")


def test_strangers_are_told_nothing(house: House) -> None:
    house.configure('relay.from=["192.0.2.1"]')
    stranger = house.client()
    stranger.say(b"XSTAT TOTAL\r\n", b"500 5.5.1 unknown command")
