"""Reports to senders (RFC 3464, RFC 6522, RFC 6533): built here, from what is known, as a message to commit.

A report has three parts: words for people, fields for programs, and the header of the message it is about,
so that its sender knows which one that was. It comes from `<>`, so that nothing ever answers it, and goes to
the reverse-path. Whether one is wanted, `told` decides; how many a sender gets, `limiter`.

Everything in it is hostile: addresses were chosen by strangers, replies by other servers, and a forged
sender gets it all. So each value passes through `mime`, which lets none end its line. The same arguments
always make the same octets. Pure: no store, no clock, no randomness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mta.relay.reporting.mime import Part, field, message
from mta.relay.reporting.original import Original, is_whole, returned
from mta.relay.reporting.status_part import status_part
from mta.relay.reporting.told import Action, Told
from mta.relay.reporting.wording import SUBJECTS, date, digest_text, gravest, report_text
from mta.store import Delivery, Envelope, Recipient


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports."""

    hostname: str
    """Our own."""
    postmaster: str
    """The address that reports show as their author, where a person reads the answers (RFC 3464 2)."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A report that is ready to be committed."""

    id: str
    """Its identifier as a message; once committed, a message of this id exists."""
    to: str
    """Never empty."""
    octets: bytes
    """LF line ends."""
    at: float
    """Epoch seconds."""
    about: tuple[str, ...]
    """The messages it tells of."""

    def delivery(self, *recipients: Recipient) -> Delivery:
        """It as a message to commit; the recipients are what the policy makes of `to`."""
        client = {
            "protocol": "report",
            "body": "7BIT" if self.octets.isascii() else "8BITMIME",
            "smtputf8": not self.to.isascii(),
        }
        envelope = Envelope(self.id, "", self.at, recipients, client)
        made = Delivery(envelope, trace=b"")
        made.add(self.octets.replace(b"\n", b"\r\n"), self.octets)
        return made


def make_report(
    reporter: Reporter,
    identifier: str,
    envelope: Envelope,
    told: Sequence[Told],
    original: Original | None,
    now: float,
) -> Notice:
    """The report on a message about these of its recipients, at least one.

    `identifier` is the report's own. `original` None: the message cannot be read any more. ValueError: there
    is nobody to report to, or nothing."""
    if not (envelope.sender and told):
        raise ValueError("a report needs somebody to hear it and something to tell")
    part = None if original is None else returned(original, full=_is_full(envelope, told))
    text = report_text(reporter.hostname, envelope.arrived, told, _returned_text(part))
    parts = [_readable(text), status_part(reporter.hostname, envelope, told), *([part] if part else [])]
    fields = _fields(reporter, identifier, envelope.sender, SUBJECTS[gravest(told)], now)
    octets = message(fields, parts, subtype="report; report-type=delivery-status")
    return Notice(identifier, envelope.sender, octets, now, (envelope.id,))


@dataclass(frozen=True, slots=True)
class Untold:
    """What a report would have said that was one too many for this hour."""

    letter: str
    """Identifier of the message."""
    arrived: float
    """Epoch seconds."""
    told: tuple[Told, ...]


def make_digest(
    reporter: Reporter, identifier: str, sender: str, untold: Sequence[Untold], now: float
) -> Notice:
    """One message instead of many reports. ValueError: as for a report."""
    if not (sender and untold):
        raise ValueError("a digest needs somebody to hear it and something to tell")
    text = digest_text(reporter.hostname, [(each.letter, each.arrived, each.told) for each in untold])
    subject = f"Reports on {len(untold)} of your messages"
    octets = message(_fields(reporter, identifier, sender, subject, now), [_readable(text)], subtype="mixed")
    return Notice(identifier, sender, octets, now, tuple(each.letter for each in untold))


def _fields(reporter: Reporter, identifier: str, to: str, subject: str, now: float) -> list[str]:
    return [
        field("Date", date(now)),
        field("From", f"Mail Delivery System <{reporter.postmaster}>"),
        field("To", f"<{to}>"),
        field("Subject", subject),
        field("Message-ID", f"<{identifier}@{reporter.hostname}>"),
        field("Auto-Submitted", "auto-replied"),
    ]


def _readable(text: str) -> Part:
    charset = "us-ascii" if text.isascii() else "utf-8"
    return Part(f"text/plain; charset={charset}", text.encode(), "What happened")


def _is_full(envelope: Envelope, told: Sequence[Told]) -> bool:
    """Who asks for all of it gets it when something failed; a confirmation returns no text (RFC 3461 4.3)."""
    return envelope.ret == "FULL" and any(each.action is Action.FAILED for each in told)


def _returned_text(part: Part | None) -> str:
    if part is None:
        return ""
    if is_whole(part):
        return "Your message is attached."
    return "The header of your message is attached, so that you can tell which one it was."
