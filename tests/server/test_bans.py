"""Bans at the door: who is banned is told so when connecting, from within a second of the order on."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.directory import Directory
from tests.server.receiver import House

HERE = ip_address("127.0.0.1")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture
def operator(house: House) -> Accounts:
    """Another process."""
    return Accounts(Database(f"sqlite:///{house.folder}/users.db"))


def is_refused(house: House) -> bool:
    client = house.connect()
    refused = client.expect(b"").startswith(b"554 5.7.1 ")
    client.close()
    return refused


def bans(house: House) -> Directory:
    assert house.receiver._desk is not None
    return house.receiver._desk.directory


@pytest.mark.parametrize("subject", ["127.0.0.1", "127.0.0.0/8", "0.0.0.0/0"])
def test_who_is_banned_is_refused(house: House, operator: Accounts, subject: str) -> None:
    guest = house.client()
    operator.add_ban(subject, None)
    house.until(lambda: bans(house).ban_of(HERE))
    assert is_refused(house)
    assert house.records("refused")[0].text("reply").startswith("554 5.7.1")
    guest.say(b"NOOP\r\n", b"250 ")  # who was here before may stay
    operator.delete_ban(subject)
    house.until(lambda: not bans(house).ban_of(HERE))
    assert not is_refused(house)


def test_the_others_are_served(house: House, operator: Accounts) -> None:
    for subject, until in (("192.0.2.0/24", None), ("::/0", None), ("127.0.0.2", None), ("127.0.0.1", 1)):
        operator.add_ban(subject, until)
    house.until(lambda: bans(house).ban_of(ip_address("127.0.0.2")))
    assert not is_refused(house)
