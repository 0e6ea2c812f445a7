"""Accounts and aliases for a server that is measured with them."""

from __future__ import annotations

from pathlib import Path

from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.passwords import Secrets
from mta.users.people import Newcomer
from mta.users.tables import aliases, targets
from tests.bench.generator import DOMAIN, MAILBOXES

ACCOUNTS = 100_000
ALIASES = 20_000


def fill(file: Path) -> None:
    """A database with so many of both; the mailboxes of the loads are among the accounts."""
    database = Database(f"sqlite:///{file}")
    secrets = Secrets("{PLAIN}nobody logs in here")
    names = [*MAILBOXES, *(f"account{number}" for number in range(ACCOUNTS - len(MAILBOXES)))]
    Accounts(database).add_all([Newcomer(name, DOMAIN, secrets) for name in names])
    numbers = range(ALIASES)
    with database.writing() as connection:
        connection.execute(
            aliases.insert(), [{"id": n, "local": f"alias{n}", "domain": DOMAIN} for n in numbers]
        )
        connection.execute(
            targets.insert(), [{"alias": n, "address": f"account{n}@{DOMAIN}"} for n in numbers]
        )
    database.close()
