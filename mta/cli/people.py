"""What the commands about people share: the database as its owner, addresses, and errors in one line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mta.cli import tables
from mta.config import Settings
from mta.config.units import Unfit, parse_domain
from mta.daemon.errors import CONFIGURATION, NOT_PERMITTED, REFUSED, TEMPORARY, CannotStart
from mta.daemon.privileges import become_owner, make_room, own_folder, whom_to_become
from mta.users.account import Account, Key
from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.errors import DatabaseDown, NewerDatabase, NoDatabase, Refused, UnfitName
from mta.users.names import fold

_BOTH: Final = os.R_OK | os.W_OK
_ADVICE: Final = "be root, or the user of the server"

Act = Callable[["Office", argparse.Namespace], int]


class Office:
    """The accounts of one configuration."""

    def __init__(self, settings: Settings, accounts: Accounts) -> None:
        self.settings = settings
        self.accounts = accounts

    def key(self, text: str) -> Key:
        """The address that `name` (at the first of our domains) or `name@domain` means. Raises UnfitName."""
        name, at, domain = text.rpartition("@")
        try:
            return (fold(name), parse_domain(domain)) if at else (fold(text), self.settings.local.domains[0])
        except Unfit as error:
            raise UnfitName(f"{text[:80]!a}: {error}") from error

    def own_key(self, text: str) -> Key:
        """The same, for an address that mail can come to: its domain must be one of ours."""
        key = self.key(text)
        if key[1] not in self.settings.local.domains:
            raise UnfitName(f"{key[1]} is not in local.domains: mail for it does not come here")
        return key

    def account(self, text: str) -> Account:
        """The account of this name. Raises CannotStart when there is none."""
        key = self.key(text)
        account = self.accounts.find(*key)
        if account is None:
            raise CannotStart(REFUSED, f"there is no account {tables.printable('@'.join(key))}")
        return account


def work(settings: Settings, act: Act, arguments: argparse.Namespace, *, make: bool) -> int:
    """Do this with the accounts, as their owner. `make`: the database, if there is none yet.

    Raises CannotStart, with whatever is wrong."""
    advice = "let it belong to the owner of the mail" if os.geteuid() == 0 else _ADVICE
    _become_owner(settings)
    _check_rights(settings.users.database, advice)
    with _told():
        database = Database(settings.users.database, make=make)
        try:
            return act(Office(settings, Accounts(database)), arguments)
        finally:
            database.close()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except NoDatabase as error:
        raise CannotStart(REFUSED, f"{error}; mta user add makes it") from error
    except NewerDatabase as error:
        raise CannotStart(CONFIGURATION, str(error)) from error
    except DatabaseDown as error:
        raise CannotStart(TEMPORARY, str(error)) from error
    except Refused as error:
        raise CannotStart(REFUSED, str(error)) from error


def _become_owner(settings: Settings) -> None:
    """Started as root, do what a start of the server would do before the first account: make its folders."""
    if os.geteuid() != 0:
        return
    tree = settings.application.maildir.path
    user = whom_to_become(settings.application.user)
    file = _file(settings.users.database)
    if file is not None:
        make_room(file, user)
    own_folder(tree, user)
    become_owner(tree)


def _check_rights(url: str, advice: str) -> None:
    """Say whose file it is, where SQLite would only say that it cannot."""
    file = _file(url)
    if file is None:
        return
    try:
        closed = [path for path in (file, file.parent) if path.exists() and not os.access(path, _BOTH)]
    except PermissionError:
        closed = [file]
    if closed:
        raise CannotStart(NOT_PERMITTED, f"{closed[0]}: not permitted; {advice}")


def _file(url: str) -> Path | None:
    scheme, _, path = url.partition(":///")
    return Path(path) if scheme == "sqlite" else None
