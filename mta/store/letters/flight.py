"""Which letters are being sent at this moment, on disk: the next process learns what the last one died of.

A letter that makes the relay fall over would do so again at every start, before any other is sent. So each is
noted in `.flight` while it is out, one line of fixed width for each, and those found there at a start are
deferred one step. Nothing is synced: the notes must outlive the process, and need not outlive the power.

    <space>domain/id      it is out
    +domain/id            it is delivered to everybody, and is going to be removed

The mark is one octet in the page cache, where a removal may have to wait for the disk. With it nobody needs
to wait for the removal: a process that finds a marked letter removes it and sends it to nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Final, NamedTuple, TypeAlias

from mta import identifier
from mta.store.envelope import Domain
from mta.store.folders import Directory
from mta.store.system import System

_NAME: Final = ".flight"
_WIDTH: Final = 1 + 253 + 1 + identifier.LENGTH + 1
"""The mark, the longest domain, a slash, an identifier, a line end."""
_FREE: Final = b" " * (_WIDTH - 1) + b"\n"
_MARK: Final = b"+"
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST: Final = 16 << 20
"""Octets read of the file at most; no relay has so many letters out."""

Named: TypeAlias = tuple[str, str]
"""Domain and id of a letter."""


class Left(NamedTuple):
    """A letter that the last process had out."""

    domain: str
    id: str
    delivered: bool
    """To everybody, with nobody to be told."""


class Flight:
    """The letters in flight; one process writes it, under the tree's lock."""

    def __init__(self, system: System, others: Directory) -> None:
        self._system = system
        self._others = others
        self._fd: int | None = None
        self._lines: dict[Named, int] = {}
        self._free: list[int] = []

    def left(self) -> list[Left]:
        """What was in flight when the last process ended. OSError."""
        octets = self._system.pread(self._opened(), _MOST, 0)
        return [letter for line in octets.split(b"\n") if (letter := _parsed(line)) is not None]

    def clear(self) -> None:
        """Nothing is in flight. OSError."""
        self._system.ftruncate(self._opened(), 0)
        self._lines, self._free = {}, []

    def take_off(self, letters: Iterable[Named]) -> None:
        """They are being sent from now on; those that are already are skipped. OSError."""
        new = [letter for letter in dict.fromkeys(letters) if letter not in self._lines]
        known = len(self._lines) + len(self._free)
        lines = [*self._free[: len(new)], *range(known, known + len(new))][: len(new)]
        self._write(dict(zip(lines, map(_written, new), strict=True)))
        del self._free[: len(new)]
        self._lines.update(zip(new, lines, strict=True))

    def mark(self, letter: Named) -> None:
        """It is delivered. OSError; KeyError when it is not out."""
        self._system.pwrite(self._opened(), _MARK, self._lines[letter] * _WIDTH)

    def land(self, letters: Iterable[Named]) -> None:
        """They are not sent any more; those that were not are skipped. OSError."""
        landed = [letter for letter in dict.fromkeys(letters) if letter in self._lines]
        self._write(dict.fromkeys((self._lines[letter] for letter in landed), _FREE))
        self._free += [self._lines.pop(letter) for letter in landed]
        self._free.sort()  # the lowest are used first, neighbours together

    def _write(self, lines: Mapping[int, bytes]) -> None:
        """Each run of neighbours at once."""
        for _, run in groupby(enumerate(sorted(lines)), lambda each: each[1] - each[0]):
            numbers = [number for _, number in run]
            octets = b"".join(lines[number] for number in numbers)
            self._system.pwrite(self._opened(), octets, numbers[0] * _WIDTH)

    def _opened(self) -> int:
        if self._fd is None:
            self._fd = self._system.open(_NAME, _FLAGS, 0o600, dir_fd=self._others.fd)
        return self._fd


def _written(letter: Named) -> bytes:
    return " {}/{}".format(*letter).encode("ascii").ljust(_WIDTH - 1) + b"\n"


def _parsed(line: bytes) -> Left | None:
    """None when the line tells no letter, as a free one, or one that nobody of us wrote."""
    domain, _, letter = line[1:].decode("ascii", "replace").rstrip().partition("/")
    try:
        Domain(domain)
    except ValueError:
        return None
    if identifier.PATTERN.fullmatch(letter) is None:
        return None
    return Left(domain, letter, delivered=line[:1] == _MARK)
