"""Which folder a new account gets: its local part, or `domain/local part` when that is taken.

No mailbox lies inside of another one, so that removing one never removes what belongs to somebody else: a
folder that is a domain here can be no mailbox, and the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from mta.config.units import parse_domain
from mta.store import Mailbox
from mta.users.account import Key
from mta.users.errors import AlreadyExists, UnfitName
from mta.users.names import fit
from mta.users.tables import users


class Folders:
    """The folders that some newcomers may want, as far as others have them."""

    def __init__(self, connection: Connection, wishes: Iterable[tuple[Key, str | None]]) -> None:
        """`wishes`: address, and folder where a particular one is wanted. Raises UnfitName."""
        wanted = {_judged(folder) for key, wish in wishes for folder in _choices(key, wish)}
        parts = wanted | {folder.partition("/")[0] for folder in wanted}
        having = select(users.c.folder).where(users.c.folder.in_(parts))
        self._mailboxes = set(connection.execute(having).scalars())
        holding = (
            select(users.c.domain)
            .distinct()
            .where(users.c.domain.in_(parts), users.c.folder.like(users.c.domain + "/%"))
        )
        self._domains = set(connection.execute(holding).scalars())

    def give(self, key: Key, wish: str | None) -> str:
        """The folder for this address, which nobody else gets then. Raises AlreadyExists."""
        choices = _choices(key, wish)
        for folder in choices:
            if self._is_free(folder):
                self._take(folder)
                return folder
        raise AlreadyExists(f"the folder {choices[-1]} belongs to another account")

    def _is_free(self, folder: str) -> bool:
        domain, slash, _ = folder.partition("/")
        inside = domain in self._mailboxes if slash else folder in self._domains
        return folder not in self._mailboxes and not inside

    def _take(self, folder: str) -> None:
        self._mailboxes.add(folder)
        domain, slash, _ = folder.partition("/")
        if slash:
            self._domains.add(domain)


def _choices(key: Key, wish: str | None) -> Sequence[str]:
    return (wish,) if wish is not None else (key[0], f"{key[1]}/{key[0]}")


def _judged(folder: str) -> str:
    """Raises UnfitName for what is neither a name nor a domain and a name, or not to the store's taste."""
    domain, slash, name = folder.rpartition("/")
    try:
        Mailbox(folder)
        fits = fit(name) == name and (not slash or parse_domain(domain) == domain)
    except ValueError as error:
        raise UnfitName(f"{folder[:80]!a} cannot be a folder: {error}") from error
    if not fits:
        raise UnfitName(f"{folder[:80]!a} cannot be a folder")
    return folder
