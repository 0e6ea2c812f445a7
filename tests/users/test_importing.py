"""Imports: what becomes of each line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mta.users import importing
from mta.users.accounts import Accounts
from mta.users.errors import TooManyUsers
from mta.users.importing import Import, Outcome
from mta.users.passwd import write
from mta.users.passwords import Secrets, fault_of
from tests.users.library import SECRETS

DOMAINS = ("example.org", "example.net")


def importer(accounts: Accounts, limit: int = 1000) -> Import:
    return Import(
        accounts,
        DOMAINS,
        "example.org",
        hashed=lambda password: Secrets(f"hash of {password}"),
        judged=lambda password: fault_of(password, 1),
        limit=limit,
    )


def imported(accounts: Accounts, *lines: bytes) -> Outcome:
    work = importer(accounts)
    for _ in work.run(lines):
        pass
    return work.outcome


def test_hashes_are_taken_and_passwords_hashed(accounts: Accounts) -> None:
    outcome = imported(accounts, b"alice:{SSHA}aGFzaA==\n", b"# a comment\n", b"bob@example.net:secret\n")
    assert (outcome.lines, outcome.added, outcome.refused) == (3, 2, [])
    told = {account.address: secrets.hash for account, secrets in accounts.users_with_secrets()}
    assert told == {"alice@example.org": "{SSHA}aGFzaA==", "bob@example.net": "hash of secret"}


def test_every_line_that_cannot_be(accounts: Accounts) -> None:
    accounts.add("there", "example.org", SECRETS)
    outcome = imported(
        accounts,
        b"alice:secret\n",
        b"there:secret\n",
        b"../x:secret\n",
        b"bob@elsewhere.example:secret\n",
        b"Alice@example.org:secret\n",
        b"carol\n",
        b"dave:\xff\n",
        b"eve:se\x00cret\n",
    )
    assert outcome.added == 1
    assert [number for number, _ in sorted(outcome.refused)] == [2, 3, 4, 5, 6, 7, 8]
    assert not any("secret" in why for _, why in outcome.refused)


def test_in_portions(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_PORTION", 2)
    work = importer(accounts)
    steps = [(outcome.lines, outcome.added) for outcome in work.run(_lines(5))]
    assert steps == [(2, 2), (4, 4), (5, 5)]


def test_what_came_before_the_limit_stays(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_PORTION", 2)
    work = importer(accounts, limit=3)
    with pytest.raises(TooManyUsers):
        list(work.run(_lines(5)))
    assert accounts.count() == work.outcome.added == 2


def test_exported_and_imported(accounts: Accounts) -> None:
    imported(accounts, *_lines(5), b"root:{SSHA}aGFzaA==::::::mta_role=administrator mta_disabled\n")
    before = list(accounts.users_with_secrets())
    lines = [write(account, secrets).encode() for account, secrets in before]
    for account, _ in before:
        accounts.delete(account.id)
    assert imported(accounts, *lines).refused == []
    after = list(accounts.users_with_secrets())
    assert [(a.address, a.role, a.enabled, s) for a, s in after] == [
        (a.address, a.role, a.enabled, s) for a, s in before
    ]


def _lines(count: int) -> Iterator[bytes]:
    return (b"user%d:{SSHA}aGFzaA==\n" % number for number in range(count))
