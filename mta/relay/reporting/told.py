"""What a sender is told of a recipient, and whether the sender wants to hear it (RFC 3461 4.1, 5.2).

Pure: no clock, no store, no text of a report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mta.relay.outcome import Reason
from mta.store import CONFIRMATIONS, Envelope, Mailbox, Recipient, Standing, State, Way
from mta.store import Report as Promise


class Action(StrEnum):
    """What was done for a recipient, the gravest first (RFC 3464 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    EXPANDED = "expanded"
    """Passed on to several addresses; of those nothing more is heard."""
    RELAYED = "relayed"
    """The next host has it and does not know DSN."""
    DELIVERED = "delivered"


QUOTED: Final = 1000
"""Characters of a reply that are enough to know what was meant, for each of a thousand recipients."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a report says of one recipient."""

    recipient: Recipient
    action: Action
    status: str
    """RFC 3463. A failure of class 4 is one that lasted too long."""
    reason: Reason | None = None
    reply: str = ""
    """The remote's, its first QUOTED characters; empty when it said nothing."""
    detail: str = ""
    """What we saw, where there is no reply."""
    host: str = ""
    """Name of the remote host; empty when none was reached."""
    attempted: float | None = None
    """Epoch seconds of the last attempt."""
    until: float | None = None
    """Epoch seconds: how long a delayed one is tried again."""


_ASKED: Final = {Action.FAILED: "FAILURE", Action.DELAYED: "DELAY"}
_SUCCESS: Final = "success"
_KINDS: Final = {"failure": Action.FAILED, "delay": Action.DELAYED, _SUCCESS: Action.RELAYED}
"""What a promised report of each kind tells, of recipients at other domains."""
_UNASKED: Final = "FAILURE,DELAY"
"""What senders hear who did not say what they want."""


def is_wanted(recipient: Recipient, action: Action) -> bool:
    """Whether NOTIFY asks for it; a recipient without one is reported when something goes wrong."""
    return _ASKED.get(action, "SUCCESS") in (recipient.notify or _UNASKED).split(",")


def wanted(sender: str, told: Iterable[Told]) -> tuple[Told, ...]:
    """Those that belong into a report to this reverse-path: none for `<>`, as no report answers a report
    (RFC 5321 6.1)."""
    return tuple(each for each in told if sender and is_wanted(each.recipient, each.action))


def promised(
    promise: Promise, envelope: Envelope, standings: Mapping[str, Standing], until: float | None = None
) -> tuple[Told, ...]:
    """What a report that was promised has to tell to who wants to hear it, by all that is known after a crash
    too. `until`: epoch seconds, how long those who wait are tried again. KeyError: no such kind."""
    action, addresses = _KINDS[promise.kind], frozenset(promise.recipients)
    told = (
        _standing(each, _at(each.way, action), standings.get(each.address, _UNKNOWN), until)
        for each in envelope.recipients
        if each.address in addresses
    )
    return wanted(envelope.sender, told)


def _at(way: Way, action: Action) -> Action:
    """Success has other names here than elsewhere."""
    if action is not Action.RELAYED:
        return action
    if isinstance(way, Mailbox):
        return Action.DELIVERED
    return Action.EXPANDED if way == CONFIRMATIONS else Action.RELAYED


_UNKNOWN: Final = Standing(State.WAITING)


def _standing(recipient: Recipient, action: Action, standing: Standing, until: float | None) -> Told:
    return Told(
        recipient,
        action,
        standing.status,
        _reason(standing.reason),
        standing.reply[:QUOTED],
        standing.detail,
        host=standing.host,
        attempted=standing.when or None,
        until=until,
    )


def _reason(word: str) -> Reason | None:
    """None for success, and for a word of another version: the report is made all the same."""
    try:
        return Reason.of(word)
    except KeyError:
        return None
