"""Errands: an answer worked out step by step, where every step that needs the disk is done elsewhere.

A coroutine says `await OnDisk(work)` where it would block. Who runs it decides what that means: in the
relay a helper thread does the work and the loop turns meanwhile; in a command that has the tree for itself
the work is simply done. Between two such steps nothing else happens, as all of it is in one thread; so what
walks through the whole queue must `breathe`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

from mta.store import Helpers

P = ParamSpec("P")
T = TypeVar("T")

Errand: TypeAlias = Coroutine["OnDisk[Any]", Any, T]


class OnDisk(Generic[T]):
    """Work that may block. Awaited, it gives the result, or raises its OSError."""

    __slots__ = ("work",)

    def __init__(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
        self.work: Callable[[], T] = partial(work, *args, **kwargs)

    def __await__(self) -> Generator[OnDisk[T], T | OSError, T]:
        result = yield self
        if isinstance(result, OSError):
            raise result
        return result


def breathe() -> OnDisk[None]:
    """Awaited between the slices of a long walk, so that the loop takes a turn meanwhile. What is walked
    through may be another afterwards."""
    return OnDisk(_nothing)


def _nothing() -> None:
    """The work of a pause."""


def run_beside(errand: Errand[T], helpers: Helpers, done: Callable[[T], None]) -> None:
    """Run an errand beside the loop; `done` is called with its answer, at once if it needs no disk."""

    def go_on(result: object) -> None:
        try:
            step = errand.send(result)
        except StopIteration as end:
            done(end.value)
        else:
            helpers.run(step.work, go_on)

    go_on(None)


def run_through(errand: Errand[T]) -> T:
    """Run an errand to its end, here and now."""
    result: Any = None
    while True:
        try:
            step = errand.send(result)
        except StopIteration as end:
            answer: T = end.value
            return answer
        try:
            result = step.work()
        except OSError as error:
            result = error
