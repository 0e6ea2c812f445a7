"""The loop's view of the accounts: a cache that never blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mta.loop import Loop
from mta.users.account import NOBODY, Account, Ban, Entry, IPAddress, Key
from mta.users.accounts import Accounts
from mta.users.errors import DatabaseDown


class NotCached(Exception):
    """These are not known yet: `fetch` them and ask again."""

    def __init__(self, keys: Iterable[Key]) -> None:
        super().__init__()
        self.keys = tuple(keys)


class Directory:
    """Everything here is for the loop's thread, and returns at once."""

    def __init__(self, loop: Loop, accounts: Accounts, fault: Callable[[str], None]) -> None:
        """`fault`: told, in the loop, once when the database does not answer any more."""
        self._loop = loop

    def entry(self, local: str, domain: str) -> Entry:
        """What the database says of this address. Raises NotCached."""
        return NOBODY

    def fetch(self, keys: Iterable[Key], done: Callable[[DatabaseDown | None], None]) -> None:
        """Look these up, then say so; never before this returns."""
        self._loop.post(lambda: done(None))

    def sender_addresses(
        self, account: Account, done: Callable[[frozenset[str] | DatabaseDown], None]
    ) -> None:
        """The addresses that this account may send as: its own, and aliases that lead to it alone."""
        self._loop.post(lambda: done(frozenset({account.address})))

    def ban_of(self, address: IPAddress) -> Ban | None:
        """The ban that this client is under."""
        return None

    def is_banned_user(self, user: str) -> bool:
        """Whether `name@domain` may not log in."""
        return False

    def close(self) -> None:
        """Nobody is told anything any more. Does not wait."""
