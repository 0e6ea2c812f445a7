"""Accounts, aliases, bans and secrets, as questions and orders to the database. All of it blocks.

Every order is one transaction, which also tells in `changes` whose cached entries are old now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mta.users.account import Account, Alias, Ban, Entry, Key, Role
from mta.users.database import Database

if TYPE_CHECKING:
    from mta.users.passwords import Secrets


class Changes(NamedTuple):
    """What has changed since a serial number."""

    serial: int
    keys: frozenset[Key]
    everything: bool
    """Too much to tell: all that is cached is old."""
    bans: bool


class Accounts:
    """For commands and helper threads. Every method may raise DatabaseDown."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # one account

    def find(self, name: str, domain: str) -> Account | None:
        """The account of this address."""
        raise NotImplementedError

    def secrets_of(self, name: str, domain: str) -> tuple[Account, Secrets] | None:
        """The account of this address, with its hash and its SCRAM verifier."""
        raise NotImplementedError

    def add(
        self,
        name: str,
        domain: str,
        secrets: Secrets,
        *,
        role: Role = Role.USER,
        folder: str | None = None,
        limit: int | None = None,
    ) -> Account:
        """A new account. `folder`: chosen when None. `limit`: how many accounts there may be then.

        Raises UnfitName, AlreadyExists, TooManyUsers."""
        raise NotImplementedError

    def delete(self, account_id: int) -> None:
        """Raises NotFound, LastAdministrator. Its mail stays where it is."""
        raise NotImplementedError

    def set_secrets(self, account_id: int, secrets: Secrets) -> None:
        """A new password, or its hash in a newer form. Raises NotFound."""
        raise NotImplementedError

    def set_role(self, account_id: int, role: Role) -> None:
        """Raises NotFound, LastAdministrator."""
        raise NotImplementedError

    def set_enabled(self, account_id: int, enabled: bool) -> None:
        """Raises NotFound, LastAdministrator."""
        raise NotImplementedError

    def set_quota(self, account_id: int, octets: int, messages: int) -> None:
        """0: no bound. Raises NotFound."""
        raise NotImplementedError

    # many accounts

    def users(self, domain: str | None = None) -> Iterator[Account]:
        """All of them, or those of a domain, by domain and name; read in portions."""
        raise NotImplementedError

    def count(self) -> int:
        """How many accounts there are."""
        raise NotImplementedError

    def first_administrator(self) -> Account | None:
        """The enabled administrator who has been one for longest (the lowest id)."""
        raise NotImplementedError

    # aliases

    def targets(self, local: str, domain: str) -> tuple[str, ...]:
        """Where this alias leads, none when there is no such alias."""
        raise NotImplementedError

    def aliases_of(self, account: Account) -> list[str]:
        """The aliases that lead to this account alone, by one step or several."""
        raise NotImplementedError

    def add_alias(self, local: str, domain: str, targets: Sequence[str]) -> None:
        """Lead this address to these as well. Raises UnfitName, AlreadyExists when it does already."""
        raise NotImplementedError

    def delete_alias(self, local: str, domain: str, targets: Sequence[str] = ()) -> None:
        """Forget the alias, or these of its targets. Raises NotFound."""
        raise NotImplementedError

    def aliases(self, domain: str | None = None) -> Iterator[Alias]:
        """All of them, or those of a domain, by domain and local part; read in portions."""
        raise NotImplementedError

    # bans

    def bans(self) -> list[Ban]:
        """Those in force."""
        raise NotImplementedError

    def add_ban(self, subject: str, until: float | None) -> Ban:
        """`subject`: an address, a network, or `name@domain`; banned already, it gets the new time."""
        raise NotImplementedError

    def delete_ban(self, subject: str) -> None:
        """Raises NotFound."""
        raise NotImplementedError

    # for the cache

    def lookup(self, keys: Iterable[Key]) -> Mapping[Key, Entry]:
        """What there is to know of these addresses: an entry for every key."""
        raise NotImplementedError

    def changes_since(self, serial: int) -> Changes:
        """What was changed after `serial`. Below 0: nothing is told but where we are now."""
        raise NotImplementedError

    # secrets of the server itself

    def secret(self, name: str) -> bytes:
        """32 random octets that are made when first asked for, and stay the same for ever."""
        raise NotImplementedError
