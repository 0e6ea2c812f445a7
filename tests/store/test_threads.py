"""The helpers: what is done where, and that no result is forgotten."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

from mta.store import Helpers
from tests.store.stage import SEVERAL, Tree, deliver, open_store

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


@pytest.fixture
def loop() -> Loop:
    return Loop()


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
