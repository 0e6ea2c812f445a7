"""What has changed: written by every order in its own transaction, read by whoever remembers answers.

A reader's mark is the last row it has seen. That row is read again each time: as long as it is still there,
nothing before it has been missed. When it is gone (so much has changed since, or the database is another
one), everything may have changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, Row, delete, func, select

from mta.users.account import Key
from mta.users.tables import ADDRESS, BANS, EVERYTHING, changes

_KEPT: Final = 10_000
"""Rows; a reader that falls further behind forgets all it knew."""
_MOST_AT_ONCE: Final = 100
"""More addresses than this in one order are told as everything."""


class Mark(NamedTuple):
    """How far a reader is: which time the database was opened, and a row of then."""

    opened: int
    serial: int


class Changes(NamedTuple):
    """What is not as it was at a mark."""

    mark: Mark
    """For the next time."""
    keys: frozenset[Key]
    everything: bool
    bans: bool


def note(connection: Connection, keys: Sequence[Key]) -> None:
    """What is known of these addresses is old."""
    if len(keys) > _MOST_AT_ONCE:
        _append(connection, [{"what": EVERYTHING, "local": "", "domain": ""}])
    else:
        _append(connection, [{"what": ADDRESS, "local": key[0], "domain": key[1]} for key in keys])


def note_bans(connection: Connection) -> None:
    """The bans are others now."""
    _append(connection, [{"what": BANS, "local": "", "domain": ""}])


def since(connection: Connection, mark: Mark) -> Changes:
    """What was noted after `mark`."""
    newer = changes.c.serial >= mark.serial
    rows = connection.execute(
        select(changes).where(newer).order_by(changes.c.serial).limit(_MOST_AT_ONCE * 10)
    ).all()
    if not rows or rows[0].serial != mark.serial or len(rows) == _MOST_AT_ONCE * 10:
        return anything(connection, mark.opened)
    return Changes(
        mark._replace(serial=rows[-1].serial),
        frozenset((row.local, row.domain) for row in rows[1:] if row.what == ADDRESS),
        _has(rows, EVERYTHING),
        _has(rows, BANS),
    )


def anything(connection: Connection, opened: int) -> Changes:
    """Where we are, for a reader that cannot know what it missed."""
    serial = connection.execute(select(func.max(changes.c.serial))).scalar() or 0
    return Changes(Mark(opened, serial), frozenset(), everything=True, bans=True)


def _append(connection: Connection, rows: list[dict[str, str]]) -> None:
    connection.execute(changes.insert(), rows)
    last = select(func.max(changes.c.serial)).scalar_subquery()
    connection.execute(delete(changes).where(changes.c.serial <= last - _KEPT))


def _has(rows: Sequence[Row[tuple[int, str, str, str]]], what: str) -> bool:
    return any(row.what == what for row in rows[1:])
