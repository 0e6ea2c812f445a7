"""Aliases in the database: what `Accounts` asks and orders about them, within its transactions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, delete, select, tuple_

from mta.users.account import MOST_STEPS, Alias, Key
from mta.users.errors import AlreadyExists, NotFound
from mta.users.tables import aliases, targets

_Targets = Mapping[Key, tuple[str, ...]]


def targets_of(connection: Connection, keys: Sequence[Key]) -> _Targets:
    """Where these addresses lead, as far as they are aliases."""
    return _grouped(connection, tuple_(aliases.c.local, aliases.c.domain).in_(keys))


def page_of(connection: Connection, domain: str | None, after: Key, most: int) -> list[Alias]:
    """The aliases behind `after`, by domain and local part."""
    found = select(aliases.c.id).where(tuple_(aliases.c.domain, aliases.c.local) > (after[1], after[0]))
    if domain is not None:
        found = found.where(aliases.c.domain == domain)
    page = found.order_by(aliases.c.domain, aliases.c.local).limit(most)
    grouped = _grouped(connection, aliases.c.id.in_(page.scalar_subquery()))
    ordered = sorted(grouped, key=lambda key: (key[1], key[0]))
    return [Alias(*key, grouped[key]) for key in ordered]


def add(connection: Connection, key: Key, addresses: Sequence[str]) -> None:
    """Lead `key` to these too. Raises AlreadyExists when it leads to one of them already."""
    known = targets_of(connection, [key]).get(key, ())
    for address in addresses:
        if address in known:
            raise AlreadyExists(f"{_written(key)} leads to {address} already")
    if not known:
        connection.execute(aliases.insert().values(local=key[0], domain=key[1]))
    number = connection.execute(select(aliases.c.id).where(_is(key))).scalar_one()
    connection.execute(targets.insert(), [{"alias": number, "address": address} for address in addresses])


def remove(connection: Connection, key: Key, addresses: Iterable[str]) -> None:
    """Forget these targets, or all of them; an alias without any is none. Raises NotFound."""
    known = targets_of(connection, [key]).get(key)
    if known is None:
        raise NotFound(f"there is no alias {_written(key)}")
    unwanted = set(addresses) or set(known)
    for address in unwanted.difference(known):
        raise NotFound(f"{_written(key)} does not lead to {address}")
    if unwanted == set(known):
        connection.execute(delete(aliases).where(_is(key)))
        return
    number = select(aliases.c.id).where(_is(key)).scalar_subquery()
    connection.execute(delete(targets).where(targets.c.alias == number, targets.c.address.in_(unwanted)))


def leading_to(connection: Connection, address: str) -> list[str]:
    """The aliases whose mail all ends at `address`, by one step or several."""
    found: dict[str, None] = {}
    wanted = [address]
    for _ in range(MOST_STEPS):
        wanted = [each for each in _leading_only_to(connection, wanted) if each not in found]
        found.update(dict.fromkeys(wanted))
        if not wanted:
            break
    return sorted(found)


def _leading_only_to(connection: Connection, addresses: Sequence[str]) -> Iterator[str]:
    leading = select(targets.c.alias).where(targets.c.address.in_(addresses))
    for key, known in _grouped(connection, aliases.c.id.in_(leading.scalar_subquery())).items():
        if len(known) == 1:
            yield _written(key)


def _grouped(connection: Connection, condition: ColumnElement[bool]) -> _Targets:
    rows = connection.execute(
        select(aliases.c.local, aliases.c.domain, targets.c.address)
        .join(targets, targets.c.alias == aliases.c.id)
        .where(condition)
        .order_by(targets.c.id)
    )
    found: dict[Key, tuple[str, ...]] = {}
    for local, domain, address in rows:
        found[local, domain] = (*found.get((local, domain), ()), address)
    return found


def _is(key: Key) -> ColumnElement[bool]:
    return (aliases.c.local == key[0]) & (aliases.c.domain == key[1])


def _written(key: Key) -> str:
    return f"{key[0]}@{key[1]}"
