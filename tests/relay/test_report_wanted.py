"""Who is told what: NOTIFY, and how often."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.relay.outcome import Reason
from mta.relay.reporting.limiter import HOUR, Digest, Limiter
from mta.relay.reporting.told import Action, Told, is_wanted, promised, wanted
from mta.store import Report, Standing, State
from tests.relay.reports import ANNA, BOB, ENVELOPE

SUCCESS = {Action.DELIVERED, Action.RELAYED, Action.EXPANDED}


@pytest.mark.parametrize(
    ("notify", "actions"),
    [
        ("", {Action.FAILED, Action.DELAYED}),
        ("NEVER", set()),
        ("FAILURE", {Action.FAILED}),
        ("DELAY", {Action.DELAYED}),
        ("SUCCESS", SUCCESS),
        ("SUCCESS,FAILURE", SUCCESS | {Action.FAILED}),
        ("DELAY,SUCCESS,FAILURE", set(Action)),
    ],
)
def test_63_notify_is_honoured(notify: str, actions: set[Action]) -> None:
    recipient = replace(BOB, notify=notify)
    assert {action for action in Action if is_wanted(recipient, action)} == actions


def test_63_each_recipient_has_its_own_wish() -> None:
    told = [Told(replace(BOB, notify="NEVER"), Action.FAILED, "5.0.0"), Told(ANNA, Action.FAILED, "5.0.0")]
    assert wanted("sender@example.net", told) == (told[1],)


def test_47_nobody_reports_to_nobody() -> None:
    told = [Told(replace(BOB, notify="SUCCESS,FAILURE,DELAY"), action, "5.0.0") for action in Action]
    assert wanted("", told) == ()


# --- from what is on disk


def test_a_promised_report_tells_what_the_status_knows() -> None:
    failed = Standing(
        State.FAILED,
        "no-such-user",
        "5.1.1",
        "550 " + "x" * 5000,
        host="mx.other.example",
        when=1_800_000_000,
    )
    promise = Report("z" * 20, "failure", (BOB.address,))
    (told,) = promised(promise, ENVELOPE, {BOB.address: failed, ANNA.address: failed})
    assert told == Told(
        BOB,
        Action.FAILED,
        "5.1.1",
        Reason.NO_SUCH_USER,
        "550 " + "x" * 996,
        host="mx.other.example",
        attempted=1_800_000_000,
    )


def test_a_promised_warning_says_until_when() -> None:
    promise = Report("z" * 20, "delay", (BOB.address,))
    assert promised(promise, ENVELOPE, {}, 5.0) == (Told(BOB, Action.DELAYED, "", until=5.0),)


def test_a_reason_of_another_version_is_none() -> None:
    promise = Report("z" * 20, "failure", (BOB.address,))
    standing = Standing(State.FAILED, "sunspots", "5.0.0")
    (told,) = promised(promise, ENVELOPE, {BOB.address: standing})
    assert (told.reason, told.status) == (None, "5.0.0")


def test_a_promised_success_is_that_it_was_sent_on() -> None:
    sent = Standing(State.DELIVERED, status="2.6.0", reply="250 2.6.0 ok", host="mx.other.example")
    promise = Report("z" * 20, "success", (BOB.address,))
    envelope = replace(ENVELOPE, recipients=(replace(BOB, notify="SUCCESS"), replace(BOB, notify="NEVER")))
    (told,) = promised(promise, envelope, {BOB.address: sent})
    assert (told.action, told.status, told.reason) == (Action.RELAYED, "2.6.0", None)


# --- how often


def test_so_many_an_hour_then_a_digest() -> None:
    limiter = Limiter[int](reports=2)
    assert [limiter.admit("a@b.example", number, 10.0 + number) for number in range(5)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert limiter.next_due == 10.0 + HOUR
    assert limiter.due(9.0 + HOUR) == []
    assert limiter.due(10.0 + HOUR) == [Digest("a@b.example", (2, 3, 4))]
    assert limiter.due(11.0 + HOUR) == []


def test_an_hour_later_it_starts_anew() -> None:
    limiter = Limiter[int](reports=1)
    assert limiter.admit("a@b.example", 1, 0.0)
    assert limiter.admit("a@b.example", 2, HOUR)
    assert not limiter.admit("a@b.example", 3, HOUR)
    limiter.due(2 * HOUR)
    assert limiter.admit("a@b.example", 4, 2 * HOUR)


def test_what_waits_is_kept_when_the_digest_is_late() -> None:
    limiter = Limiter[int](reports=0)
    limiter.admit("a@b.example", 1, 0.0)
    assert not limiter.admit("a@b.example", 2, 2 * HOUR)
    assert limiter.due(2 * HOUR) == [Digest("a@b.example", (1, 2))]


def test_one_sender_does_not_use_up_the_reports_of_another() -> None:
    limiter = Limiter[int](reports=1)
    assert limiter.admit("a@b.example", 1, 0.0)
    assert limiter.admit("c@d.example", 2, 0.0)


def test_case_does_not_make_another_sender() -> None:
    limiter = Limiter[int](reports=1)
    assert limiter.admit("a@b.example", 1, 0.0)
    assert not limiter.admit("A@b.example", 2, 0.0)


def test_a_digest_is_bounded_and_the_rest_comes_an_hour_later() -> None:
    limiter = Limiter[int](reports=0, listed=2)
    for number in range(5):
        limiter.admit("a@b.example", number, 0.0)
    assert limiter.due(HOUR) == [Digest("a@b.example", (0, 1))]
    assert limiter.next_due == 2 * HOUR
    assert not limiter.admit("a@b.example", 5, HOUR + 1)
    assert limiter.due(2 * HOUR) == [Digest("a@b.example", (2, 3))]
    assert limiter.due(3 * HOUR) == [Digest("a@b.example", (4, 5))]
    assert limiter.due(4 * HOUR) == []
    assert limiter.next_due is None


def test_memory_is_bounded_and_nothing_that_waits_is_lost() -> None:
    limiter = Limiter[int](reports=0, senders=2)
    for number in range(5):
        limiter.admit(f"{number}@b.example", number, 0.0)
    assert [digest.items for digest in limiter.due(0.0)] == [(0,), (1,), (2,)]
    assert [digest.items for digest in limiter.due(HOUR)] == [(3,), (4,)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3000)), max_size=60), st.integers(0, 3))
def test_everything_is_told_once_and_never_too_much(arrivals: list[tuple[str, int]], reports: int) -> None:
    limiter = Limiter[int](reports=reports, listed=5)
    now, told = 0.0, []
    sent: list[tuple[str, float]] = []
    for number, (sender, pause) in enumerate(arrivals):
        now += pause
        told += _digests(limiter, now, sent)
        if limiter.admit(sender, number, now):
            told.append(number)
            sent.append((sender, now))
    while (due := limiter.next_due) is not None:
        told += _digests(limiter, max(now, due), sent)
    assert sorted(told) == list(range(len(arrivals)))
    for sender, began in sent:
        within = [1 for other, at in sent if other == sender and began <= at < began + HOUR]
        assert len(within) <= 2 * reports + 2  # any hour touches two of the sender's own


def _digests(limiter: Limiter[int], now: float, sent: list[tuple[str, float]]) -> list[int]:
    digests = limiter.due(now)
    sent += [(digest.sender, now) for digest in digests]
    return [item for digest in digests for item in digest.items]
