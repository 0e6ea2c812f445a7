"""The directory: what the loop knows of the accounts, and when it learns that it knows nothing any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from ipaddress import ip_address

import pytest

from mta.loop import Loop
from mta.users import directory as module
from mta.users.account import ADMINISTRATOR, NOBODY, Entry, Key, Role
from mta.users.accounts import Accounts
from mta.users.directory import Directory, NotCached
from mta.users.errors import DatabaseDown
from mta.users.people import Newcomer
from tests.users.library import SECRETS, Library

ALICE = ("alice", "example.org")
BOB = ("bob", "example.org")
PATIENCE = 20.0
"""Seconds; nothing is measured by it."""


class House:
    """A directory and its loop; `writer` is another process."""

    def __init__(self, library: Library, interval: float = 0.01) -> None:
        self.loop = Loop()
        self.faults: list[str] = []
        self.accounts = Counting(library.database())
        self.writer = library.accounts()
        self.directory = Directory(self.loop, self.accounts, self.faults.append, interval)

    def until(self, ready: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < end, f"it never comes: {self.faults}"
            self.loop.turn(20)

    def fetch(self, *keys: Key) -> DatabaseDown | None:
        told: list[DatabaseDown | None] = []
        self.directory.fetch(keys, told.append)
        assert not told, "never before it returns"
        self.until(lambda: told)
        return told[0]

    def entry(self, key: Key) -> Entry:
        """What it says as soon as it knows, as a session would find out."""
        while not self.knows(key):
            assert self.fetch(key) is None
        return self.directory.entry(*key)

    def knows(self, key: Key) -> bool:
        try:
            return bool(self.directory.entry(*key))
        except NotCached:
            return False

    def finds(self, key: Key) -> bool:
        """Whether the database is there, and the account in it."""
        return self.fetch(key) is None and self.knows(key) and self.entry(key).account is not None

    def settle(self) -> None:
        """Until it has seen all that was changed so far."""
        serial = self.writer.changes_since(None).mark.serial
        self.until(lambda: (mark := self.directory._reader._mark) and mark.serial == serial)
        self.loop.turn(0)

    def has_told(self, times: int) -> bool:
        return len(self.faults) == times

    def close(self) -> None:
        self.directory.close()
        for thread in threading.enumerate():
            if thread.name == "directory":
                thread.join(PATIENCE)
        self.loop.close()


class Counting(Accounts):
    """Accounts that count what they are asked."""

    asked = 0

    def lookup(self, keys: Iterable[Key]) -> Mapping[Key, Entry]:
        self.asked += 1
        return super().lookup(keys)


@pytest.fixture
def house(library: Library) -> Iterator[House]:
    made = House(library)
    made.settle()
    yield made
    made.close()


def test_nothing_is_known_at_first(house: House) -> None:
    with pytest.raises(NotCached) as unknown:
        house.directory.entry(*ALICE)
    assert unknown.value.keys == (ALICE,)


def test_what_is_fetched_is_known(house: House) -> None:
    alice = house.writer.add(*ALICE, SECRETS)
    house.writer.add_alias(*BOB, [alice.address])
    assert house.entry(ALICE) == Entry(alice, ())
    assert house.entry(BOB) == Entry(None, (alice.address,))
    assert house.entry(("nobody", "example.org")) is NOBODY


def test_nothing_is_asked_twice(house: House) -> None:
    for _ in range(3):
        house.entry(ALICE)
    assert house.accounts.asked == 1


def test_questions_that_wait_are_asked_together(house: House) -> None:
    told: list[DatabaseDown | None] = []
    busy = threading.Event()
    house.directory.ask(busy.wait, lambda _: None)
    for number in range(100):
        house.directory.fetch([(f"user{number}", "example.org")], told.append)
    busy.set()
    house.until(lambda: len(told) == 100)
    assert house.accounts.asked <= 2


@pytest.mark.parametrize("key", [ALICE, ADMINISTRATOR])
def test_a_change_by_another_process_counts(house: House, key: Key) -> None:
    assert house.entry(key) is NOBODY
    alice = house.writer.add(*ALICE, SECRETS, role=Role.ADMINISTRATOR)
    house.until(lambda: house.entry(key).account == alice)
    house.writer.add(*BOB, SECRETS, role=Role.ADMINISTRATOR)
    house.settle()
    assert house.entry(key).account == alice
    house.writer.delete(alice.id)
    house.until(lambda: house.entry(key).account != alice)


def test_a_change_costs_the_others_nothing(house: House) -> None:
    house.entry(ALICE)
    house.entry(BOB)
    house.writer.add(*ALICE, SECRETS)
    house.until(lambda: not house.knows(ALICE))
    assert house.knows(BOB)


def test_many_changes_at_once(house: House) -> None:
    house.entry(ALICE)
    house.writer.add_all([Newcomer(f"user{number}", "example.org", SECRETS) for number in range(200)])
    house.until(lambda: not house.knows(ALICE))


# the database is down


def test_what_is_known_stays_known(house: House, library: Library) -> None:
    alice = house.writer.add(*ALICE, SECRETS)
    house.settle()
    house.entry(ALICE)
    with library.down():
        house.until(lambda: house.faults)
        assert isinstance(house.fetch(BOB), DatabaseDown)
        assert house.directory.entry(*ALICE).account == alice
        assert not house.knows(BOB)
    house.until(lambda: house.fetch(BOB) is None)
    assert house.entry(BOB) is NOBODY


def test_it_is_told_once_each_time(house: House, library: Library) -> None:
    for times in (1, 2):
        with library.down():
            house.until(partial(house.has_told, times))
            for _ in range(3):
                house.fetch(BOB)
        house.writer.add(f"user{times}", "example.org", SECRETS)
        house.until(partial(house.finds, (f"user{times}", "example.org")))
        house.settle()
    assert len(house.faults) == 2


def test_it_is_down_from_the_start(library: Library) -> None:
    with library.down():
        house = House(library)
        assert isinstance(house.fetch(ALICE), DatabaseDown)
        house.until(lambda: house.faults)
    house.until(lambda: house.fetch(ALICE) is None)
    house.close()


# bounds


def test_strangers_do_not_displace_our_own(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_UNKNOWN", 10)
    house.writer.add(*ALICE, SECRETS)
    house.settle()
    house.entry(ALICE)
    house.fetch(*((f"stranger{number}", "example.org") for number in range(100)))
    assert len(house.directory) == 11
    assert house.knows(ALICE)
    assert house.knows(("stranger99", "example.org"))


def test_the_oldest_goes_first(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KNOWN", 2)
    keys = [(name, "example.org") for name in ("alice", "bob", "carol")]
    for key in keys:
        house.writer.add(*key, SECRETS)
    house.settle()
    for key in keys:
        house.fetch(key)
    assert [house.knows(key) for key in keys] == [False, True, True]


# other questions


def test_the_addresses_of_a_sender(house: House, library: Library) -> None:
    alice = house.writer.add(*ALICE, SECRETS)
    house.writer.add_alias("info", "example.org", [alice.address])
    told: list[frozenset[str] | DatabaseDown] = []
    house.directory.sender_addresses(alice, told.append)
    house.until(lambda: told)
    assert told == [frozenset(("alice@example.org", "info@example.org"))]
    with library.down():
        house.directory.sender_addresses(alice, told.append)
        house.until(lambda: len(told) == 2)
    assert isinstance(told[1], DatabaseDown)


def test_bans_come_and_go(house: House) -> None:
    address = ip_address("192.0.2.1")
    assert house.directory.ban_of(address) is None
    house.writer.add_ban("192.0.2.0/24", None)
    house.writer.add_ban("alice@example.org", None)
    house.until(lambda: house.directory.is_banned_user("alice@example.org"))
    assert house.directory.ban_of(address)
    house.writer.delete_ban("192.0.2.0/24")
    house.until(lambda: not house.directory.ban_of(address))
    assert house.directory.is_banned_user("alice@example.org")


def test_bans_of_before_the_start(library: Library) -> None:
    library.accounts().add_ban("192.0.2.1", None)
    house = House(library)
    house.until(lambda: house.directory.ban_of(ip_address("192.0.2.1")))
    house.close()


def test_after_the_end_nobody_is_told(house: House) -> None:
    told: list[DatabaseDown | None] = []
    house.directory.close()
    house.directory.fetch([ALICE], told.append)
    house.loop.turn(50)
    assert not told
