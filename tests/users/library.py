"""Databases for tests: a file, or one of a PostgreSQL that is started for the session."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import glob
from itertools import count
from pathlib import Path

from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.passwords import Secrets
from tests.conftest import needs

SECRETS = Secrets("$argon2id$no-hash-of-anything", "")


class Library:
    """One empty database, which can go away and come back."""

    def __init__(self, url: str, gone: Callable[[], None], back: Callable[[], None]) -> None:
        self.url = url
        self._gone = gone
        self._back = back
        self._opened: list[Database] = []

    def database(self) -> Database:
        """The database, as one more process would open it."""
        self._opened.append(Database(self.url))
        return self._opened[-1]

    def accounts(self) -> Accounts:
        """The accounts in it, as one more process would see them."""
        return Accounts(self.database())

    @contextmanager
    def down(self) -> Iterator[None]:
        """It does not answer meanwhile."""
        self._gone()
        try:
            yield
        finally:
            self._back()

    def close(self) -> None:
        for database in self._opened:
            database.close()


def in_file(folder: Path) -> Library:
    """A SQLite file. It goes away by a link to nowhere that takes its place, at no moment seen half done."""
    file, aside, link = folder / "users.db", folder / "aside.db", folder / "link"

    def gone() -> None:
        if file.exists():
            aside.hardlink_to(file)
        link.symlink_to("nowhere/users.db")
        link.replace(file)

    def back() -> None:
        if aside.exists():
            aside.replace(file)
        else:
            file.unlink()

    return Library(f"sqlite:///{file}", gone, back)


class Server:
    """A PostgreSQL in a folder of its own, reached by a socket there and nowhere else."""

    def __init__(self) -> None:
        self._programs = _programs()
        self._user = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="mta-postgres-"))
        if self._user is not None:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._data = self._folder / "data"
        self._numbers = count()

    def start(self) -> None:
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-k {self._folder} -c listen_addresses='' -c fsync=off -c max_connections=50"
        log = self._folder / "log"
        self._run("pg_ctl", "-D", self._data, "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")
        shutil.rmtree(self._folder)

    def library(self) -> Library:
        """A new database. It goes away by letting nobody in any more."""
        name = f"mta{next(self._numbers)}"
        self._sql(f"CREATE DATABASE {name}")
        return Library(
            f"postgresql://postgres@/{name}?host={self._folder}",
            lambda: self._sql(
                f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
            ),
            lambda: self._sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"),
        )

    def _sql(self, *statements: str) -> None:
        words = [word for statement in statements for word in ("-c", statement)]
        self._run(
            "psql", "-h", self._folder, "-U", "postgres", "-d", "postgres", "-q", "-o", os.devnull, *words
        )

    def _run(self, program: str, *words: str | Path) -> None:
        # Its output goes to a file: a server would keep a pipe open.
        with tempfile.TemporaryFile() as said:
            ended = subprocess.run(
                [self._programs / program, *words],
                user=self._user,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                check=False,
            )
            said.seek(0)
            assert ended.returncode == 0, said.read().decode()


def _programs() -> Path:
    """Where PostgreSQL's programs are; Debian puts only some of them where one would look."""
    folders = sorted(glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(path.split("/")[-2]))
    return Path(folders[-1]) if folders else Path(needs("initdb")).parent
