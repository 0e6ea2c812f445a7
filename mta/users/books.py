"""The books: all that the policy asks of the database. Books for the loop know what the directory has cached;
what is missing raises NotCached, and is there after a `fetch`. Open ones are for commands, and block.

Besides the entries of addresses this is the secret of the return addresses for forwarded mail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from mta.users.account import ADMINISTRATOR, Account, Entry, Key
from mta.users.directory import Directory, NotCached
from mta.users.errors import DatabaseDown
from mta.users.srs import Srs

if TYPE_CHECKING:
    from mta.users.accounts import Accounts

Fetched: TypeAlias = Callable[[DatabaseDown | None], None]

SECRET: Final = "srs"
_DAY: Final = 86400


class Books:
    """Everything here is for the loop's thread, and returns at once."""

    def __init__(self, directory: Directory, accounts: Accounts) -> None:
        self._directory = directory
        self._accounts = accounts
        self._secret: bytes | None = None
        self.entry = directory.entry
        """What is known of an address; see Directory."""

    def administrator(self) -> Account | None:
        """The first administrator that is enabled. Raises NotCached."""
        return self.entry(*ADMINISTRATOR).account

    def srs(self) -> Srs:
        """What writes today's return addresses. Raises NotCached."""
        if self._secret is None:
            raise NotCached(())
        return Srs(self._secret, _today())

    def fetch(self, keys: Iterable[Key], done: Fetched) -> None:
        """What NotCached named (no keys: the secret); then `done`, never before this returns."""
        wanted = tuple(keys)
        if wanted:
            self._directory.fetch(wanted, done)
        else:
            self._directory.ask(partial(self._accounts.secret, SECRET), partial(self._learn, done))

    def _learn(self, done: Fetched, answer: bytes | DatabaseDown) -> None:
        if isinstance(answer, DatabaseDown):
            done(answer)
        else:
            self._secret = answer
            done(None)


class OpenBooks:
    """The same for commands: nothing is ever missing. Every method may raise DatabaseDown."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def entry(self, local: str, domain: str) -> Entry:
        """What is known of an address."""
        return self._accounts.lookup([(local, domain)])[local, domain]

    def administrator(self) -> Account | None:
        """The first administrator that is enabled."""
        return self.entry(*ADMINISTRATOR).account

    def srs(self) -> Srs:
        """What writes today's return addresses."""
        return Srs(self._accounts.secret(SECRET), _today())


def _today() -> int:
    return int(time.time()) // _DAY
