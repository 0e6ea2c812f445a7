"""Accounts in the database: what `Accounts` asks and orders about them, within its transactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, func, select, tuple_

from mta.config.units import Unfit, parse_domain
from mta.users.account import Account, Key, Role
from mta.users.errors import AlreadyExists, LastAdministrator, TooManyUsers, UnfitName
from mta.users.homes import Folders
from mta.users.names import fit
from mta.users.passwords import Secrets
from mta.users.tables import users

PUBLIC: Final = (
    users.c.id,
    users.c.name,
    users.c.domain,
    users.c.folder,
    users.c.role,
    users.c.enabled,
    users.c.quota_octets,
    users.c.quota_messages,
)
"""The columns of an Account, in its order."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An account to be."""

    name: str
    domain: str
    secrets: Secrets
    role: Role = Role.USER
    folder: str | None = None
    """None: `name`, or `domain/name` when somebody has that."""
    enabled: bool = True
    quota_octets: int = 0
    quota_messages: int = 0

    @property
    def key(self) -> Key:
        return self.name, self.domain


def account_of(row: Row[*tuple[Any, ...]]) -> Account:
    """An account from a row that begins with the public columns.

    Many are remembered: those of a domain share its name, and most have a folder of their own name."""
    number, name, domain, folder, role, *rest = row[: len(PUBLIC)]
    return Account(number, name, intern(domain), name if folder == name else folder, Role(role), *rest)


def found(connection: Connection, keys: Sequence[Key]) -> Mapping[Key, Account]:
    """The accounts of these addresses, as far as there are any."""
    rows = connection.execute(select(*PUBLIC).where(tuple_(users.c.name, users.c.domain).in_(keys)))
    return {(account.name, account.domain): account for account in map(account_of, rows)}


def first_administrator(connection: Connection) -> Account | None:
    """The enabled administrator of the lowest id."""
    row = connection.execute(select(*PUBLIC).where(_administers()).order_by(users.c.id).limit(1)).first()
    return None if row is None else account_of(row)


def keep_an_administrator(connection: Connection, account: Account) -> None:
    """Raises LastAdministrator when nobody else is one; to be asked before this one is none any more."""
    if account.role is not Role.ADMINISTRATOR or not account.enabled:
        return
    others = select(users.c.id).where(_administers(), users.c.id != account.id).limit(1)
    if connection.execute(others).first() is None:
        raise LastAdministrator(f"{account.address} is the last administrator: make another one first")


def insert(connection: Connection, newcomers: Sequence[Newcomer], limit: int | None) -> None:
    """Add all of these, or none. Raises UnfitName, AlreadyExists, TooManyUsers."""
    for newcomer in newcomers:
        _judge(newcomer)
    for key in found(connection, [each.key for each in newcomers]):
        raise AlreadyExists(f"there is an account {key[0]}@{key[1]} already")
    if limit is not None:
        there = connection.execute(select(func.count()).select_from(users)).scalar_one()
        if there + len(newcomers) > limit:
            raise TooManyUsers(f"there are {there} accounts, and limits.users allows {limit}")
    folders = Folders(connection, [(each.key, each.folder) for each in newcomers])
    connection.execute(
        users.insert(), [_row(each, folders.give(each.key, each.folder)) for each in newcomers]
    )


def _administers() -> ColumnElement[bool]:
    return (users.c.role == Role.ADMINISTRATOR.value) & users.c.enabled.is_(True)


def _row(newcomer: Newcomer, folder: str) -> dict[str, object]:
    return {
        "name": newcomer.name,
        "domain": newcomer.domain,
        "folder": folder,
        "hash": newcomer.secrets.hash,
        "scram": newcomer.secrets.scram,
        "role": newcomer.role.value,
        "enabled": newcomer.enabled,
        "quota_octets": newcomer.quota_octets,
        "quota_messages": newcomer.quota_messages,
    }


def _judge(newcomer: Newcomer) -> None:
    """Its address must be in its normal form by now."""
    try:
        key = fit(newcomer.name), parse_domain(newcomer.domain)
    except Unfit as error:
        raise UnfitName(f"{newcomer.domain!a} is no domain: {error}") from error
    if key != newcomer.key:
        raise UnfitName(f"{newcomer.name!a}@{newcomer.domain!a} is not in its normal form")
