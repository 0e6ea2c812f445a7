"""Look-ups in helper threads: what blocks runs there, what it finds comes back to the loop.

There are few threads and many zones that do not answer. So those that were silent when last asked wait in a
line of their own and never hold more than half of the threads: a dead zone delays other dead ones.

All book-keeping is done in the loop's thread; a thread takes a job from one queue and posts what it brings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Final, NamedTuple, TypeVar

Post = Callable[[Callable[[], None]], None]
T = TypeVar("T")
_Job = Callable[[], Callable[[], None]]
"""The look-up; what it returns is done in the loop's thread."""

_THREADS: Final = 16


class _Waiting(NamedTuple):
    job: _Job
    repeated: bool


class Lookups:
    """A few threads. Everything here is for the loop's thread."""

    def __init__(self, post: Post, threads: int = _THREADS) -> None:
        self._post = post
        self._most = threads
        self._first: deque[_Waiting] = deque()
        self._repeated: deque[_Waiting] = deque()
        self._jobs: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._running = 0
        self._running_repeated = 0
        self._ending = Lock()
        self._ended = False

    def run(self, look_up: Callable[[], T], done: Callable[[T], None], *, repeated: bool) -> None:
        """Do `look_up` in a thread, then `done` with what it found in the loop's thread.

        `repeated`: it brought nothing the last time."""

        def job() -> Callable[[], None]:
            found = look_up()
            return lambda: done(found)

        (self._repeated if repeated else self._first).append(_Waiting(job, repeated))
        self._start()

    def close(self) -> None:
        """Nobody is told anything any more. Does not wait: a look-up may take long and changes nothing."""
        with self._ending:
            self._ended = True
        for _ in self._threads:
            self._jobs.put(None)

    def _start(self) -> None:
        while self._running < self._most and (waiting := self._next()) is not None:
            self._running += 1
            self._running_repeated += waiting.repeated
            if self._running > len(self._threads):
                self._threads.append(Thread(target=self._serve, name="look-up", daemon=True))
                self._threads[-1].start()
            self._jobs.put(waiting)

    def _next(self) -> _Waiting | None:
        if self._first:
            return self._first.popleft()
        if self._repeated and self._running_repeated < max(1, self._most // 2):
            return self._repeated.popleft()
        return None

    def _settle(self, waiting: _Waiting, tell: Callable[[], None]) -> None:
        self._running -= 1
        self._running_repeated -= waiting.repeated
        self._start()
        tell()

    # in the threads

    def _serve(self) -> None:
        finished = False
        try:
            while (waiting := self._jobs.get()) is not None:
                self._bring(partial(self._settle, waiting, waiting.job()))
            finished = True
        finally:
            if not finished:
                self._bring(_died)

    def _bring(self, result: Callable[[], None]) -> None:
        # The loop may be gone by now, and its descriptor belong to somebody else.
        with self._ending:
            if not self._ended:
                self._post(result)


def _died() -> None:
    raise RuntimeError("a look-up ended in a mistake; its traceback is on standard error")
