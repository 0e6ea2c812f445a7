"""A mail drop in the hands of the loop: how it is read, whoever asks in whatever order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from mta.server.memory import Memory
from mta.server.pop3.drop import Found, OpenDrop, Piece
from mta.store import Helpers, Store

T = TypeVar("T")
MESSAGES = 300


class AtOnce(Helpers):
    """Helpers without threads."""

    def __init__(self) -> None:
        self.jobs = 0

    def run(self, job: Callable[[], T], done: Callable[[T | OSError], None]) -> None:
        self.jobs += 1
        result: T | OSError
        try:
            result = job()
        except OSError as error:
            result = error
        done(result)


class Reader:
    """Fetches messages as a session does, and counts what that takes."""

    def __init__(self, store: Store, memory: Memory) -> None:
        self.helpers = AtOnce()
        self.found: list[Found] = []
        self.open = OpenDrop(store.open_maildrop("alice"), self.helpers, memory, self.found.append)

    def fetch(self, position: int, lines: int | None = None) -> bytes:
        found = self.open.begin(position, lines, utf8=False) or self.found.pop()
        assert isinstance(found, Piece)
        assert found.last
        return found.octets

    def fetch_all(self, positions: Sequence[int]) -> int:
        """How many jobs of a thread it takes; every message is the right one."""
        before = self.helpers.jobs
        assert [self.fetch(position) for position in positions] == [text(position) for position in positions]
        return self.helpers.jobs - before


def text(position: int) -> bytes:
    return b"Subject: %d\r\n\r\n%b.\r\n" % (position, (b"x" * 76 + b"\r\n") * 20)


@pytest.fixture
def memory() -> Memory:
    return Memory(1 << 28)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    new = tmp_path / "alice" / "new"
    new.mkdir(parents=True)
    for position in range(MESSAGES):
        (new / f"{position:05}").write_bytes(text(position).replace(b"\r\n", b"\n").removesuffix(b".\n"))
    store = Store(tmp_path, host="mx.example.org", sync="file", commits=False)
    yield store
    store.close()


@pytest.fixture
def reader(store: Store, memory: Memory) -> Iterator[Reader]:
    reader = Reader(store, memory)
    yield reader
    reader.open.leave()


def test_messages_that_follow_each_other_are_read_in_a_few_goes(reader: Reader) -> None:
    assert reader.fetch_all(range(MESSAGES)) < MESSAGES // 20


def test_messages_are_read_backwards_in_a_few_goes(reader: Reader) -> None:
    assert reader.fetch_all(range(MESSAGES)[::-1]) < MESSAGES // 20


def test_nothing_is_read_that_was_not_asked_for_out_of_order(reader: Reader) -> None:
    positions = range(0, MESSAGES, 7)
    assert reader.fetch_all(positions) == len(positions)


def test_a_client_that_is_being_served_has_no_thread_beside_it(reader: Reader) -> None:
    reader.fetch_all(range(20))
    before = reader.helpers.jobs
    waited = [
        position for position in range(20, 100) if reader.open.begin(position, None, utf8=False) is None
    ]
    assert reader.helpers.jobs - before == len(waited) < 5


def test_top_between_messages_changes_nothing_of_them(reader: Reader) -> None:
    reader.fetch_all(range(10))
    assert reader.fetch(20, lines=0) == b"Subject: 20\r\n\r\n.\r\n"
    reader.fetch_all(range(10, 30))


def test_memory_is_held_only_while_something_is_kept(reader: Reader, memory: Memory) -> None:
    reader.fetch_all(range(100))
    assert memory.reserved > 0
    reader.fetch_all(range(100, MESSAGES))
    assert memory.reserved == 0


def test_without_memory_no_more_is_read_at_once_than_the_least(store: Store) -> None:
    poor = Reader(store, Memory(0))
    most = 1 + 16_384 // len(text(0))  # that which was asked for, and those behind it
    assert poor.fetch_all(range(MESSAGES)) > MESSAGES // (most + 1)
    poor.open.leave()
