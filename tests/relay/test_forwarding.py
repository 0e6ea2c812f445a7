"""Forwarded copies: who is reached by an alias gets a transaction with a return address of its own, and says
on top whose it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.store import Domain, Recipient
from tests.protocol.exchanger import Does
from tests.relay.office import TEXT, Office, Site

RETURN = "SRS0=AAAAAAAA=BB=client.example=s@example.org"
FIRST = b"Delivered-To: first@example.org\r\n"
SECOND = b"Delivered-To: second@example.org\r\n"


def forwarded(address: str, via: str) -> Recipient:
    return Recipient(address, Domain(address.partition("@")[2]), reverse_path=RETURN, via=via)


DIRECT = Recipient("direct@b.example", Domain("b.example"))
MEMBERS = (
    DIRECT,
    forwarded("one@b.example", "first@example.org"),
    forwarded("two@b.example", "second@example.org"),
    forwarded("three@b.example", "first@example.org"),
)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


def transactions(site: Site) -> list[list[bytes]]:
    """The commands of each mail, in order."""
    found: list[list[bytes]] = []
    for line in (line for each in site.exchangers for line in each.heard):
        if line.startswith(b"MAIL"):
            found.append([])
        if line.startswith((b"MAIL", b"RCPT")):
            found[-1].append(line.partition(b"<")[2].partition(b">")[0])
    return found


def test_each_way_to_be_reached_is_a_transaction_of_its_own(office: Office) -> None:
    site = office.picky_site({})
    office.accept(*MEMBERS)
    office.route("b.example", site)
    office.until(lambda: not office.names("b.example"))
    assert transactions(site) == [
        [b"s@client.example", b"direct@b.example"],
        [RETURN.encode(), b"one@b.example", b"three@b.example"],
        [RETURN.encode(), b"two@b.example"],
    ]
    assert site.texts == [TEXT, FIRST + TEXT, SECOND + TEXT]
    assert len(office.records("delivered")) == 4


def test_a_large_letter_says_it_on_top_too(office: Office) -> None:
    text = TEXT + b"y" * 300_000 + b"\r\n"
    site = office.site()
    office.accept(forwarded("one@b.example", "first@example.org"), DIRECT, text=text)
    office.route("b.example", site)
    office.until(lambda: not office.names("b.example"))
    assert site.texts == [text, FIRST + text]


def test_what_becomes_of_one_way_is_kept_while_the_others_are_tried(office: Office) -> None:
    site = office.picky_site({"one@b.example": "waiting", "two@b.example": "failed"})
    letter = office.accept(*MEMBERS)
    office.route("b.example", site)
    office.until(lambda: office.is_quiet and office.records("deferred"))
    standings = office.status("b.example", letter).recipients
    assert {address: str(each.state.value) for address, each in standings.items()} == {
        "direct@b.example": "delivered", "one@b.example": "waiting", "three@b.example": "delivered",
        "two@b.example": "failed",
    }  # fmt: skip


def test_a_connection_lost_between_two_ways_repeats_neither(office: Office) -> None:
    site = office.site(MAIL=[None, Does.CLOSE])
    office.accept(*MEMBERS)
    office.route("b.example", site, more=('relay.retry=["1s"]',))
    office.until(lambda: not office.names("b.example"))
    assert sorted(site.texts) == sorted([TEXT, FIRST + TEXT, SECOND + TEXT])


def test_a_failure_is_reported_to_the_sender_and_not_to_ourselves(office: Office) -> None:
    there, home = office.picky_site({"one@b.example": "failed"}), office.site()
    office.accept(forwarded("one@b.example", "first@example.org"))
    routes = [f'"b.example smtp://127.0.0.1:{there.port}"', f'"client.example smtp://127.0.0.1:{home.port}"']
    office.configure(f"relay.routes=[ {', '.join(routes)} ]")
    office.until(lambda: home.texts)
    assert transactions(home) == [[b"", b"s@client.example"]]
