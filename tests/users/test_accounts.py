"""Accounts, aliases and bans, as questions and orders, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import func, select

from mta.users import accounts as module
from mta.users import changes as noted
from mta.users.account import ADMINISTRATOR, NOBODY, Account, Alias, Ban, Entry, Role
from mta.users.accounts import Accounts
from mta.users.errors import (
    AlreadyExists,
    DatabaseDown,
    LastAdministrator,
    NotFound,
    Refused,
    TooManyUsers,
    UnfitName,
)
from mta.users.passwords import Secrets
from mta.users.people import Newcomer
from mta.users.tables import changes
from tests.users.library import SECRETS, Library

ORG = "example.org"
NET = "example.net"


def newcomers(count: int, domain: str = ORG) -> list[Newcomer]:
    return [Newcomer(f"user{number:05}", domain, SECRETS) for number in range(count)]


# accounts


def test_a_new_account(accounts: Accounts) -> None:
    account = accounts.add("alice", ORG, SECRETS)
    assert account == Account(account.id, "alice", ORG, "alice", Role.USER, True, 0, 0)
    assert accounts.find("alice", ORG) == account
    assert accounts.secrets_of("alice", ORG) == (account, SECRETS)
    assert accounts.count() == 1


def test_an_account_that_is_not_there(accounts: Accounts) -> None:
    assert accounts.find("alice", ORG) is None
    assert accounts.secrets_of("alice", ORG) is None


@pytest.mark.parametrize("name", ["a\0b", "\udcff", "x" * 10_000])
def test_what_no_account_could_be_called(accounts: Accounts, name: str) -> None:
    assert accounts.find(name, ORG) is None
    assert accounts.secrets_of(name, ORG) is None
    with pytest.raises(UnfitName):
        accounts.add(name, ORG, SECRETS)


@pytest.mark.parametrize("domain", ["", "..", "a/b", "Example.org", "a b", "[192.0.2.1]", "exämple.org"])
def test_domains_that_no_account_has(accounts: Accounts, domain: str) -> None:
    with pytest.raises(UnfitName):
        accounts.add("alice", domain, SECRETS)


def test_one_account_of_a_name(accounts: Accounts) -> None:
    accounts.add("alice", ORG, SECRETS)
    with pytest.raises(AlreadyExists, match=r"alice@example.org"):
        accounts.add("alice", ORG, SECRETS)


def test_all_or_none(accounts: Accounts) -> None:
    accounts.add("user00001", ORG, SECRETS)
    with pytest.raises(AlreadyExists):
        accounts.add_all(newcomers(3))
    assert accounts.count() == 1


def test_no_more_than_the_limit(accounts: Accounts) -> None:
    accounts.add("alice", ORG, SECRETS, limit=1)
    with pytest.raises(TooManyUsers, match=r"there are 1 accounts, and limits.users allows 1"):
        accounts.add("bob", ORG, SECRETS, limit=1)


def test_the_limit_holds_for_writers_at_the_same_time(library: Library) -> None:
    library.accounts().count()
    refused: list[Refused] = []

    def add(number: int) -> None:
        try:
            library.accounts().add(f"user{number}", ORG, SECRETS, limit=3)
        except TooManyUsers as error:
            refused.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (library.accounts().count(), len(refused)) == (3, 3)


def test_changes_of_an_account(accounts: Accounts) -> None:
    number = accounts.add("alice", ORG, SECRETS).id
    accounts.set_role(number, Role.OPERATOR)
    accounts.set_quota(number, 10**12, 1000)
    accounts.set_enabled(number, False)
    accounts.set_secrets(number, Secrets("other", "verifier"))
    expected = Account(number, "alice", ORG, "alice", Role.OPERATOR, False, 10**12, 1000)
    assert accounts.secrets_of("alice", ORG) == (expected, Secrets("other", "verifier"))


def test_an_account_that_is_gone(accounts: Accounts) -> None:
    number = accounts.add("alice", ORG, SECRETS).id
    accounts.delete(number)
    assert accounts.find("alice", ORG) is None
    orders: Sequence[Callable[[], object]] = (
        lambda: accounts.delete(number),
        lambda: accounts.set_role(number, Role.OPERATOR),
        lambda: accounts.set_secrets(number, SECRETS),
    )
    for order in orders:
        with pytest.raises(NotFound):
            order()


def test_an_id_is_never_used_again(accounts: Accounts) -> None:
    gone = accounts.add("alice", ORG, SECRETS)
    accounts.delete(gone.id)
    assert accounts.add("bob", ORG, SECRETS).id > gone.id


def test_the_last_administrator_stays_one(accounts: Accounts) -> None:
    first = accounts.add("alice", ORG, SECRETS, role=Role.ADMINISTRATOR).id
    second = accounts.add("bob", ORG, SECRETS, role=Role.ADMINISTRATOR).id
    accounts.set_enabled(second, False)  # who cannot log in does not count
    orders: Sequence[Callable[[], object]] = (
        lambda: accounts.delete(first),
        lambda: accounts.set_role(first, Role.OPERATOR),
        lambda: accounts.set_enabled(first, False),
    )
    for order in orders:
        with pytest.raises(LastAdministrator, match=r"alice@example.org is the last administrator"):
            order()
    accounts.set_role(first, Role.ADMINISTRATOR)
    accounts.delete(second)
    assert accounts.find("alice", ORG) is not None


def test_the_first_administrator(accounts: Accounts) -> None:
    assert accounts.first_administrator() is None
    accounts.add("alice", ORG, SECRETS)
    bob, carol = (accounts.add(name, ORG, SECRETS, role=Role.ADMINISTRATOR) for name in ("bob", "carol"))
    assert accounts.first_administrator() == bob
    accounts.set_enabled(bob.id, False)
    assert accounts.first_administrator() == carol
    assert accounts.lookup([ADMINISTRATOR]) == {ADMINISTRATOR: Entry(carol, ())}


def test_all_accounts_in_order(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 3)
    accounts.add_all([*newcomers(7), *newcomers(3, NET)])
    addresses = [account.address for account in accounts.users()]
    assert addresses == [
        f"user0000{n}@{domain}" for domain, count in ((NET, 3), (ORG, 7)) for n in range(count)
    ]
    assert [account.domain for account in accounts.users(NET)] == [NET] * 3
    assert [secrets for _, secrets in accounts.users_with_secrets(ORG)] == [SECRETS] * 7


# folders


def folder_of(accounts: Accounts, name: str, domain: str, folder: str | None = None) -> str:
    return accounts.add(name, domain, SECRETS, folder=folder).folder


def test_the_second_of_a_name_lives_at_its_domain(accounts: Accounts) -> None:
    assert folder_of(accounts, "alice", ORG) == "alice"
    assert folder_of(accounts, "alice", NET) == f"{NET}/alice"


def test_in_one_order_too(accounts: Accounts) -> None:
    accounts.add_all([*newcomers(2), *newcomers(2, NET)])
    assert {each.folder for each in accounts.users(NET)} == {f"{NET}/user00000", f"{NET}/user00001"}


def test_no_mailbox_in_a_mailbox(accounts: Accounts) -> None:
    folder_of(accounts, NET, ORG)  # somebody is called so
    folder_of(accounts, "alice", ORG)
    with pytest.raises(AlreadyExists, match=r"example\.net/alice"):
        folder_of(accounts, "alice", NET)


def test_no_mailbox_around_a_mailbox(accounts: Accounts) -> None:
    folder_of(accounts, "alice", ORG)
    folder_of(accounts, "alice", NET)
    assert folder_of(accounts, NET, ORG) == f"{ORG}/{NET}"


def test_a_folder_by_wish(accounts: Accounts) -> None:
    assert folder_of(accounts, "alice", ORG, "old.name") == "old.name"
    assert folder_of(accounts, "bob", ORG, f"{NET}/carol") == f"{NET}/carol"
    with pytest.raises(AlreadyExists):
        folder_of(accounts, "dave", ORG, "old.name")


@pytest.mark.parametrize(
    "folder", ["", ".", "..", "../x", "/x", "x/", "a/b/c", f"{NET}/..", f"{NET}/new", "new", ".x", "a\0", "A"]
)
def test_folders_that_nobody_gets(accounts: Accounts, folder: str) -> None:
    with pytest.raises(UnfitName):
        folder_of(accounts, "alice", ORG, folder)


# aliases


def test_an_alias(accounts: Accounts) -> None:
    accounts.add_alias("info", ORG, ["bob@example.org", "alice@example.org"])
    accounts.add_alias("info", ORG, ["carol@elsewhere.example"])
    targets = ("bob@example.org", "alice@example.org", "carol@elsewhere.example")
    assert accounts.targets("info", ORG) == targets
    assert list(accounts.aliases()) == [Alias("info", ORG, targets)]
    assert accounts.targets("info", NET) == ()


def test_a_target_that_is_there(accounts: Accounts) -> None:
    accounts.add_alias("info", ORG, ["bob@example.org"])
    with pytest.raises(AlreadyExists, match=r"leads to bob@example.org already"):
        accounts.add_alias("info", ORG, ["alice@example.org", "bob@example.org"])
    assert accounts.targets("info", ORG) == ("bob@example.org",)


def test_names_of_aliases(accounts: Accounts) -> None:
    accounts.add_alias("*", ORG, ["bob@example.org"])
    with pytest.raises(UnfitName):
        accounts.add_alias("../x", ORG, ["bob@example.org"])


def test_less_and_less_of_an_alias(accounts: Accounts) -> None:
    accounts.add_alias("info", ORG, ["a@x.example", "b@x.example", "c@x.example"])
    accounts.delete_alias("info", ORG, ["b@x.example"])
    assert accounts.targets("info", ORG) == ("a@x.example", "c@x.example")
    with pytest.raises(NotFound, match=r"does not lead to b@x.example"):
        accounts.delete_alias("info", ORG, ["b@x.example", "a@x.example"])
    accounts.delete_alias("info", ORG, ["a@x.example", "c@x.example"])
    assert list(accounts.aliases()) == []
    with pytest.raises(NotFound, match=r"there is no alias info@example.org"):
        accounts.delete_alias("info", ORG)


def test_all_of_an_alias(accounts: Accounts) -> None:
    accounts.add_alias("info", ORG, ["a@x.example", "b@x.example"])
    accounts.delete_alias("info", ORG)
    accounts.add_alias("info", ORG, ["c@x.example"])
    assert accounts.targets("info", ORG) == ("c@x.example",)


def test_all_aliases_in_order(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    for local, domain in (("b", ORG), ("a", ORG), ("z", NET), ("c", ORG), ("*", ORG)):
        accounts.add_alias(local, domain, ["x@x.example", "y@x.example"])
    listed = [alias.address for alias in accounts.aliases()]
    assert listed == [f"z@{NET}", *(f"{local}@{ORG}" for local in "*abc")]
    assert [alias.local for alias in accounts.aliases(ORG)] == list("*abc")


def test_whose_aliases_these_are(accounts: Accounts) -> None:
    alice = accounts.add("alice", ORG, SECRETS)
    accounts.add_alias("info", ORG, [alice.address])
    accounts.add_alias("help", ORG, ["info@example.org"])
    accounts.add_alias("team", ORG, [alice.address, "bob@example.org"])
    accounts.add_alias("circle", ORG, ["circle@example.org"])
    accounts.add_alias("bob", ORG, ["bob@elsewhere.example"])
    assert accounts.aliases_of(alice) == ["help@example.org", "info@example.org"]


# bans


def test_bans(accounts: Accounts) -> None:
    accounts.add_ban("192.0.2.1", None)
    accounts.add_ban("2001:DB8::/32", None)
    accounts.add_ban("Bob@Example.ORG", None)
    subjects = ["192.0.2.1", "2001:db8::/32", "bob@example.org"]
    assert accounts.bans() == [Ban(subject, None) for subject in subjects]
    accounts.delete_ban("2001:0db8::/32")
    assert [ban.subject for ban in accounts.bans()] == ["192.0.2.1", "bob@example.org"]
    with pytest.raises(NotFound, match="not banned"):
        accounts.delete_ban("2001:db8::/32")


def test_a_ban_ends(library: Library) -> None:
    clock = iter([1000.0, 1060.0, 1061.0, 1061.0])  # told at each step
    accounts = Accounts(library.database(), clock=lambda: next(clock))
    accounts.add_ban("192.0.2.1", 1060.5)
    assert accounts.bans() == [Ban("192.0.2.1", 1061)]
    assert accounts.bans() == []
    with pytest.raises(NotFound):
        accounts.delete_ban("192.0.2.1")


def test_a_ban_gets_another_end(accounts: Accounts) -> None:
    accounts.add_ban("192.0.2.1", 1)
    assert accounts.add_ban("192.0.2.1/32", None) == Ban("192.0.2.1", None)
    assert accounts.bans() == [Ban("192.0.2.1", None)]


# for the cache


def test_a_look_up_of_many(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEYS", 2)
    alice = accounts.add("alice", ORG, SECRETS)
    accounts.add_alias("info", ORG, [alice.address])
    accounts.add_alias("alice", ORG, [alice.address, "x@x.example"])
    wanted = [("alice", ORG), ("info", ORG), ("nobody", ORG), ("alice", NET), ("a\0", ORG), ("*", ORG)]
    assert accounts.lookup(wanted) == {
        **dict.fromkeys(wanted, NOBODY),
        ("alice", ORG): Entry(alice, (alice.address, "x@x.example")),
        ("info", ORG): Entry(None, (alice.address,)),
    }


def test_every_order_is_told(accounts: Accounts) -> None:
    alice = accounts.add("alice", ORG, SECRETS, role=Role.ADMINISTRATOR)
    bob = accounts.add("bob", ORG, SECRETS)
    mark = accounts.changes_since(None).mark
    for order, key in (
        (lambda: accounts.add("carol", ORG, SECRETS), ("carol", ORG)),
        (lambda: accounts.set_role(bob.id, Role.ADMINISTRATOR), ("bob", ORG)),
        (lambda: accounts.set_enabled(alice.id, False), ("alice", ORG)),
        (lambda: accounts.set_quota(alice.id, 1, 1), ("alice", ORG)),
        (lambda: accounts.set_secrets(alice.id, SECRETS), ("alice", ORG)),
        (lambda: accounts.delete(alice.id), ("alice", ORG)),
        (lambda: accounts.add_alias("*", ORG, ["bob@example.org"]), ("*", ORG)),
        (lambda: accounts.delete_alias("*", ORG), ("*", ORG)),
    ):
        order()
        told = accounts.changes_since(mark)
        assert key in told.keys
        assert not told.everything
        assert not told.bans
        mark = told.mark
    assert accounts.changes_since(mark) == noted.Changes(mark, frozenset(), False, False)
    accounts.add_ban("192.0.2.1", None)
    assert accounts.changes_since(mark).bans


def test_what_is_refused_is_not_told(accounts: Accounts) -> None:
    accounts.add("alice", ORG, SECRETS)
    mark = accounts.changes_since(None).mark
    with pytest.raises(AlreadyExists):
        accounts.add("alice", ORG, SECRETS)
    assert not accounts.changes_since(mark).keys


def test_much_at_once_is_told_as_everything(accounts: Accounts) -> None:
    mark = accounts.changes_since(None).mark
    accounts.add_all(newcomers(200))
    assert accounts.changes_since(mark).everything


def test_who_was_away_for_long_forgets_everything(
    accounts: Accounts, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noted, "_KEPT", 5)
    mark = accounts.changes_since(None).mark
    for name in "abcdef":
        accounts.add(name, ORG, SECRETS)
    assert accounts.changes_since(mark).everything
    with library.database().reading() as connection:
        assert connection.execute(select(func.count()).select_from(changes)).scalar_one() == 5


# secrets of the server


def test_a_secret_stays_the_same(library: Library) -> None:
    secret = library.accounts().secret("srs")
    assert len(secret) == 32
    assert library.accounts().secret("srs") == secret
    assert library.accounts().secret("cookie") != secret


def test_no_hash_in_what_is_told(accounts: Accounts, library: Library) -> None:
    accounts.add("alice", ORG, SECRETS)
    with library.down(), pytest.raises(DatabaseDown) as told:
        accounts.add("bob", ORG, Secrets("hash-of-bob"))
    assert "hash-of-bob" not in str(told.value)
    assert "hash-of-bob" not in repr(Newcomer("bob", ORG, Secrets("hash-of-bob")))
