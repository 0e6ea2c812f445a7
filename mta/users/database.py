"""The database behind the accounts: SQLite in a file, or PostgreSQL, by its URL.

Two kinds of transaction: any number are `reading`, and one at a time, in all processes, is `writing`. That is
what makes bounds hold that a statement alone could not promise (the last administrator, `limits.users`), and
lets the serial numbers of changes appear in their order.

Whatever keeps the database from answering becomes DatabaseDown, with the reason; no other error of the driver
leaves this module but a broken constraint.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url, text

from mta.users.errors import DatabaseDown, NoDatabase
from mta.users.migrations import is_current, upgrade

__all__ = ["Database", "DatabaseDown"]

_PATIENCE: Final = 10
"""Seconds for a lock, a connection, a statement."""
_WRITERS_LOCK: Final = 0x6D7461
"""The number of the lock that PostgreSQL gives to one writer at a time; ours by the letters m, t, a."""


class Database:
    """One database. Nothing is opened before it is asked. Safe for several threads."""

    def __init__(self, url: str, *, make: bool = True) -> None:
        """`url`: `users.database`. `make`: a SQLite file that is missing is made on first use, with 0600."""
        self._url = url
        self._make = make
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._file: Path | None = None
        self.opened = 0
        """How often; another time it may be another database."""
        self._identity: tuple[int, int] | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that changes nothing. Raises DatabaseDown, inside of it too."""
        with self._faults(), self._ready().connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that nobody else writes during. Raises DatabaseDown, inside of it too."""
        with self._faults(), _writing(self._ready()) as connection:
            yield connection

    def close(self) -> None:
        """Close what is open. It may be asked again, and opens then."""
        with self._lock:
            self._forget()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except exc.IntegrityError:
            raise
        except exc.DBAPIError as error:
            raise DatabaseDown(f"{self._name()}: {_first_line(error.orig)}") from error
        except (exc.SQLAlchemyError, OSError) as error:
            raise DatabaseDown(f"{self._name()}: {_first_line(error)}") from error

    def _name(self) -> str:
        return str(self._file) if self._file is not None else "the database of the accounts"

    # opening

    def _ready(self) -> Engine:
        """The engine of a database whose tables are up to date."""
        with self._lock:
            if self._engine is not None and self._is_same_file():
                return self._engine
            self._forget()
            engine = self._open()
            identity = self._identify()  # now: what takes its place while we prepare it is another one
            try:
                _prepare(engine)
            except BaseException:
                engine.dispose()
                raise
            self._engine, self._identity = engine, identity
            self.opened += 1
            return engine

    def _open(self) -> Engine:
        try:
            url = make_url(self._url)
        except ValueError as error:  # a port that is no number; the text would show the password
            raise DatabaseDown("users.database: this URL cannot be read") from error
        if url.get_backend_name() == "sqlite":
            return self._open_file(url)
        return _postgresql(url)

    def _open_file(self, url: URL) -> Engine:
        self._file = Path(url.database or "")
        if self._make:
            _make_file(self._file)
        elif not self._file.exists():
            raise NoDatabase(f"{self._file}: there is no database yet")
        return _sqlite(url)

    def _forget(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
        self._engine = None

    def _is_same_file(self) -> bool:
        """A backup put back in its place is another file, and we would go on reading the old one."""
        return self._identity == self._identify()

    def _identify(self) -> tuple[int, int] | None:
        if self._file is None:
            return None
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino


def _prepare(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin():
        if is_current(connection):
            return
    with _writing(engine) as connection:
        upgrade(connection)


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(writing=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _WRITERS_LOCK})
        yield connection


def _first_line(error: BaseException | None) -> str:
    """What is wrong, without the statement and its parameters: those may be secret."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


# SQLite


def _make_file(path: Path) -> None:
    """Ours alone from its first moment; SQLite gives the journal beside it the same rights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url.set(drivername="sqlite"), connect_args={"timeout": _PATIENCE})
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begin)
    return engine


def _connected(connection: sqlite3.Connection, _record: object) -> None:
    """What is committed survives a power cut.

    No write-ahead log: it would let readers go on during the millisecond of a commit, but it is a second
    file, and a backup put in place of the first one would be read together with the wrong log."""
    connection.isolation_level = None  # we begin by ourselves, below
    for pragma in ("journal_mode = DELETE", "synchronous = EXTRA", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    """A writer takes its lock at once: two readers who both become writers could only give up."""
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


# PostgreSQL


def _postgresql(url: URL) -> Engine:
    """Its connections notice a server that went away, and wait for nothing for ever."""
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": _PATIENCE,
            "tcp_user_timeout": _PATIENCE * 1000,
            "application_name": "mta",
            "options": f"-c statement_timeout={_PATIENCE}s -c lock_timeout={_PATIENCE}s",
        },
    )
