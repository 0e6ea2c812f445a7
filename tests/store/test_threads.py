"""The committer and the helpers: what is done where, and that nothing is forgotten."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest

from mta.store import Delivery, Failed, Helpers, Store, Stored, Unfinished
from mta.store.threads import Committer
from tests.store.stage import DOMAIN, MAILBOX, SEVERAL, Call, Stage, Tree, deliver, open_store

PATIENCE = 20.0


class Loop:
    """Stands for the loop: runs what was posted, in this thread, and counts the posts."""

    def __init__(self) -> None:
        self._posted: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.posts = 0

    def post(self, action: Callable[[], None]) -> None:
        self._posted.put(action)

    def turn(self) -> None:
        """Wait for one post and run it."""
        self._posted.get(timeout=PATIENCE)()
        self.posts += 1

    def run_until(self, done: Callable[[], object]) -> None:
        while not done():
            self.turn()


class Gate:
    """A verdict that holds the first commit up until the test says go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go = threading.Event()

    def __call__(self, _number: int, call: Call) -> None:
        if call.name == "create":
            self.reached.set()
            assert self.go.wait(PATIENCE)


@pytest.fixture
def loop() -> Loop:
    return Loop()


@contextmanager
def committing(store: Store, loop: Loop, report: Callable[..., None] | None = None) -> Iterator[Committer]:
    committer = Committer(store, loop.post, *([report] if report else []))
    try:
        yield committer
    finally:
        committer.close()


def test_each_delivery_is_told_once_in_the_loop_thread(store: Store, tree: Tree, loop: Loop) -> None:
    told: list[tuple[Delivery, int]] = []
    deliveries = [deliver(*ways) for ways in (MAILBOX, DOMAIN, SEVERAL) * 10]
    with committing(store, loop) as committer:
        for delivery in deliveries:
            committer.submit(delivery, lambda each: told.append((each, threading.get_ident())))
        loop.run_until(lambda: len(told) == len(deliveries))
    assert [each for each, _ in told] == deliveries
    assert {thread for _, thread in told} == {threading.get_ident()}
    assert all(each.outcome == Stored() for each in deliveries)
    assert all(map(tree.has_whole, deliveries))


def test_what_comes_during_a_commit_is_the_next_batch(store: Store, stage: Stage, loop: Loop) -> None:
    told: list[Delivery] = []
    gate = Gate()
    stage.begin(gate)
    with committing(store, loop) as committer:
        committer.submit(deliver(*MAILBOX), told.append)
        assert gate.reached.wait(PATIENCE)
        for _ in range(50):
            committer.submit(deliver(*MAILBOX), told.append)
        gate.go.set()
        loop.run_until(lambda: len(told) == 51)
    assert loop.posts == 2
    assert [call.name for call in stage.calls].count("syncfs") <= 3


def test_close_finishes_what_was_submitted(store: Store, tree: Tree, loop: Loop) -> None:
    told: list[Delivery] = []
    deliveries = [deliver(*SEVERAL) for _ in range(300)]
    with committing(store, loop) as committer:
        for delivery in deliveries:
            committer.submit(delivery, told.append)
    loop.run_until(lambda: len(told) == 300)
    assert all(map(tree.has_whole, deliveries))


def test_a_failure_is_an_outcome_too(store: Store, stage: Stage, loop: Loop, tree: Tree) -> None:
    def full(_number: int, call: Call) -> None:
        if call.name == "write":
            raise OSError(errno.ENOSPC, "full")

    told: list[Delivery] = []
    stage.begin(full)
    with committing(store, loop) as committer:
        committer.submit(deliver(*MAILBOX), told.append)
        loop.run_until(lambda: told)
    assert isinstance(told[0].outcome, Failed)
    assert tree.files() == []


def test_what_cannot_be_linked_is_reported_and_tried_again(
    store: Store, stage: Stage, loop: Loop, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mta.store.threads._RETRY_SECONDS", 0.001)
    broken = [True]

    def no_links(_number: int, call: Call) -> None:
        if call.name == "link" and broken:
            raise OSError(errno.EIO, "no link today")

    told: list[Delivery] = []
    reports: list[Unfinished] = []
    stage.begin(no_links)
    delivery = deliver(*SEVERAL)
    with committing(store, loop, reports.extend) as committer:
        committer.submit(delivery, told.append)
        loop.run_until(lambda: len(reports) >= 3)
        assert told[0].outcome == Stored()
        assert set(reports) == {Unfinished(delivery.envelope.id, "[Errno 5] no link today")}
        broken.clear()
    assert store.pending == 0
    assert tree.has_whole(delivery)


def test_a_fault_of_the_program_reaches_the_loop(
    store: Store, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    monkeypatch.setattr(Store, "commit", lambda *_: 1 / 0)
    committer = Committer(store, loop.post)
    committer.submit(deliver(*MAILBOX), seen.append)
    with pytest.raises(RuntimeError, match="committer"):
        loop.turn()
    committer.close()
    assert len(seen) == 1


def test_helpers_bring_results_and_errors_of_the_system(loop: Loop) -> None:
    helpers = Helpers(2, loop.post)
    results: list[object] = []
    helpers.run(threading.get_ident, results.append)
    loop.turn()
    assert results[0] != threading.get_ident()
    error = OSError(errno.EIO, "no")
    helpers.run(lambda: _throw(error), results.append)
    loop.turn()
    assert results[1] is error
    helpers.run(lambda: 1 // 0, results.append)
    with pytest.raises(ZeroDivisionError):
        loop.turn()
    helpers.close()


def _throw(error: OSError) -> None:
    raise error


def test_text_may_be_added_while_earlier_text_is_written(root: Path, tree: Tree) -> None:
    """Appends of one delivery come one after another, but the loop goes on adding meanwhile."""
    store = open_store(root)
    delivery = deliver(*SEVERAL, pieces=0)
    model = deliver(*SEVERAL)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(200):
            pool.submit(store.append, delivery, delivery.take())
            delivery.add(model.text.crlf[0], model.text.lf[0])
        pool.submit(store.seal, delivery, delivery.take()).result()
    store.commit([delivery])
    store.finish([delivery])
    assert tree.has_whole(delivery)
    assert delivery.wire_size == 200 * model.wire_size
