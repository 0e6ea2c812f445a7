"""Look-ups in threads: bounded, dead zones behind living ones, and nothing comes after the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from mta.loop import Loop
from mta.relay.routing.lookups import Lookups


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


class Gate:
    """Look-ups that wait to be let go, each by its name, and tell when they have begun."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._open: set[str] = set()
        self.begun: list[str] = []

    def pass_through(self, name: str) -> str:
        with self._lock:
            self.begun.append(name)
            self._lock.notify_all()
            self._lock.wait_for(lambda: name in self._open)
        return name

    def let(self, *names: str) -> None:
        with self._lock:
            self._open.update(names)
            self._lock.notify_all()

    def await_begun(self, count: int) -> set[str]:
        with self._lock:
            assert self._lock.wait_for(lambda: len(self.begun) >= count, timeout=10)
            return set(self.begun)


def turn_until(loop: Loop, found: list[str], count: int) -> None:
    while len(found) < count:
        loop.turn(10_000)


def test_what_is_found_is_told_in_the_thread_of_the_loop(loop: Loop) -> None:
    lookups, threads = Lookups(loop.post), []
    lookups.run(
        threading.get_ident, lambda there: threads.extend([there, threading.get_ident()]), repeated=False
    )
    while not threads:
        loop.turn(10_000)
    there, here = threads
    assert here == threading.get_ident() != there
    lookups.close()


def test_no_more_at_once_than_there_are_threads(loop: Loop) -> None:
    lookups, gate, found = Lookups(loop.post, 2), Gate(), list[str]()
    for name in "abcd":
        lookups.run(partial(gate.pass_through, name), found.append, repeated=False)
    assert gate.await_begun(2) == {"a", "b"}
    gate.let("a")
    turn_until(loop, found, 1)
    assert gate.await_begun(3) == {"a", "b", "c"}
    gate.let("b", "c", "d")
    turn_until(loop, found, 4)
    assert sorted(found) == ["a", "b", "c", "d"]
    lookups.close()


def test_dead_zones_never_hold_more_than_half_of_the_threads(loop: Loop) -> None:
    lookups, gate, found = Lookups(loop.post, 4), Gate(), list[str]()
    for number in range(100):
        lookups.run(partial(gate.pass_through, f"dead{number}"), found.append, repeated=True)
    for name in ("new1", "new2"):
        lookups.run(partial(gate.pass_through, name), found.append, repeated=False)
    assert gate.await_begun(4) == {"dead0", "dead1", "new1", "new2"}
    gate.let("new1", "new2")
    turn_until(loop, found, 2)
    assert sorted(found) == ["new1", "new2"]
    gate.let("dead0")
    turn_until(loop, found, 3)
    assert "dead2" in gate.await_begun(5)
    gate.let(*(f"dead{number}" for number in range(100)))
    turn_until(loop, found, 102)
    lookups.close()


def test_new_ones_come_before_those_that_wait_again(loop: Loop) -> None:
    lookups, gate, found = Lookups(loop.post, 1), Gate(), list[str]()
    for name, repeated in (("first", False), ("dead", True), ("new", False)):
        lookups.run(partial(gate.pass_through, name), found.append, repeated=repeated)
    gate.let("first", "dead", "new")
    turn_until(loop, found, 3)
    assert found == ["first", "new", "dead"]
    lookups.close()


def test_nothing_is_told_after_the_end(loop: Loop) -> None:
    posted: list[object] = []
    lookups, gate = Lookups(posted.append), Gate()
    lookups.run(partial(gate.pass_through, "a"), posted.append, repeated=False)
    gate.await_begun(1)
    (thread,) = lookups._threads
    lookups.close()
    gate.let("a")
    thread.join()
    assert posted == []


def _mistake() -> None:
    raise LookupError


def test_a_mistake_in_a_look_up_ends_the_loop(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda mistake: told.append(mistake.exc_type))
    lookups = Lookups(loop.post)
    lookups.run(_mistake, print, repeated=False)
    with pytest.raises(RuntimeError, match="traceback"):
        loop.turn(10_000)
    for thread in lookups._threads:
        thread.join()
    assert told == [LookupError]
    lookups.close()
