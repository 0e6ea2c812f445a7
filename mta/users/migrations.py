"""Versions of the tables: a new database is made, an older one brought up to date, a newer one left alone.

Everything happens in one transaction of a writer, of which there is only one at a time; so two processes that
start together do not both begin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection, inspect, select, update

from mta.users.errors import NewerDatabase
from mta.users.tables import EVERYTHING, METADATA, changes, version

VERSION: Final = 1
"""Of the tables as `tables` declares them."""

Step = Callable[[Connection], None]

STEPS: Final[Mapping[int, Step]] = {}
"""What brings a database of this version to the next one. A step says in SQL of its own what it does: the
declarations of today are not those of its time."""


def is_current(connection: Connection) -> bool:
    """Whether the tables can be used as they are. Raises NewerDatabase."""
    return _version(connection) == VERSION


def upgrade(connection: Connection) -> None:
    """Make the tables, or bring them up to date. Raises NewerDatabase."""
    found = _version(connection)
    if found is None:
        METADATA.create_all(connection)
        connection.execute(version.insert().values(version=VERSION))
        connection.execute(changes.insert().values(what=EVERYTHING))  # whoever reads them begins somewhere
        return
    for number in range(found, VERSION):
        STEPS[number](connection)
    connection.execute(update(version).values(version=VERSION))


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(version.name):
        return None
    found = connection.execute(select(version.c.version)).scalar_one()
    if found > VERSION:
        raise NewerDatabase(
            f"the database is of version {found}, this program knows up to {VERSION}: use a newer mta"
        )
    return int(found)
