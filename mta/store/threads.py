"""A few threads for whatever may block: large writes, aborts, look-ups.

Many short calls from many threads would fight the loop for the interpreter lock; these are for few long ones.
What is finished goes back through `post`, and is told in the loop's thread. An error nobody expected is
raised there too.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
Post = Callable[[Callable[[], None]], None]


class Helpers:
    """A small pool."""

    def __init__(self, threads: int, post: Post) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="helper")
        self._post = post

    def run(self, job: Callable[[], T], done: Callable[[T | OSError], None]) -> None:
        """Do `job` in a thread, then `done` with its result, or its OSError, in the loop's thread."""
        # The result is looked at in the loop's thread: raised in the pool's, a fault would only be logged.
        self._pool.submit(job).add_done_callback(
            lambda future: self._post(lambda: _settle(future, done)),
        )

    def close(self) -> None:
        """Finish all jobs. Blocks; the results are with `post` when it returns."""
        self._pool.shutdown()


def _settle(future: Future[T], done: Callable[[T | OSError], None]) -> None:
    error = future.exception()
    done(error if isinstance(error, OSError) else future.result())
