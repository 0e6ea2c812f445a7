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

        def tell(future: Future[T]) -> None:
            result = _result(future)
            self._post(lambda: done(result))

        self._pool.submit(job).add_done_callback(tell)

    def close(self) -> None:
        """Finish all jobs. Blocks; the results are with `post` when it returns."""
        self._pool.shutdown()


def _result(future: Future[T]) -> T | OSError:
    try:
        return future.result()
    except OSError as error:
        return error
