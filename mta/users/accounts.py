"""Accounts, aliases, bans and secrets, as questions and orders to the database. All of it blocks.

Every order is one transaction, which also tells in `changes` whose cached entries are old now.
"""

from __future__ import annotations

import math
import secrets as randomness
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import Column, Connection, Row, delete, func, or_, select, tuple_, update

from mta.users import aliases as alias_rows
from mta.users import changes as noted
from mta.users import people
from mta.users.account import ADMINISTRATOR, CATCH_ALL, NOBODY, Account, Alias, Ban, Entry, Key, Role
from mta.users.bans import subject_of
from mta.users.changes import Changes, Mark
from mta.users.database import Database
from mta.users.errors import NotFound
from mta.users.names import fit
from mta.users.passwords import Secrets
from mta.users.people import Newcomer
from mta.users.tables import bans, secrets, users

T = TypeVar("T")

_PAGE: Final = 1000
"""Rows read at once; no transaction is open between two pages."""
_MOST_KEYS: Final = 500
"""Addresses in one statement."""
_SECRET_OCTETS: Final = 32


class Accounts:
    """For commands and helper threads. Every method may raise DatabaseDown."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        """`clock`: epoch seconds, for bans that end."""
        self._database = database
        self._clock = clock

    # one account

    def find(self, name: str, domain: str) -> Account | None:
        """The account of this address."""
        return self.lookup([(name, domain)])[name, domain].account

    def secrets_of(self, name: str, domain: str) -> tuple[Account, Secrets] | None:
        """The account of this address, with its hash and its SCRAM verifier."""
        if not _is_possible((name, domain)):
            return None
        wanted = select(*people.PUBLIC, users.c.hash, users.c.scram).where(
            users.c.name == name, users.c.domain == domain
        )
        with self._database.reading() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else _with_secrets(row)

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
        newcomer = Newcomer(name, domain, secrets, role, folder)
        with self._database.writing() as connection:
            self._insert(connection, [newcomer], limit)
            return people.found(connection, [newcomer.key])[newcomer.key]

    def add_all(self, newcomers: Sequence[Newcomer], limit: int | None = None) -> None:
        """New accounts, all of them or, when something is wrong with one, none: see `add`."""
        with self._database.writing() as connection:
            self._insert(connection, newcomers, limit)

    def _insert(self, connection: Connection, newcomers: Sequence[Newcomer], limit: int | None) -> None:
        people.insert(connection, newcomers, limit)
        noted.note(connection, [ADMINISTRATOR, *(each.key for each in newcomers)])

    def delete(self, account_id: int) -> None:
        """Raises NotFound, LastAdministrator. Its mail stays where it is."""
        with self._changing(account_id) as (connection, account):
            people.keep_an_administrator(connection, account)
            connection.execute(delete(users).where(users.c.id == account_id))

    def set_secrets(self, account_id: int, secrets: Secrets) -> None:
        """A new password. Raises NotFound."""
        self._set(account_id, hash=secrets.hash, scram=secrets.scram)

    def renew_secrets(self, account_id: int, old: Secrets, new: Secrets) -> None:
        """The same password, hashed anew; nothing when it has been changed meanwhile."""
        still = (users.c.id == account_id) & (users.c.hash == old.hash)
        with self._database.writing() as connection:
            connection.execute(update(users).where(still).values(hash=new.hash, scram=new.scram))

    def set_role(self, account_id: int, role: Role) -> None:
        """Raises NotFound, LastAdministrator."""
        self._set(account_id, role is not Role.ADMINISTRATOR, role=role.value)

    def set_enabled(self, account_id: int, enabled: bool) -> None:
        """Raises NotFound, LastAdministrator."""
        self._set(account_id, not enabled, enabled=enabled)

    def set_quota(self, account_id: int, octets: int, messages: int) -> None:
        """0: no bound. Raises NotFound."""
        self._set(account_id, quota_octets=octets, quota_messages=messages)

    def _set(self, account_id: int, weakens: bool = False, **values: object) -> None:
        """`weakens`: an administrator would be none any more."""
        with self._changing(account_id) as (connection, account):
            if weakens:
                people.keep_an_administrator(connection, account)
            connection.execute(update(users).where(users.c.id == account_id).values(**values))

    @contextmanager
    def _changing(self, account_id: int) -> Iterator[tuple[Connection, Account]]:
        with self._database.writing() as connection:
            row = connection.execute(select(*people.PUBLIC).where(users.c.id == account_id)).first()
            if row is None:
                raise NotFound("this account does not exist any more")
            account = people.account_of(row)
            yield connection, account
            noted.note(connection, [ADMINISTRATOR, (account.name, account.domain)])

    # many accounts

    def users(self, domain: str | None = None) -> Iterator[Account]:
        """All of them, or those of a domain, by domain and name; read in portions."""
        return (people.account_of(row) for row in self._rows(domain, people.PUBLIC))

    def users_with_secrets(self, domain: str | None = None) -> Iterator[tuple[Account, Secrets]]:
        """The same with hashes and verifiers, for whoever writes them to a safe place."""
        columns = (*people.PUBLIC, users.c.hash, users.c.scram)
        return (_with_secrets(row) for row in self._rows(domain, columns))

    def _rows(self, domain: str | None, columns: Sequence[Column[Any]]) -> Iterator[Row[*tuple[Any, ...]]]:
        wanted = select(*columns).order_by(users.c.domain, users.c.name).limit(_PAGE)
        if domain is not None:
            wanted = wanted.where(users.c.domain == domain)
        last = ("", "")
        while True:
            behind = tuple_(users.c.domain, users.c.name) > last
            with self._database.reading() as connection:
                page = connection.execute(wanted.where(behind)).all()
            yield from page
            if len(page) < _PAGE:
                return
            last = (page[-1].domain, page[-1].name)

    def count(self) -> int:
        """How many accounts there are."""
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(users)).scalar_one()

    def first_administrator(self) -> Account | None:
        """The enabled administrator of the lowest id: who has been here for longest."""
        with self._database.reading() as connection:
            return people.first_administrator(connection)

    # aliases

    def targets(self, local: str, domain: str) -> tuple[str, ...]:
        """Where this alias leads, none when there is no such alias."""
        return self.lookup([(local, domain)])[local, domain].targets

    def aliases_of(self, account: Account) -> list[str]:
        """The aliases that lead to this account alone, by one step or several."""
        with self._database.reading() as connection:
            return alias_rows.leading_to(connection, account.address)

    def add_alias(self, local: str, domain: str, targets: Sequence[str]) -> None:
        """Lead this address to these as well. Raises UnfitName, AlreadyExists when it does already."""
        key = (local if local == CATCH_ALL else fit(local), domain)
        with self._database.writing() as connection:
            alias_rows.add(connection, key, tuple(dict.fromkeys(targets)))
            noted.note(connection, [key])

    def delete_alias(self, local: str, domain: str, targets: Sequence[str] = ()) -> None:
        """Forget the alias, or these of its targets. Raises NotFound."""
        with self._database.writing() as connection:
            alias_rows.remove(connection, (local, domain), targets)
            noted.note(connection, [(local, domain)])

    def aliases(self, domain: str | None = None) -> Iterator[Alias]:
        """All of them, or those of a domain, by domain and local part; read in portions."""
        last = ("", "")
        while True:
            with self._database.reading() as connection:
                page = alias_rows.page_of(connection, domain, last, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            last = (page[-1].local, page[-1].domain)

    # bans

    def bans(self) -> list[Ban]:
        """Those in force, by subject."""
        ending = or_(bans.c.until.is_(None), bans.c.until > self._clock())
        with self._database.reading() as connection:
            rows = connection.execute(select(bans).where(ending).order_by(bans.c.subject))
            return [Ban(row.subject, row.until) for row in rows]

    def add_ban(self, subject: str, until: float | None) -> Ban:
        """`subject`: an address, a network, or `name@domain`; banned already, it gets the new time.

        Raises UnfitName."""
        ban = Ban(subject_of(subject), None if until is None else math.ceil(until))
        with self._database.writing() as connection:
            self._lift(connection, ban.subject)
            connection.execute(bans.insert().values(subject=ban.subject, until=ban.until))
            noted.note_bans(connection)
        return ban

    def delete_ban(self, subject: str) -> None:
        """Raises UnfitName, NotFound."""
        with self._database.writing() as connection:
            if not self._lift(connection, subject_of(subject)):
                raise NotFound(f"{subject} is not banned")
            noted.note_bans(connection)

    def _lift(self, connection: Connection, subject: str) -> bool:
        """Those that are over go with it."""
        connection.execute(delete(bans).where(bans.c.until <= self._clock()))
        return connection.execute(delete(bans).where(bans.c.subject == subject)).rowcount > 0

    # for the cache

    def lookup(self, keys: Iterable[Key]) -> Mapping[Key, Entry]:
        """What there is to know of these addresses: an entry for every key."""
        wanted = dict.fromkeys(keys)
        possible = [key for key in wanted if _is_possible(key)]
        entries: dict[Key, Entry] = {}
        if possible:
            with self._database.reading() as connection:
                for portion in _portions(possible, _MOST_KEYS):
                    entries.update(_entries(connection, portion))
        for key in wanted:
            entries.setdefault(key, NOBODY)
        return entries

    def changes_since(self, mark: Mark | None) -> Changes:
        """What was changed after `mark`; without one, everything was."""
        with self._database.reading() as connection:
            opened = self._database.opened
            if mark is None or mark.opened != opened:
                return noted.anything(connection, opened)
            return noted.since(connection, mark)

    # secrets of the server itself

    def secret(self, name: str) -> bytes:
        """32 random octets that are made when first asked for, and stay the same for ever."""
        known = select(secrets.c.octets).where(secrets.c.name == name)
        with self._database.reading() as connection:
            found = connection.execute(known).scalar()
        return self._make_secret(name) if found is None else bytes(found)

    def _make_secret(self, name: str) -> bytes:
        known = select(secrets.c.octets).where(secrets.c.name == name)
        with self._database.writing() as connection:
            found = connection.execute(known).scalar()
            if found is not None:  # another process was faster
                return bytes(found)
            octets = randomness.token_bytes(_SECRET_OCTETS)
            connection.execute(secrets.insert().values(name=name, octets=octets))
        return octets


def _with_secrets(row: Row[*tuple[Any, ...]]) -> tuple[Account, Secrets]:
    return people.account_of(row), Secrets(row.hash, row.scram)


def _entries(connection: Connection, keys: Sequence[Key]) -> Iterator[tuple[Key, Entry]]:
    known = people.found(connection, keys)
    leading = alias_rows.targets_of(connection, keys)
    for key in known.keys() | leading.keys():
        yield key, Entry(known.get(key), leading.get(key, ()))
    first = people.first_administrator(connection) if ADMINISTRATOR in keys else None
    if first is not None:
        yield ADMINISTRATOR, Entry(first, ())


def _is_possible(key: Key) -> bool:
    """Whether a database can be asked for this: PostgreSQL knows no NUL, and nobody a lone surrogate."""
    text = "".join(key)
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _portions(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]
