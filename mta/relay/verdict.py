"""What follows from an attempt: the letter's next status, and what its sender is to be told. Pure.

Each recipient's outcome becomes a standing. When nobody waits any more the letter ends; when somebody was
refused for good, or all patience with those who wait is over, its sender is told, as is one who wanted to
know of success that nobody else will report. What is to be told is promised in the status first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from mta.relay.outcome import Delivered, Outcome, TryLater
from mta.relay.reporting.told import promised
from mta.relay.schedule import Plan
from mta.store import Envelope, OpenLetter, Report, Standing, State, Status

FAILURE: Final = "failure"
DELAY: Final = "delay"
SUCCESS: Final = "success"


class Attempt(NamedTuple):
    """What happened to a letter."""

    outcomes: Mapping[str, Outcome]
    """By address."""
    host: str
    """Empty when none was reached."""
    dsn: bool
    """The host reports success itself."""
    when: float
    """Epoch seconds."""


def follow(letter: OpenLetter, attempt: Attempt, plan: Plan, *, can_tell: bool) -> Status | None:
    """The next status of a letter; None: there is nothing more to do for it than to remove it. `can_tell`:
    a report to its sender would go somewhere."""
    if is_plain(letter, attempt):
        return None
    standings = {
        address: _standing(outcome, attempt, expired=plan.expired)
        for address, outcome in attempt.outcomes.items()
    }
    status = letter.status.tried(standings, plan.due)
    if not any(status.waits(recipient.address) for recipient in letter.recipients):
        status = status.ended()
    for kind, addresses in _news(letter, attempt, status, plan):
        if not can_tell or not promised(Report("", kind, addresses), letter.envelope, status.recipients):
            continue
        status = status.promise(letter.entry, kind, addresses, attempt.when)
    if status.due is None and status.has_failed and not any(each.kind == FAILURE for each in status.reports):
        status = status.ended(_silence(letter.envelope, can_tell=can_tell))
    is_done = status.due is None and not status.has_failed and not status.pending
    return None if is_done else status


def confirmation(letter: OpenLetter, now: float) -> Status:
    """The status of a letter that waits among CONFIRMATIONS: its message is in its mailboxes since it was
    accepted, and its sender is going to hear so."""
    addresses = tuple(recipient.address for recipient in letter.recipients)
    standing = Standing(State.DELIVERED, status="2.0.0", when=int(letter.envelope.arrived))
    status = replace(letter.status, recipients=dict.fromkeys(addresses, standing)).ended()
    return status.promise(letter.entry, SUCCESS, addresses, now)


def is_plain(letter: OpenLetter, attempt: Attempt) -> bool:
    """As nearly always: the first attempt delivered it to everybody, and nobody asked for word of that."""
    return (
        not letter.status.recipients
        and all(isinstance(outcome, Delivered) for outcome in attempt.outcomes.values())
        and not any(recipient.notify for recipient in letter.recipients)
    )


def _standing(outcome: Outcome, attempt: Attempt, *, expired: bool) -> Standing:
    host, when = attempt.host, int(attempt.when)
    if isinstance(outcome, Delivered):
        return Standing(State.DELIVERED, "", outcome.status, outcome.reply, host=host, when=when)
    waits = isinstance(outcome, TryLater) and not expired
    return Standing(
        State.WAITING if waits else State.FAILED,
        outcome.reason.word,
        outcome.status,
        outcome.reply,
        outcome.detail,
        host,
        when,
    )


def _news(
    letter: OpenLetter, attempt: Attempt, status: Status, plan: Plan
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Kinds of reports, and whom they are about."""
    by_state = {
        state: tuple(a for a in attempt.outcomes if status.recipients[a].state is state) for state in State
    }
    yield FAILURE, by_state[State.FAILED]
    if not attempt.dsn:
        yield SUCCESS, by_state[State.DELIVERED]
    if plan.warn and not letter.status.is_warned:
        yield DELAY, by_state[State.WAITING]


def _silence(envelope: Envelope, *, can_tell: bool) -> str:
    if not envelope.sender:
        return "no report: it has no sender to tell"
    return "no report: its sender wants none" if can_tell else "no report: its sender cannot be reached"
