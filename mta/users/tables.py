"""The tables. This is the database as of `migrations.VERSION`; a change here is a new version there.

Whoever writes by other means than `Accounts` appends to `changes` too, or restarts the server: a running one
remembers what it has read.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

METADATA: Final = MetaData()

_Serial: Final = BigInteger().with_variant(Integer, "sqlite")
"""Only an INTEGER counts by itself in SQLite."""

version = Table(
    "schema_version",
    METADATA,
    Column("version", Integer, nullable=False),
)
"""One row."""

users = Table(
    "users",
    METADATA,
    Column("id", _Serial, primary_key=True),
    Column("name", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("folder", Text, nullable=False, unique=True),
    Column("hash", Text, nullable=False),
    Column("scram", Text, nullable=False, default=""),
    Column("role", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("quota_octets", BigInteger, nullable=False, default=0),
    Column("quota_messages", BigInteger, nullable=False, default=0),
    UniqueConstraint("domain", "name"),
    # An account's identity in logs and limits must not pass to a later one.
    sqlite_autoincrement=True,
)

aliases = Table(
    "aliases",
    METADATA,
    Column("id", _Serial, primary_key=True),
    Column("local", Text, nullable=False),
    Column("domain", Text, nullable=False),
    UniqueConstraint("domain", "local"),
)

targets = Table(
    "targets",
    METADATA,
    Column("id", _Serial, primary_key=True),
    Column("alias", ForeignKey("aliases.id", ondelete="CASCADE"), nullable=False),
    Column("address", Text, nullable=False, index=True),
    UniqueConstraint("alias", "address"),
)
"""Where aliases lead, in the order of `id`."""

bans = Table(
    "bans",
    METADATA,
    Column("subject", Text, primary_key=True),
    Column("until", BigInteger),
)
"""`until`: epoch seconds; NULL: for ever."""

secrets = Table(
    "secrets",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("octets", LargeBinary, nullable=False),
)

changes = Table(
    "changes",
    METADATA,
    Column("serial", _Serial, primary_key=True),
    Column("what", Text, nullable=False),
    Column("local", Text, nullable=False, default=""),
    Column("domain", Text, nullable=False, default=""),
    # A serial number is never used twice, however many of the last rows are gone.
    sqlite_autoincrement=True,
)
"""What whoever remembers must forget: `what` is one address, all of them, or the bans."""

ADDRESS: Final = "address"
EVERYTHING: Final = "everything"
BANS: Final = "bans"


@event.listens_for(users, "after_create")
def _index_roles(_users: Table, connection: Connection, **_: object) -> None:
    """Administrators are looked for at every change of one, among many who are none.

    In SQL, which both databases read alike: an Index with such a condition would load all that SQLAlchemy has
    for either, 5 MB."""
    connection.execute(text("CREATE INDEX users_role ON users (role) WHERE role <> 'user'"))
