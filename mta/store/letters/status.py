"""The status of a letter: what there is to remember beyond its arrival, and a name that tells when it is due.

    <id>                         the letter
    <id>.status,<due>,<serial>    its status: one JSON object on one line

`<due>` is the next attempt in epoch seconds, `hold` for a letter the operator holds, and 0 for one with
something to finish before it may be tried: a report that is promised and perhaps not made, or its end.
`<serial>` grows with every status written, and the highest wins, so that a change is a new file and never
an edited one. A scan needs the names only. Values and their written form; this module touches no disk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, NamedTuple, TypeVar

from mta import identifier

_T = TypeVar("_T")
_VERSION: Final = 1
_HOLD: Final = "hold"
_NAME = re.compile(r"([0-9a-z]{20})(?:\.status,(hold|[0-9]{1,12}),([1-9][0-9]{0,8}))?")


class BrokenStatus(Exception):
    """The file is no status, or not all of one; the text says what is wrong."""


class Entry(NamedTuple):
    """A letter as the names in a folder tell it; every operation takes it and returns the new one."""

    domain: str
    id: str
    due: int | None = None
    """Epoch seconds; 0: there is something to finish first; None: it is held, or has no status."""
    serial: int = 0
    """Of statuses written: one for each attempt and each other change; 0: it has none."""

    @property
    def is_held(self) -> bool:
        return self.due is None and self.serial > 0

    @property
    def is_unfinished(self) -> bool:
        """Something was under way that must be finished before any letter is sent; see `Queue.scan`."""
        return self.due == 0 and self.serial > 0

    @property
    def status_name(self) -> str:
        """Of the file that has its status; asked only when it has one."""
        return f"{self.id}.status,{_HOLD if self.due is None else self.due},{self.serial}"


def parse_name(domain: str, name: str) -> tuple[Entry, bool] | None:
    """What a name in a domain's folder means, and whether it is that of a status; None: it is not ours."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    letter, due, serial = match.groups()
    if serial is None:
        return Entry(domain, letter), False
    return Entry(domain, letter, None if due == _HOLD else int(due), int(serial)), True


