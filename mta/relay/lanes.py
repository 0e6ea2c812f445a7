"""Lanes: work for the disk, in batches, by helper threads.

Each kind of work has a lane of its own. What is put into it while a batch is under way is the next batch: a
lone letter never waits for company, and a crowd shares its syncs. A lane has one batch under way at a time,
so that what is put in first is done first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from mta.store import Helpers

T = TypeVar("T")
R = TypeVar("R")


class Lane(Generic[T, R]):
    """One kind of work. Everything here is for the loop's thread."""

    def __init__(self, helpers: Helpers, work: Callable[[list[T]], Sequence[R]], most: int) -> None:
        """`work` does a batch of at most so many, in a helper thread, and answers for each in its order."""
        self._helpers = helpers
        self._work = work
        self._most = most
        self._waiting: deque[tuple[T, Callable[[R], None]]] = deque()
        self._under_way: list[Callable[[R], None]] = []

    def put(self, item: T, done: Callable[[R], None]) -> None:
        """Do it with the next batch; `done` is called with the answer, in a later turn."""
        self._waiting.append((item, done))

    def __len__(self) -> int:
        """What waits or is under way."""
        return len(self._waiting) + len(self._under_way)

    @property
    def is_empty(self) -> bool:
        return not (self._waiting or self._under_way)

    def flush(self) -> None:
        """At the end of each turn: begin with what there is, unless a batch is under way."""
        if not self._waiting or self._under_way:
            return
        batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        self._under_way = [done for _, done in batch]
        self._helpers.run(partial(self._work, [item for item, _ in batch]), self._done)

    def _done(self, answers: Sequence[R] | OSError) -> None:
        if isinstance(answers, OSError):
            raise answers  # each letter's own error is in its answer; this one nobody foresaw
        told, self._under_way = self._under_way, []
        for done, answer in zip(told, answers, strict=True):
            done(answer)
