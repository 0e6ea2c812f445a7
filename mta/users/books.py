"""The books: all that the policy asks of the database, for the loop. What is not known at once raises
NotCached, and is there after a `fetch`.

Besides the directory's entries this is the first administrator, who is postmaster where nobody else is, and
the secret of the return addresses for forwarded mail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from mta.users.account import Account, Entry, Key
from mta.users.accounts import Accounts
from mta.users.directory import Directory, NotCached
from mta.users.errors import DatabaseDown
from mta.users.srs import Srs

Fetched: TypeAlias = Callable[[DatabaseDown | None], None]
_Facts: TypeAlias = tuple[Account | None, bytes]

SECRET: Final = "srs"
_FRESH: Final = 1.0
"""Seconds for which the first administrator is believed to be the same."""
_DAY: Final = 86400


class Books:
    """Everything here is for the loop's thread, and returns at once."""

    def __init__(
        self,
        directory: Directory,
        accounts: Accounts,
        run: Callable[[Callable[[], _Facts | DatabaseDown], Callable[[_Facts | DatabaseDown], None]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`run(job, done)`: do the one in a thread, then the other with its result in the loop."""
        self._directory = directory
        self._accounts = accounts
        self._run = run
        self._clock = clock
        self._secret: bytes | None = None
        self._administrator: Account | None = None
        self._believed = 0.0
        self.entry = directory.entry
        """What is known of an address; see Directory."""

    def administrator(self) -> Account | None:
        """The first administrator that is enabled. Raises NotCached."""
        if self._clock() >= self._believed:
            raise NotCached(())
        return self._administrator

    def srs(self) -> Srs:
        """What writes today's return addresses. Raises NotCached."""
        if self._secret is None:
            raise NotCached(())
        return Srs(self._secret, int(time.time()) // _DAY)

    def fetch(self, keys: Iterable[Key], done: Fetched) -> None:
        """What NotCached named (no keys: the rest); then `done`, never before this returns."""
        wanted = tuple(keys)
        if wanted:
            self._directory.fetch(wanted, done)
        else:
            self._run(self._look_up, lambda facts: self._looked_up(facts, done))

    def _look_up(self) -> _Facts | DatabaseDown:
        """In a helper thread."""
        try:
            return self._accounts.first_administrator(), self._accounts.secret(SECRET)
        except DatabaseDown as down:
            return down

    def _looked_up(self, facts: _Facts | DatabaseDown, done: Fetched) -> None:
        if isinstance(facts, DatabaseDown):
            done(facts)
            return
        self._administrator, self._secret = facts
        self._believed = self._clock() + _FRESH
        done(None)


class OpenBooks:
    """The same for commands: everything blocks, and nothing is ever missing. Every method may raise
    DatabaseDown."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.administrator = accounts.first_administrator

    def entry(self, local: str, domain: str) -> Entry:
        """What is known of an address."""
        return self._accounts.lookup([(local, domain)])[local, domain]

    def srs(self) -> Srs:
        """What writes today's return addresses."""
        return Srs(self._accounts.secret(SECRET), int(time.time()) // _DAY)
