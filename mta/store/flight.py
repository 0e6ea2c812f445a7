"""Which letters are being sent at this moment, on disk: the next process learns what the last one died of.

A letter that makes the relay fall over would do so again at every start, before any other is sent. So each is
noted in `.flight` while it is out, one line of fixed width for each, and those found there at a start are
deferred one step. Nothing is synced: the notes must outlive the process, and need not outlive the power.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from mta import identifier
from mta.store.envelope import Domain
from mta.store.folders import Directory
from mta.store.system import System

_NAME: Final = ".flight"
_WIDTH: Final = 253 + 1 + identifier.LENGTH + 1
"""The longest domain, a slash, an identifier, a line end."""
_FREE: Final = b" " * (_WIDTH - 1) + b"\n"
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST: Final = 16 << 20
"""Octets read of the file at most; no relay has so many letters out."""


class Flight:
    """The letters in flight; one process writes it, under the tree's lock."""

    def __init__(self, system: System, others: Directory) -> None:
        self._system = system
        self._others = others
        self._fd: int | None = None
        self._lines: dict[tuple[str, str], int] = {}
        self._free: list[int] = []

    def left(self) -> list[tuple[str, str]]:
        """Domain and id of what was in flight when the last process ended. OSError."""
        octets = self._system.pread(self._opened(), _MOST, 0)
        return [letter for line in octets.split(b"\n") if (letter := _parsed(line)) is not None]

    def clear(self) -> None:
        """Nothing is in flight. OSError."""
        self._system.ftruncate(self._opened(), 0)
        self._lines, self._free = {}, []

    def take_off(self, domain: str, letter: str) -> None:
        """It is being sent from now on. OSError."""
        if (domain, letter) in self._lines:
            return
        line = self._free[-1] if self._free else len(self._lines)
        self._write(line, f"{domain}/{letter}".encode().ljust(_WIDTH - 1) + b"\n")
        self._lines[domain, letter] = line
        del self._free[-1:]

    def land(self, letters: Iterable[tuple[str, str]]) -> None:
        """They are not sent any more; those that were not are skipped. OSError."""
        for letter in letters:
            if letter in self._lines:
                self._write(self._lines[letter], _FREE)
                self._free.append(self._lines.pop(letter))

    def _write(self, line: int, octets: bytes) -> None:
        self._system.pwrite(self._opened(), octets, line * _WIDTH)

    def _opened(self) -> int:
        if self._fd is None:
            self._fd = self._system.open(_NAME, _FLAGS, 0o600, dir_fd=self._others.fd)
        return self._fd


def _parsed(line: bytes) -> tuple[str, str] | None:
    """Domain and id; None when the line tells none, as a free one, or one that nobody of us wrote."""
    domain, _, letter = line.decode("ascii", "replace").rstrip().partition("/")
    try:
        Domain(domain)
    except ValueError:
        return None
    return (domain, letter) if identifier.PATTERN.fullmatch(letter) else None
