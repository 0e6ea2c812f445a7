"""The rarer ways of a letter through the relay: another host, a digest, too old to be tried, none at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.store import Entry, Status
from tests.protocol.exchanger import Does
from tests.relay.office import TEXT, Office

HOUR = 3600


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


# another host


def test_rerouted_letters_go_where_the_operator_wants_and_others_where_they_always_do(office: Office) -> None:
    usual, other = office.site(), office.site()
    usual.close()
    letter, staying = office.letter("one@b.example"), office.letter("two@b.example")
    office.route("b.example", usual)
    office.until(lambda: len(office.records("deferred")) == 2 and office.is_quiet)
    to = f"smtp://127.0.0.1:{other.port}"
    assert office.ask(request="reroute", which=[f"b.example/{letter}"], to=to)["letters"] == 1
    office.until(lambda: other.texts)
    assert b"RCPT TO:<one@b.example>" in other.exchangers[0].heard
    usual.open_again()
    assert office.ask(request="retry", which=["b.example"])["status"] == 0
    office.until(lambda: office.names("b.example") == [])
    assert b"RCPT TO:<two@b.example>" in usual.exchangers[0].heard
    assert [record.text("id") for record in office.records("delivered")] == [letter, staying]


def test_a_route_that_is_none_is_our_fault(office: Office) -> None:
    """As it stands in a status that another version wrote, or a hand."""
    letter = office.letter("user@b.example")
    rerouted = Status().rerouted("gopher://b.example").released(1)
    office._store.queue.save([(Entry("b.example", letter), rerouted)])
    office.route("b.example", office.site())
    office.until(lambda: office.records("deferred") and office.is_quiet)
    [record] = office.records("deferred")
    assert record.text("reason") == "local-fault"
    assert "reroute" in record.text("detail")


# digests


def test_who_gets_many_reports_gets_the_rest_in_one(office: Office) -> None:
    site = office.site(RCPT=[b"550 5.1.1 nobody\r\n"] * 25)
    for number in range(25):
        office.letter(f"user{number}@b.example", sender="alice@example.org")
    office.route("b.example", site)
    office.until(lambda: len(office.mailbox("alice")) == 20 and office.is_quiet)
    waiting = [name for name in office.names("b.example") if "status" not in name]
    assert len(waiting) == 5

    office.relay.reports.tick(office.relay._clock() + HOUR + 1)
    office.until(lambda: office.buried("b.example"))
    [digest] = [text for text in office.mailbox("alice") if b"Reports on 5 of your messages" in text]
    told = re.findall(rb"<(user\d+@b.example)>", digest)
    singles = re.findall(rb"Final-Recipient: rfc822; (\S+)", b"".join(office.mailbox("alice")))
    assert sorted(told + singles) == sorted(b"user%d@b.example" % number for number in range(25))


def test_letters_whose_digest_was_not_made_are_told_of_by_the_next_relay(tmp_path: Path) -> None:
    office = Office(tmp_path)
    site = office.site(RCPT=[b"550 5.1.1 nobody\r\n"] * 25)
    for number in range(25):
        office.letter(f"user{number}@b.example", sender="alice@example.org")
    office.route("b.example", site)
    office.until(lambda: len(office.mailbox("alice")) == 20 and office.is_quiet)
    office.die()
    again = Office(tmp_path)
    again.configure()
    again.until(lambda: again.buried("b.example"))
    assert len(again.mailbox("alice")) == 25
    again.close()


def test_a_report_that_waits_for_its_digest_does_not_keep_its_courier_waiting(office: Office) -> None:
    """The 21st letter of a forged sender is refused, and the next one goes over the same connection."""
    site = office.site(RCPT=[b"550 5.1.1 nobody\r\n"] * 22)
    for _ in range(22):
        office.letter("user@b.example", sender="alice@example.org")
    office.letter("last@b.example")
    office.route("b.example", site, more=["relay.connections=1"])
    office.until(lambda: site.texts and not office.relay._couriers)
    assert len(site.exchangers) == 1


# too old


def test_letters_that_get_too_old_behind_a_domain_that_fails_are_given_up_untried(office: Office) -> None:
    site = office.site()
    site.close()
    for _ in range(40):
        office.letter("user@b.example", sender="", age=10)
    office.route("b.example", site, more=['relay.expire="5s"'])
    office.until(lambda: office.buried("b.example"))
    records = office.records("failed")
    tried = [record for record in records if record.text("detail") == "connection refused"]
    others = [record for record in records if record.text("detail") == "as for the whole domain"]
    assert 1 <= len(tried) <= 16
    assert len(tried) + len(others) == 40
    assert {record.text("reason") for record in records} == {"connection-refused"}


# no letter


@pytest.mark.parametrize("content", [b"", b"mta-letter/1 ", TEXT], ids=["empty", "cut", "a message"])
def test_what_is_no_letter_is_set_aside_and_the_others_go(office: Office, content: bytes) -> None:
    site = office.site()
    broken = office.letter("one@b.example")
    office.letter("two@b.example")
    (office.mail / ".OTHER_SERVERS/b.example" / broken).write_bytes(content)
    office.route("b.example", site)
    office.until(lambda: site.texts and broken in office.names("b.example/error"))
    office.until(lambda: office.names("b.example") == [])
    assert office.status("b.example/error", broken).note
    [record] = office.records("set_aside")
    assert record.text("path") == f"b.example/{broken}"


def test_a_letter_that_gets_shorter_while_it_is_sent_is_not_sent_as_if_it_were_whole(office: Office) -> None:
    site = office.site(DATA=[Does.STALL])
    letter = office.letter(
        "user@b.example", sender="", text=b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 20_000
    )
    office.route("b.example", site)
    office.until(lambda: site.exchangers and site.exchangers[0].silent)
    path = office.mail / ".OTHER_SERVERS/b.example" / letter
    with path.open("r+b") as file:
        file.truncate(1000)
    for courier in list(office.relay._couriers):
        courier.check_time(office.loop.clock() + 601)
    office.until(lambda: office.records("deferred") and office.is_quiet)
    assert office.ask(request="retry", which=["b.example"])["status"] == 0
    office.until(lambda: letter in office.names("b.example/error"))
    assert site.texts == []
