"""The relay as a whole, from a letter in the tree to what became of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta import hints
from tests.protocol.exchanger import Does
from tests.relay.office import TEXT, Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


def test_a_letter_found_at_the_start_is_delivered_and_removed(office: Office) -> None:
    site = office.site()
    letter = office.letter("user@b.example")
    office.route("b.example", site)
    office.until(lambda: not office.names("b.example"))
    assert site.texts == [TEXT]
    [record] = office.records("delivered")
    assert record.text("id") == letter
    assert record.text("recipient") == "user@b.example"


def test_a_letter_told_by_a_hint_leaves_at_once(tmp_path: Path) -> None:
    reading, writing = hints.pair()
    office = Office(tmp_path, hints=os.dup(reading.fileno()))
    site = office.site()
    office.route("b.example", site)
    office.until(lambda: office.relay._may_send)
    sender = hints.HintSender(writing)
    sender.add("b.example", office.letter("user@b.example"))
    sender.flush()
    office.until(lambda: office.names("b.example") == [])
    assert site.texts == [TEXT]
    office.close()
    reading.close()
    writing.close()


def test_many_letters_share_connections(office: Office) -> None:
    site = office.site()
    for number in range(100):
        office.letter(f"user{number}@b.example")
    office.route("b.example", site)
    office.until(lambda: office.names("b.example") == [])
    assert len(site.texts) == 100
    assert len(site.exchangers) <= 20
    recipients = {line for each in site.exchangers for line in each.heard if line.startswith(b"RCPT")}
    assert len(recipients) == 100


def test_recipients_of_one_letter_share_its_text(office: Office) -> None:
    site = office.site()
    office.letter("one@b.example", "two@b.example")
    office.route("b.example", site)
    office.until(lambda: office.names("b.example") == [])
    assert site.texts == [TEXT]


def test_a_letter_larger_than_a_piece_arrives_whole(office: Office) -> None:
    site = office.site()
    text = b"Subject: long\r\n\r\n" + b"0123456789.\r\n" * 70_000
    office.letter("user@b.example", text=text)
    office.route("b.example", site)
    office.until(lambda: office.names("b.example") == [])
    assert site.texts == [text]


# what cannot be sent now


def test_when_nobody_answers_the_letter_waits_with_a_status(office: Office) -> None:
    site = office.site()
    site.close()
    letter = office.letter("user@b.example")
    office.route("b.example", site)
    office.until(lambda: len(office.names("b.example")) == 2)
    status = office.status("b.example", letter)
    assert status.attempts == 1
    assert status.recipients["user@b.example"].reason == "connection-refused"
    [record] = office.records("deferred")
    assert record.text("detail") == "connection refused"


def test_it_is_tried_again_and_delivered_when_somebody_does(office: Office) -> None:
    site = office.site()
    site.close()
    office.letter("user@b.example")
    office.route("b.example", site, more=['relay.retry=["1s"]'])
    office.until(lambda: len(office.names("b.example")) == 2)
    site.open_again()
    office.until(lambda: office.names("b.example") == [])
    assert site.texts == [TEXT]


def test_the_other_letters_of_a_domain_that_fails_rest_untried(office: Office) -> None:
    site = office.site()
    site.close()
    for _ in range(40):
        office.letter("user@b.example")
    office.route("b.example", site)
    office.until(lambda: office.records("deferred") and not office.relay._couriers)
    assert len(office.records("deferred")) == 16


def test_the_next_host_is_tried_when_the_first_is_down(office: Office) -> None:
    down, up = office.site(), office.site()
    down.close()
    office.letter("user@b.example")
    office.route("b.example", down, up)
    office.until(lambda: office.names("b.example") == [])
    assert up.texts == [TEXT]
    assert office.records("deferred") == []


def test_a_connection_lost_before_the_end_of_the_text_goes_to_the_next_host(office: Office) -> None:
    broken, sound = office.site(DATA=[Does.CLOSE]), office.site()
    office.letter("user@b.example")
    office.route("b.example", broken, sound)
    office.until(lambda: office.names("b.example") == [])
    assert sound.texts == [TEXT]


def test_after_an_unanswered_end_of_text_no_other_host_is_tried(office: Office) -> None:
    broken, sound = office.site(END=[Does.CLOSE]), office.site()
    office.letter("user@b.example")
    office.route("b.example", broken, sound)
    office.until(lambda: len(office.names("b.example")) == 2)
    [record] = office.records("deferred")
    assert record.text("reason") == "possible-duplicate"
    assert sound.texts == []


def test_a_421_slows_the_domain_down_and_loses_nothing(office: Office) -> None:
    site = office.site(MAIL=[None, b"421 4.7.0 too fast\r\n"])
    for _ in range(3):
        office.letter("user@b.example")
    office.route("b.example", site, more=['relay.retry=["1s"]'])
    office.until(lambda: office.names("b.example") == [])
    assert site.texts == [TEXT] * 3


def test_while_the_relay_is_disabled_everything_stays(office: Office) -> None:
    site = office.site()
    letter = office.letter("user@b.example")
    office.route("b.example", site, more=["relay.enabled=false"])
    office.until(lambda: len(office.relay.schedule) == 1)
    for _ in range(10):
        office.loop.turn(1)
    assert office.names("b.example") == [letter]
    office.route("b.example", site)
    office.until(lambda: office.names("b.example") == [])


# who is told


def test_a_refusal_is_reported_to_a_sender_of_ours(office: Office) -> None:
    site = office.site(RCPT=[b"550 5.1.1 nobody of that name\r\n"])
    letter = office.letter("user@b.example", sender="alice@example.org")
    office.route("b.example", site)
    office.until(lambda: office.buried("b.example"))
    assert office.names("b.example") == []
    [report] = office.mailbox("alice")
    assert b"nobody of that name" in report
    assert b"Final-Recipient: rfc822; user@b.example" in report
    assert office.names("b.example/error")[0] == letter
    assert not office.status("b.example/error", letter).pending


def test_a_refusal_is_reported_to_a_sender_elsewhere(office: Office) -> None:
    site, home = office.site(RCPT=[b"550 5.1.1 nobody of that name\r\n"]), office.site()
    office.letter("user@b.example", sender="carol@c.example")
    office.configure(
        f'relay.routes=["b.example smtp://127.0.0.1:{site.port}", "c.example smtp://127.0.0.1:{home.port}"]'
    )
    office.until(lambda: home.texts and office.names("c.example") == [])
    [report] = home.texts
    assert b"To: <carol@c.example>" in report
    assert b"MAIL FROM:<>" in b"\n".join(home.exchangers[0].heard)


def test_of_several_recipients_only_the_refused_one_is_reported(office: Office) -> None:
    site = office.site(RCPT=[b"550 5.1.1 nobody\r\n", None, b"451 4.2.0 later\r\n"])
    letter = office.letter("never@b.example", "now@b.example", "later@b.example", sender="alice@example.org")
    office.route("b.example", site)
    office.until(lambda: office.mailbox("alice") and office.is_quiet)
    [report] = office.mailbox("alice")
    assert b"never@b.example" in report
    assert b"now@b.example" not in report
    assert b"later@b.example" not in report
    states = {a: s.state.value for a, s in office.status("b.example", letter).recipients.items()}
    assert states == {"never@b.example": "failed", "now@b.example": "delivered", "later@b.example": "waiting"}


@pytest.mark.parametrize(
    ("sender", "notify", "note"),
    [("", "", "has no sender"), ("alice@example.org", "NEVER", "wants none")],
)
def test_who_cannot_or_will_not_hear_is_not_told(office: Office, sender: str, notify: str, note: str) -> None:
    site = office.site(RCPT=[b"550 5.1.1 nobody\r\n"])
    letter = office.letter("user@b.example", sender=sender, notify=notify)
    office.route("b.example", site)
    office.until(lambda: office.buried("b.example"))
    assert note in office.status("b.example/error", letter).note
    assert office.records("reported") == []


def test_a_letter_that_is_too_old_is_given_up_after_one_more_attempt(office: Office) -> None:
    site = office.site(RCPT=[b"451 4.2.0 later\r\n"])
    letter = office.letter("user@b.example", sender="alice@example.org", age=10)
    office.route("b.example", site, more=['relay.expire="5s"'])
    office.until(lambda: office.buried("b.example") and office.mailbox("alice"))
    assert office.status("b.example/error", letter).recipients["user@b.example"].status == "4.2.0"


def test_success_is_reported_when_the_next_host_does_not_know_how(office: Office) -> None:
    site = office.site()
    office.letter("user@b.example", sender="alice@example.org", notify="SUCCESS")
    office.route("b.example", site)
    office.until(lambda: office.mailbox("alice") and office.names("b.example") == [])
    assert b"Action: relayed" in office.mailbox("alice")[0]


def test_a_delay_is_told_once(office: Office) -> None:
    site = office.site(RCPT=[b"451 4.2.0 later\r\n"] * 2)
    office.letter("user@b.example", sender="alice@example.org", age=10)
    office.route("b.example", site, more=['relay.warn="5s"', 'relay.retry=["1s"]'])
    office.until(lambda: office.names("b.example") == [])
    [report] = office.mailbox("alice")
    assert b"Action: delayed" in report


# the end and the next beginning


@pytest.mark.parametrize(
    ("stage", "heard"), [("greeting", b""), ("EHLO", b"EHLO mx.example.org"), ("DATA", b"DATA")]
)
def test_what_was_not_sent_when_the_relay_stops_is_as_it_was(
    tmp_path: Path, stage: str, heard: bytes
) -> None:
    office = Office(tmp_path)
    site = office.site(**{stage: [Does.STALL]})
    letter = office.letter("user@b.example")
    office.route("b.example", site)
    office.until(lambda: site.exchangers and (stage == "greeting" or heard in site.exchangers[0].heard))
    [courier] = office.relay._couriers
    courier.abandon()
    office.close()
    assert office.names("b.example") == [letter]


def test_a_report_promised_by_a_relay_that_died_is_made_once(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.promise_report("b.example", office.letter("user@b.example", sender="alice@example.org"))
    folder = tmp_path / "mail" / ".OTHER_SERVERS" / "b.example"
    shutil.copytree(folder, tmp_path / "as it was")
    office.configure()
    office.until(lambda: office.buried("b.example"))
    assert len(office.mailbox("alice")) == 1
    office.close()

    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "as it was", folder)
    again = Office(tmp_path)
    again.configure()
    again.until(lambda: again.buried("b.example"))
    assert len(again.mailbox("alice")) == 1
    again.close()


def test_a_letter_in_flight_when_the_relay_died_is_deferred_one_step(tmp_path: Path) -> None:
    office = Office(tmp_path)
    letter = office.letter("user@b.example")
    office.take_off("b.example", letter)
    site = office.site()
    office.route("b.example", site)
    office.until(lambda: office.relay._may_send)
    assert office.status("b.example", letter).attempts == 1
    assert site.texts == []
    office.close()


def test_a_delay_report_promised_by_a_relay_that_died_keeps_its_letter_waiting(tmp_path: Path) -> None:
    office = Office(tmp_path)
    letter = office.letter("user@b.example", sender="alice@example.org")
    office.promise_report("b.example", letter, kind="delay")
    site = office.site()
    office.route("b.example", site)
    office.until(lambda: office.mailbox("alice"))
    office.until(lambda: office.names("b.example") == [])
    assert site.texts == [TEXT]
    office.close()


def test_an_operator_may_ask_and_command(office: Office) -> None:
    site = office.site()
    site.close()
    office.letter("user@b.example")
    office.route("b.example", site)
    office.until(lambda: office.is_quiet and office.names("b.example"))
    why = office.ask(request="why")
    assert "connection-refused" in str(why)
    site.open_again()
    assert office.ask(request="retry", all=True)["status"] == 0
    office.until(lambda: office.names("b.example") == [])