class State(Enum):
    """Where a recipient stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the last attempt made of a recipient."""

    state: State
    reason: str = ""
    """A word of the relay's catalogue."""
    status: str = ""
    """RFC 3463, `4.2.2`."""
    reply: str = ""
    """Theirs, whole."""
    detail: str = ""
    """What we saw, where they said nothing."""
    host: str = ""
    """Who said so."""
    when: int = 0
    """Epoch seconds."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report to the sender, from the promise to make it."""

    id: str
    """Its identifier as a message."""
    kind: str
    """`failure`, `delay` or `success`."""
    recipients: tuple[str, ...]
    """Addresses it is about."""
    made: bool = False
    """It was committed."""


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a letter beyond its envelope. A change makes a new value."""

    attempts: int = 0
    due: int | None = 0
    """The next attempt, epoch seconds, 0 for at once; None: there is none, and the letter ends when its
    reports are made."""
    hold: bool = False
    reroute: str = ""
    """Where the operator wants it to go instead, as in `relay.routes`."""
    recipients: Mapping[str, Standing] = field(default_factory=dict)
    """By address; one that is missing was never tried."""
    reports: tuple[Report, ...] = ()
    note: str = ""
    """Why it is where it is: for a letter in error/, why no report was made."""

    @property
    def pending(self) -> tuple[Report, ...]:
        """Reports that were promised and perhaps not made."""
        return tuple(report for report in self.reports if not report.made)

    @property
    def is_warned(self) -> bool:
        """The sender was told, or is about to be, that it takes long."""
        return any(report.kind == "delay" for report in self.reports)

    @property
    def has_failed(self) -> bool:
        """A recipient failed for good."""
        return any(standing.state is State.FAILED for standing in self.recipients.values())

    def waits(self, address: str) -> bool:
        """Whether this recipient is neither delivered nor given up."""
        standing = self.recipients.get(address)
        return standing is None or standing.state is State.WAITING

    # transitions

    def tried(self, outcomes: Mapping[str, Standing], due: int | None) -> Status:
        """After an attempt; `due` as above."""
        recipients = {**self.recipients, **outcomes}
        return replace(self, attempts=self.attempts + 1, recipients=recipients, due=due)

    def promise(self, entry: Entry, kind: str, recipients: tuple[str, ...], now: float) -> Status:
        """A report is going to be made about these recipients of this letter."""
        report = Report(report_id(entry.domain, entry.id, len(self.reports), now), kind, recipients)
        return replace(self, reports=(*self.reports, report))

    def reported(self, *ids: str) -> Status:
        """The reports of these identifiers are committed."""
        reports = (replace(each, made=each.made or each.id in ids) for each in self.reports)
        return replace(self, reports=tuple(reports))

    def ended(self, note: str = "") -> Status:
        """There will be no attempt any more; `note` says why there is no report either."""
        return replace(self, due=None, note=note or self.note)

    def held(self) -> Status:
        return replace(self, hold=True)

    def released(self, due: int) -> Status:
        return replace(self, hold=False, due=due)

    def rerouted(self, to: str) -> Status:
        return replace(self, reroute=to)

    def renewed(self, due: int) -> Status:
        """The operator wants it tried again: who failed waits anew, who is delivered stays so."""
        recipients = {a: s for a, s in self.recipients.items() if s.state is State.DELIVERED}
        return replace(self, attempts=0, due=due, hold=False, recipients=recipients, note="")

    def entry(self, old: Entry) -> Entry:
        """What the name is to tell once this is the status of `old`."""
        return old._replace(due=self._due_in_name(), serial=old.serial + 1)

    def _due_in_name(self) -> int | None:
        if self.pending or self.due is None:
            return 0
        return None if self.hold else max(self.due, 1)


def report_id(domain: str, letter: str, number: int, now: float) -> str:
    """The identifier of the report of this number about a letter at a domain, promised `now`.

    It is derived, so that two letters never promise the same one; its time is that of the promise, as a
    report has its own age. It is used only after it stands in the status, synced; whoever finds it there uses
    it again, and what exists under it is done."""
    return identifier.derived(now, letter, domain, str(number))


# the written form


def write_status(status: Status) -> bytes:
    """One line of JSON in ASCII."""
    value = {
        "version": _VERSION,
        "attempts": status.attempts,
        "due": status.due,
        "hold": status.hold,
        "reroute": status.reroute,
        "note": status.note,
        "recipients": {address: _standing(each) for address, each in status.recipients.items()},
        "reports": [
            {"id": each.id, "kind": each.kind, "recipients": each.recipients, "made": each.made}
            for each in status.reports
        ],
    }
    return json.dumps(value).encode("ascii") + b"\n"


def read_status(octets: bytes) -> Status:
    """The status in these octets. BrokenStatus; what a later version adds is skipped."""
    try:
        value = _Object(json.loads(octets))
        return Status(
            attempts=value.integer("attempts"),
            due=value.integer_or_none("due"),
            hold=value.boolean("hold"),
            reroute=value.string("reroute"),
            note=value.string("note"),
            recipients={a: _read_standing(_Object(s)) for a, s in value.items("recipients")},
            reports=tuple(_read_report(_Object(each)) for each in value.array("reports")),
        )
    # JSON's own errors are ValueErrors too, as is a state nobody knows.
    except (KeyError, ValueError, RecursionError) as error:
        raise BrokenStatus(f"the status cannot be read: {error!r}") from error


def _standing(standing: Standing) -> dict[str, object]:
    return {
        "state": standing.state.value,
        "reason": standing.reason,
        "status": standing.status,
        "reply": standing.reply,
        "detail": standing.detail,
        "host": standing.host,
        "when": standing.when,
    }


def _read_standing(value: _Object) -> Standing:
    return Standing(
        state=State(value.string("state")),
        reason=value.string("reason"),
        status=value.string("status"),
        reply=value.string("reply"),
        detail=value.string("detail"),
        host=value.string("host"),
        when=value.integer("when"),
    )


def _read_report(value: _Object) -> Report:
    report = value.string("id")
    if identifier.PATTERN.fullmatch(report) is None:
        raise ValueError(f"{report!r} is no identifier")
    addresses = value.array("recipients")
    if not all(isinstance(address, str) for address in addresses):
        raise ValueError("an address that is no string")
    return Report(report, value.string("kind"), tuple(map(str, addresses)), value.boolean("made"))


class _Object:
    """A JSON object whose members are asked for by type. KeyError, ValueError."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise ValueError("no object")
        self._value = value

    def string(self, key: str) -> str:
        return self._member(key, str)

    def boolean(self, key: str) -> bool:
        return self._member(key, bool)

    def integer(self, key: str) -> int:
        return self._member(key, int)

    def integer_or_none(self, key: str) -> int | None:
        return None if self._value[key] is None else self.integer(key)

    def array(self, key: str) -> list[object]:
        return self._member(key, list)

    def items(self, key: str) -> list[tuple[str, object]]:
        return list(self._member(key, dict).items())

    def _member(self, key: str, kind: type[_T]) -> _T:
        value = self._value[key]
        if not isinstance(value, kind):
            raise ValueError(f"{key} is no {kind.__name__}")
        return value
