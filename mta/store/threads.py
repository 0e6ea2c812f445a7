"""The threads that wait so that the loop need not: one that commits, and a few for everything else.

Many short calls from many threads would fight the loop for the interpreter lock; therefore one thread takes
all messages that are ready as one batch and makes few long calls for them. The next batch leaves
when the previous one is through: no timer, so that a lone message never waits and a crowd shares its syncs.

What is finished goes back through `post`, and is told in the loop's thread. An error nobody expected is
raised there too: it must end the process, not leave sessions waiting for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from mta.store.delivery import Delivery

if TYPE_CHECKING:
    from mta.store.records import Unfinished
    from mta.store.store import Store

T = TypeVar("T")
Post = Callable[[Callable[[], None]], None]
Done = Callable[[Delivery], None]
Work = tuple[Delivery, Done]

_LARGEST_BATCH = 256
"""Deliveries; each may hold a descriptor until it is synced."""
_RETRY_SECONDS = 5.0
"""How soon committed messages that could not be linked everywhere are tried again when no mail comes."""


def _unreported(_failures: Sequence[Unfinished]) -> None:
    """Nobody wants to know."""


class Committer:
    """The thread that makes messages durable, in batches."""

    def __init__(
        self, store: Store, post: Post, report: Callable[[Sequence[Unfinished]], None] = _unreported
    ) -> None:
        """`report` hears, in the loop's thread, of accepted messages that wait in .commit and why."""
        self._store = store
        self._post = post
        self._report = report
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._closing = False
        self._thread = Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def submit(self, delivery: Delivery, done: Done) -> None:
        """Commit it with the next batch; `done(delivery)` is called in the loop's thread, outcome set."""
        self._work.put((delivery, done))

    def close(self) -> None:
        """Finish all that was submitted. Blocks; the outcomes are with `post` when it returns."""
        self._closing = True
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._serve():
                pass
        finally:
            if not self._closing:
                self._post(_committer_died)

    def _serve(self) -> bool:
        """One batch; False when it was the last."""
        batch = self._next_batch()
        work = [item for item in batch if item is not None]
        if work:
            self._store.commit([delivery for delivery, _ in work])
            self._post(lambda: _tell(work))
        unfinished = self._store.finish([delivery for delivery, _ in work])
        if unfinished:
            self._post(lambda: self._report(unfinished))
        return len(work) == len(batch)

    def _next_batch(self) -> list[Work | None]:
        """All that is ready, at least one; nothing when it is time to try the unfinished again."""
        work = self._work
        try:
            first = work.get(timeout=_RETRY_SECONDS if self._store.pending else None)
        except Empty:
            return []
        return [first, *(work.get() for _ in range(min(work.qsize(), _LARGEST_BATCH - 1)))]


class Helpers:
    """A small pool for whatever else may block: large writes, aborts, look-ups."""

    def __init__(self, threads: int, post: Post) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="helper")
        self._post = post

    def run(self, job: Callable[[], T], done: Callable[[T | OSError], None]) -> None:
        """Do `job` in a thread, then `done` with its result, or its OSError, in the loop's thread."""
        future = self._pool.submit(job)
        future.add_done_callback(lambda future: self._post(lambda: _settle(future, done)))

    def close(self) -> None:
        """Finish all jobs. Blocks; the results are with `post` when it returns."""
        self._pool.shutdown()


def _tell(work: list[Work]) -> None:
    for delivery, done in work:
        done(delivery)


def _settle(future: Future[T], done: Callable[[T | OSError], None]) -> None:
    error = future.exception()
    done(error if isinstance(error, OSError) else future.result())


def _committer_died() -> None:
    raise RuntimeError("the committer ended; its traceback is on standard error")
