"""What the receiver leaves for the relay when a sender wants to hear of success (RFC 3461 4.1, 5.2.7.3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.store import CONFIRMATIONS, BrokenLetter, Entry, OpenLetter, Store
from mta.users.accounts import Accounts
from mta.users.database import Database
from tests.server.receiver import House

FOLDER = f".OTHER_SERVERS/{CONFIRMATIONS.name}"
TEXT = b"Subject: tidings\r\n\r\ntext\r\n"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def deliver(house: House, *recipients: bytes, sender: bytes = b"s@client.example") -> None:
    client = house.client()
    client.say(b"EHLO client.example\r\n", b"250-")
    client.say(b"MAIL FROM:<%b>\r\n" % sender, b"250 ")
    for recipient in recipients:
        client.say(b"RCPT TO:%b\r\n" % recipient, b"250 ")
    client.say(b"DATA\r\n", b"354 ")
    client.say(TEXT + b".\r\n", b"250 ")


def letter(house: House) -> OpenLetter:
    """The one that waits for its confirmation."""
    house.until(lambda: house.files(FOLDER))
    [path] = house.files(FOLDER)
    store = Store(house.mail, host="mx.example.org", writer="test")
    [opened] = store.queue.open([Entry(CONFIRMATIONS.name, path.name)])
    store.close()
    assert not isinstance(opened, OSError | BrokenLetter)
    opened.close()
    return opened


def test_success_here_is_left_to_the_relay(house: House) -> None:
    deliver(house, b"<anna@example.org> NOTIFY=SUCCESS,FAILURE", b"<bob@example.org> NOTIFY=FAILURE")
    assert [recipient.address for recipient in letter(house).recipients] == ["anna@example.org"]
    house.until(lambda: house.files("anna/new") and house.files("bob/new"))


def test_success_elsewhere_is_for_the_letter_itself(house: House) -> None:
    deliver(house, b"<carl@other.example> NOTIFY=SUCCESS", b"<anna@example.org>")
    house.until(lambda: house.files(".OTHER_SERVERS/other.example") and house.files("anna/new"))
    assert house.files(FOLDER) == []


def test_null_senders_hear_nothing(house: House) -> None:
    deliver(house, b"<anna@example.org> NOTIFY=SUCCESS", sender=b"")
    house.until(lambda: house.files("anna/new"))
    assert house.files(FOLDER) == []


def test_an_alias_for_several_is_expanded_and_its_copies_are_not_confirmed(house: House) -> None:
    database = Database(f"sqlite:///{house.folder}/users.db")
    Accounts(database).add_alias("team", "example.org", ["anna@example.org", "bob@other.example"])
    database.close()
    deliver(house, b"<team@example.org> NOTIFY=SUCCESS")
    opened = letter(house)
    assert [recipient.address for recipient in opened.recipients] == ["team@example.org"]
    wishes = {recipient.address: recipient.notify for recipient in opened.envelope.recipients}
    assert wishes == {
        "team@example.org": "SUCCESS",
        "anna@example.org": "NEVER",
        "bob@other.example": "NEVER",
    }


def test_nobody_writes_to_that_folder_from_outside(house: House) -> None:
    client = house.client()
    client.say(b"EHLO client.example\r\n", b"250-")
    client.say(b"MAIL FROM:<s@client.example>\r\n", b"250 ")
    client.say(b"RCPT TO:<x@%b>\r\n" % CONFIRMATIONS.name.encode(), b"550 5.1.2")
