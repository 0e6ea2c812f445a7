"""The books of the relay: closed until the first report goes to somebody here.

Most relays never ask for an account, so what reads the database is loaded when one does, in a helper thread:
until then whatever is asked raises NotCached, as it does for anything not looked up yet, and the `fetch` that
follows opens the books first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from mta.loop import Loop
from mta.store import Helpers
from mta.users.account import ADMINISTRATOR, Account, Entry, Key
from mta.users.books import Books, Fetched
from mta.users.directory import Directory, NotCached
from mta.users.errors import DatabaseDown
from mta.users.srs import Srs

if TYPE_CHECKING:
    from mta.users.accounts import Accounts


class LateBooks:
    """What Books are, sooner or later. For the loop's thread."""

    def __init__(self, loop: Loop, helpers: Helpers, url: str, fault: Callable[[str], None]) -> None:
        """`url`: `users.database`; `fault`: told when the database does not answer any more."""
        self._loop = loop
        self._helpers = helpers
        self._url = url
        self._fault = fault
        self._books: Books | None = None
        self._directory: Directory | None = None
        self._waiting: list[Fetched] = []
        self._closed = False

    def entry(self, local: str, domain: str) -> Entry:
        """What is known of an address. Raises NotCached."""
        if self._books is None:
            raise NotCached(((local, domain),))
        return self._books.entry(local, domain)

    def administrator(self) -> Account | None:
        """The first administrator that is enabled. Raises NotCached."""
        return self.entry(*ADMINISTRATOR).account

    def srs(self) -> Srs:
        """What writes today's return addresses. Raises NotCached."""
        if self._books is None:
            raise NotCached(())
        return self._books.srs()

    def fetch(self, keys: Iterable[Key], done: Fetched) -> None:
        """What NotCached named; then `done`, never before this returns."""
        if self._books is not None:
            self._books.fetch(keys, done)
            return
        self._waiting.append(partial(self._fetch, tuple(keys), done))
        if len(self._waiting) == 1:
            self._helpers.run(partial(_accounts, self._url), self._open)

    def close(self) -> None:
        """Nobody is told anything any more."""
        self._closed = True
        if self._directory is not None:
            self._directory.close()

    def _fetch(self, keys: Iterable[Key], done: Fetched, down: DatabaseDown | None) -> None:
        if down is None:
            self.fetch(keys, done)
        else:
            done(down)

    def _open(self, accounts: Accounts | OSError) -> None:
        if self._closed:
            return
        down = None
        if isinstance(accounts, OSError):
            down = DatabaseDown(f"what reads the accounts cannot be loaded: {accounts}")
            self._fault(str(down))
        else:
            self._directory = Directory(self._loop, accounts, self._fault)
            self._books = Books(self._directory, accounts)
        waiting, self._waiting = self._waiting, []
        for fetch in waiting:
            fetch(down)


def _accounts(url: str) -> Accounts:
    """Loads SQLAlchemy: 15 MB, and a quarter of a second."""
    from mta.users.accounts import Accounts
    from mta.users.database import Database

    return Accounts(Database(url))
