"""Reports on success here (RFC 3461 5.2.7, 6.2.5): one for each message, if its sender asked for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta import hints
from mta.store import CONFIRMATIONS, Mailbox, Recipient
from tests.relay.office import TEXT, Office
from tests.relay.reports import parse

FOLDER = CONFIRMATIONS.name
ANNA = Recipient("anna@example.org", Mailbox("anna"), "SUCCESS")
BOB = Recipient("bob@example.org", Mailbox("bob"), "FAILURE")
TEAM = Recipient("team@example.org", CONFIRMATIONS, "SUCCESS,FAILURE", "rfc822;team@example.org")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


def told(report: bytes) -> list[tuple[str, str]]:
    """Recipients and actions in a report."""
    fields = [line.partition(b": ") for line in report.splitlines()]
    values = [value.decode() for name, _, value in fields if name in (b"Final-Recipient", b"Action")]
    return list(zip(values[::2], values[1::2], strict=True))


def test_success_in_a_mailbox_is_confirmed_once(office: Office) -> None:
    office.accept(ANNA, BOB, sender="carol@example.org")
    assert office.mailbox("anna") != []
    office.configure()
    office.until(lambda: office.mailbox("carol") and office.names(FOLDER) == [])
    [report] = office.mailbox("carol")
    assert told(report) == [("rfc822; anna@example.org", "delivered")]
    assert parse(report)["Auto-Submitted"] == "auto-replied"
    assert b"Return-Path: <>" in report


def test_an_alias_that_was_expanded_is_told_as_such(office: Office) -> None:
    office.accept(BOB, TEAM, sender="carol@example.org")
    office.configure()
    office.until(lambda: office.mailbox("carol") and office.names(FOLDER) == [])
    [report] = office.mailbox("carol")
    assert told(report) == [("rfc822; team@example.org", "expanded")]


def test_a_report_to_a_sender_elsewhere_is_sent_on(office: Office) -> None:
    home = office.site()
    office.accept(ANNA)
    office.route("client.example", home)
    office.until(lambda: home.texts and office.names(FOLDER) == [])
    assert told(home.texts[0]) == [("rfc822; anna@example.org", "delivered")]


@pytest.mark.parametrize(("sender", "recipient"), [("carol@example.org", BOB), ("", ANNA)])
def test_who_did_not_ask_or_cannot_hear_is_not_told(
    office: Office, sender: str, recipient: Recipient
) -> None:
    office.accept(recipient, sender=sender)
    assert office.names(FOLDER) == []


def test_a_hint_is_enough(tmp_path: Path) -> None:
    reading, writing = hints.pair()
    office = Office(tmp_path, hints=os.dup(reading.fileno()))
    office.configure()
    office.until(lambda: office.relay._may_send)
    sender = hints.HintSender(writing)
    sender.add(FOLDER, office.accept(ANNA, sender="carol@example.org"))
    sender.flush()
    office.until(lambda: office.mailbox("carol") and office.names(FOLDER) == [])
    office.close()
    reading.close()
    writing.close()


def test_a_relay_that_died_with_its_promise_keeps_it_once(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.accept(ANNA, sender="carol@example.org")
    office.configure()
    while not any(".status" in name for name in office.names(FOLDER)):
        office.loop.turn(1)
    office.die()
    again = Office(tmp_path)
    again.configure()
    again.until(lambda: again.names(FOLDER) == [])
    assert len(again.mailbox("carol")) == 1
    again.close()


def test_a_hint_while_the_report_is_made_is_no_second_one(tmp_path: Path) -> None:
    reading, writing = hints.pair()
    office = Office(tmp_path, hints=os.dup(reading.fileno()))
    letter = office.accept(ANNA, sender="carol@example.org")
    sender = hints.HintSender(writing)
    office.configure()
    while office.names(FOLDER):
        office.loop.turn(1)
        sender.add(FOLDER, letter)
        sender.flush()
    office.until(lambda: office.is_quiet)
    assert len(office.mailbox("carol")) == 1
    office.close()
    reading.close()
    writing.close()


@pytest.mark.parametrize("early", [True, False])
def test_a_hint_that_waited_for_the_next_relay_makes_no_second_report(tmp_path: Path, early: bool) -> None:
    reading, writing = hints.pair()
    office = Office(tmp_path)
    letter = office.accept(ANNA, sender="carol@example.org")
    office.configure()
    while not any(".status" in name for name in office.names(FOLDER)):
        office.loop.turn(1)
    office.die()
    sender = hints.HintSender(writing)
    again = Office(tmp_path, hints=os.dup(reading.fileno()))
    if early:
        sender.add(FOLDER, letter)
        sender.flush()
    again.configure()
    if not early:
        again.until(lambda: again.relay._scanned)
        sender.add(FOLDER, letter)
        sender.flush()
    again.until(lambda: again.names(FOLDER) == [] and again.is_quiet)
    assert len(again.mailbox("carol")) == 1
    again.close()
    reading.close()
    writing.close()


def test_many_of_them_are_limited_and_wait_for_a_digest(office: Office) -> None:
    for _ in range(25):
        office.accept(ANNA, sender="carol@example.org")
    office.configure()
    office.until(lambda: len(office.mailbox("carol")) == 20 and office.is_quiet)
    assert len([name for name in office.names(FOLDER) if "status" not in name]) == 5


def test_what_was_moved_there_by_hand_is_set_aside_if_it_is_no_letter(office: Office) -> None:
    letter = office.accept(ANNA, sender="carol@example.org")
    (office.mail / ".OTHER_SERVERS" / FOLDER / letter).write_bytes(TEXT)
    office.configure()
    office.until(lambda: office.names(f"{FOLDER}/error"))
    assert office.names(FOLDER) == []
