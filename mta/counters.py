"""Counters in shared memory: every process writes its own row, any process reads all of them.

The memory is an anonymous file (memfd) that children inherit by descriptor. It is a grid of 64-bit cells,
a row for each role and a column for each counter. A row has one writer, the loop's thread of the process
in that role, so adding needs no lock; a reader takes whole cells and costs the writers nothing. Rows outlive
their process: the next one in the same role counts on, and only its gauges are cleared.

Each counter is declared once, below, with its unit and the sentence that every display shows for it.
This module must never know who counts or who looks.
"""

from __future__ import annotations

import mmap
import os
import zlib
from dataclasses import dataclass
from typing import Literal

ROLES = ("supervisor", "receiver", "relay", "logger", "metrics")
"""The processes that have a row."""

_CELL = 8


class ForeignCounters(Exception):
    """The inherited memory was laid out by another version of this program."""


@dataclass(frozen=True, slots=True)
class Counter:
    """A column: `kind` "counter" only ever grows, "gauge" says how many there are now."""

    index: int
    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    help: str


CATALOGUE: list[Counter] = []
"""All counters, in the order of their cells."""


def _counter(name: str, unit: str, text: str) -> Counter:
    return _declare(name, "counter", unit, text)


def _gauge(name: str, unit: str, text: str) -> Counter:
    return _declare(name, "gauge", unit, text)


def _declare(name: str, kind: Literal["counter", "gauge"], unit: str, text: str) -> Counter:
    CATALOGUE.append(Counter(len(CATALOGUE), name, kind, unit, text))
    return CATALOGUE[-1]


TURNS = _counter("turns", "turns", "Turns of the loop; a process whose turns stand still hangs.")
CONNECTIONS_TOTAL = _counter("connections_total", "connections", "Connections taken since the start.")
CONNECTIONS_CURRENT = _gauge("connections_current", "connections", "Connections open now.")
MESSAGES_ACCEPTED = _counter("messages_accepted", "messages", "Messages acknowledged with 250.")
OCTETS_ACCEPTED = _counter("octets_accepted", "octets", "Octets of the messages accepted.")
RECIPIENTS_ACCEPTED = _counter("recipients_accepted", "recipients", "Recipients of the messages accepted.")
REJECTS = _counter("rejects", "replies", "Commands and messages answered with 4xx or 5xx.")
COMMITS = _counter("commits", "commits", "Batches of messages made durable.")
COMMIT_MESSAGES = _counter("commit_messages", "messages", "Messages in those batches.")
DELIVERIES = _counter("deliveries", "recipients", "Recipients whose mail another server has taken.")
DEFERRALS = _counter("deferrals", "recipients", "Attempts for a recipient that are to be repeated.")
FAILURES = _counter("failures", "recipients", "Recipients whose mail another server has refused for good.")
QUEUE_LETTERS = _gauge("queue_letters", "letters", "Letters that wait for other servers.")
LOG_DROPPED = _counter("log_dropped", "records", "Log records lost: pipe or disk full, no file.")


def _layout() -> int:
    """A number that differs when rows or columns do, so that a mismatch is noticed instead of counted."""
    names = ",".join((*ROLES, *(f"{counter.name}:{counter.kind}" for counter in CATALOGUE)))
    return zlib.crc32(names.encode())


class Row:
    """The cells of one role. Where even a call is too much: `row.cells[TURNS.index] += 1`.

    Cells are signed, so that a gauge counted down once too often shows -1 instead of raising."""

    __slots__ = ("cells",)

    def __init__(self, cells: memoryview) -> None:
        self.cells = cells

    def add(self, counter: Counter, n: int = 1) -> None:
        self.cells[counter.index] += n

    def sub(self, counter: Counter, n: int = 1) -> None:
        self.cells[counter.index] -= n

    def set(self, counter: Counter, value: int) -> None:
        self.cells[counter.index] = value

    def get(self, counter: Counter) -> int:
        return int(self.cells[counter.index])


class Counters:
    """The whole grid. `fd` is the descriptor to hand on to children, who `attach` it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        # The mapping is kept alive by the views on it; nobody ever needs to unmap it before the process ends.
        self._cells = memoryview(mmap.mmap(fd, _size())).cast("q")

    @classmethod
    def create(cls) -> Counters:
        """New memory, all zero. The descriptor is not inheritable until somebody passes it on."""
        fd = os.memfd_create("mta-counters", os.MFD_CLOEXEC)
        os.ftruncate(fd, _size())
        counters = cls(fd)
        counters._cells[0] = _layout()
        return counters

    @classmethod
    def attach(cls, fd: int) -> Counters:
        """The memory behind an inherited descriptor. Raises ForeignCounters when its layout is not ours."""
        if os.fstat(fd).st_size != _size():
            raise ForeignCounters(f"descriptor {fd} holds {os.fstat(fd).st_size} octets, not {_size()}")
        counters = cls(fd)
        if counters._cells[0] != _layout():
            raise ForeignCounters(f"descriptor {fd} holds the counters of another version")
        return counters

    def row(self, role: str) -> Row:
        """The row of a role; only the process in that role may write to it. Raises ValueError for no role."""
        start = 1 + ROLES.index(role) * len(CATALOGUE)
        return Row(self._cells[start : start + len(CATALOGUE)])

    def total(self, counter: Counter) -> int:
        """The sum over all processes, living and dead."""
        return sum(self._cells[1 + counter.index :: len(CATALOGUE)])

    def clear_gauges(self, role: str) -> None:
        """Whoever had this role is gone, and what it held open with it."""
        row = self.row(role)
        for counter in CATALOGUE:
            if counter.kind == "gauge":
                row.set(counter, 0)


def _size() -> int:
    """Octets of the memory: the layout's number, then the rows."""
    return _CELL * (1 + len(ROLES) * len(CATALOGUE))
