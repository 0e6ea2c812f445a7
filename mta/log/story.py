"""The life of a message or of a session, put together from the records of it.

A message's records carry its id; the session it came in has records without one, of which those belong to it
that begin or end the session and those since the message before. A session's story is all of its records and
what became of each message of it. A report is a message of its own, whose life follows.

Records come from wherever they are found; this module opens nothing and prints nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mta.log.logfmt import Record

Find = Callable[[Sequence[str]], Iterable[Record]]
"""All records in which one of these words stands, in any order."""

IDENTIFIER: Final = re.compile(r"[0-9a-z]{20}")

_FRAME: Final = frozenset({"connected", "tls_started", "logged_in", "closed"})
"""Events of a session that belong to each of its messages."""


@dataclass(frozen=True, slots=True)
class Story:
    """Records in the order in which they happened; `subject` is the id of the message or session."""

    subject: str
    records: tuple[Record, ...]

    @property
    def recipients(self) -> list[str]:
        """Everybody the message was taken for."""
        taken = (r for r in self.records if r.event in ("accepted", "recipients") and self._is_own(r))
        return [recipient for record in taken for recipient in record.list("recipients")]

    @property
    def is_message(self) -> bool:
        return any(self._is_own(record) for record in self.records)

    def _is_own(self, record: Record) -> bool:
        return record.fields.get("id") == self.subject


def story_of(subject: str, find: Find) -> Story | None:
    """The story of this message or session; None when nothing is known of it."""
    own = _in_order(find([subject]))
    if not own:
        return None
    if any(record.fields.get("id") == subject for record in own):
        return Story(subject, _in_order([*_message(subject, own, find)]))
    messages = [record.fields["id"] for record in own if record.event == "accepted"]
    later = [record for record in find(messages) if record not in own] if messages else []
    return Story(subject, _in_order([*own, *later, *_reports(messages, later, find)]))


def _message(subject: str, own: Sequence[Record], find: Find) -> Iterator[Record]:
    records = [record for record in own if subject in (record.fields.get("id"), *_about(record))]
    yield from records
    yield from _reports([subject], own, find)
    session = next((r.fields["session"] for r in records if "session" in r.fields), None)
    if session is not None:
        yield from _arrival(subject, _in_order(find([session])))


def _arrival(subject: str, session: Sequence[Record]) -> Iterator[Record]:
    """What happened in the session on the way to this message."""
    since: list[Record] = []
    for record in session:
        if record.event in _FRAME:
            yield record
        elif record.event == "accepted" and record.fields["id"] == subject:
            yield from since
            since = []
        elif record.event == "accepted":
            since = []
        elif "id" not in record.fields:
            since.append(record)


def _reports(messages: Sequence[str], records: Iterable[Record], find: Find) -> list[Record]:
    """What became of the reports that were made of these messages."""
    made = [record.fields["id"] for record in records if not set(messages).isdisjoint(_about(record))]
    return [record for record in find(made) if record.event != "reported"] if made else []


def _about(record: Record) -> list[str]:
    """The messages that a report tells of."""
    return record.list("about") if "about" in record.fields else []


def _in_order(records: Iterable[Record]) -> tuple[Record, ...]:
    """By time; records of one moment as they were found, each once."""
    seen: dict[tuple[str, str, str], Record] = {}
    for record in records:
        seen.setdefault((record.time, record.event, repr(record.fields)), record)
    return tuple(sorted(seen.values(), key=lambda record: record.time))
