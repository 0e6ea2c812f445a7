"""Counters in shared memory: every process writes its own row, any process reads all of them.

The memory is an anonymous file (memfd) that children inherit by descriptor. It is a grid of 64-bit cells,
a row for each role and a column for each counter. A row has one writer, the loop's thread of the process
in that role, so adding needs no lock; a reader takes whole cells and costs the writers nothing. Rows outlive
their process: the next one in the same role counts on, and only its gauges are cleared.

Each counter is declared once, below, with its unit and the sentence that every display shows for it. Names
follow the conventions of Prometheus, whose units are seconds and bytes; cells hold microseconds and octets.
This module must never know who counts or who looks.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

ROLES = ("supervisor", "receiver", "relay", "logger", "metrics")
"""The processes that have a row."""

SERVICES = ("smtp", "submission", "submissions", "datagram", "pop3", "pop3s", "management", "control")
"""The services whose connections are counted, by their names in the configuration."""

MAIL_SERVICES = ("smtp", "submission", "submissions", "datagram")
"""Those that take mail."""

REASONS = ("syntax", "order", "relay_denied", "no_such_user", "login", "policy", "size", "fault", "too_many")
"""Why a command or a message was not accepted; `fault`: for want of space, or something of ours is broken."""

_CELL = 8
_SPAN = 60.0
"""Seconds."""


class ForeignCounters(Exception):
    """The inherited memory was laid out by another version of this program."""


Kind = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Counter:
    """A column: `kind` "counter" only ever grows, "gauge" says how many there are now.

    Several columns of one name differ in the `value` of their `label`: rejects by reason. What is
    `per_process` means little as a sum over the processes."""

    index: int
    name: str
    kind: Kind
    unit: str
    help: str
    label: str = ""
    value: str = ""
    per_process: bool = False

    @property
    def key(self) -> str:
        """The name that no other column has: `rejects.syntax`."""
        return f"{self.name}.{self.value}" if self.value else self.name


Family = Mapping[str, Counter]
"""Columns of one name, by the value of their label."""

CATALOGUE: list[Counter] = []
"""All counters, in the order of their cells."""


def _counter(name: str, unit: str, text: str, label: str = "", value: str = "") -> Counter:
    return _declare(Counter(len(CATALOGUE), name, "counter", unit, text, label, value))


def _gauge(name: str, unit: str, text: str, label: str = "", value: str = "") -> Counter:
    return _declare(Counter(len(CATALOGUE), name, "gauge", unit, text, label, value))


def _of_each_process(name: str, kind: Kind, unit: str, text: str) -> Counter:
    return _declare(Counter(len(CATALOGUE), name, kind, unit, text, per_process=True))


def _declare(counter: Counter) -> Counter:
    CATALOGUE.append(counter)
    return counter


def _counters(name: str, unit: str, text: str, label: str, values: Sequence[str]) -> Family:
    return {value: _counter(name, unit, text, label, value) for value in values}


def _gauges(name: str, unit: str, text: str, label: str, values: Sequence[str]) -> Family:
    return {value: _gauge(name, unit, text, label, value) for value in values}


# every process

TURNS = _of_each_process(
    "loop_turns", "counter", "turns", "Turns of the loop; where they stand still it hangs."
)
LONGEST_TURN = _of_each_process(
    "loop_longest_turn", "gauge", "microseconds", "The longest turn of the loop in the last minute or two."
)
LOG_DROPPED = _of_each_process(
    "log_dropped_records", "counter", "records", "Log records lost: pipe or disk full, no file."
)

# the way in

CONNECTIONS_TOTAL = _counters(
    "connections", "connections", "Connections served since the start.", "service", SERVICES
)
CONNECTIONS_CURRENT = _gauges(
    "connections_current", "connections", "Connections open now.", "service", SERVICES
)
REFUSED = _counters(
    "refused_connections", "connections", "Connections turned away: too many.", "service", SERVICES
)
MESSAGES_ACCEPTED = _counter("accepted_messages", "messages", "Messages acknowledged with 250.")
OCTETS_ACCEPTED = _counter("accepted_bytes", "octets", "Octets of the messages accepted.")
RECIPIENTS_ACCEPTED = _counter("accepted_recipients", "recipients", "Recipients of the messages accepted.")
REJECTS = _counters(
    "rejects", "replies", "Commands and messages answered with 4xx or 5xx.", "reason", REASONS
)

_LOGINS = ("logins", "logins", "Attempts to log in, by any protocol.", "outcome")
LOGINS_OK = _counter(*_LOGINS, "ok")
LOGINS_FAILED = _counter(*_LOGINS, "failed")

COMMITS = _counter("commits", "commits", "Batches of messages made durable.")
COMMIT_MESSAGES = _counter("commit_messages", "messages", "Messages in those batches.")
COMMIT_TIME = _counter("commit_time", "microseconds", "Time from handing a batch over until it was durable.")
LONGEST_COMMIT = _gauge(
    "commit_longest", "microseconds", "The longest of these times in the last minute or two."
)
QUEUE_COMMITS = _gauge("queue_commits", "messages", "Messages that wait to be made durable.")

# the way out

MESSAGES_SENT = _counters(
    "sent_messages", "messages", "Messages fetched, or taken by another server.", "service", ("pop3", "relay")
)
OCTETS_SENT = _counters("sent_bytes", "octets", "Octets of these messages.", "service", ("pop3", "relay"))
RELAY_CONNECTIONS_TOTAL = _counter(
    "relay_connections", "connections", "Connections to other servers begun since the start."
)
RELAY_CONNECTIONS_CURRENT = _gauge(
    "relay_connections_current", "connections", "Connections to other servers under way."
)

_OUTCOMES = ("deliveries", "recipients", "What became of a recipient in an attempt to deliver.", "outcome")
DELIVERIES = _counter(*_OUTCOMES, "delivered")
DEFERRALS = _counter(*_OUTCOMES, "deferred")
FAILURES = _counter(*_OUTCOMES, "failed")
QUEUE_LETTERS = _gauge("queue_letters", "letters", "Letters that wait for other servers.")


def _layout() -> int:
    """A number that differs when rows or columns do, so that a mismatch is noticed instead of counted."""
    names = ",".join((*ROLES, *(f"{counter.key}:{counter.kind}" for counter in CATALOGUE)))
    return zlib.crc32(names.encode())


class Row:
    """The cells of one role in the grid of all. Where even a call is too much: `row.cells[TURNS.index] += 1`.

    Cells are signed, so that a gauge counted down once too often shows -1 instead of raising."""

    __slots__ = ("cells", "grid")

    def __init__(self, cells: memoryview, grid: Counters) -> None:
        self.cells = cells
        self.grid = grid

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
        return Row(self._cells[start : start + len(CATALOGUE)], self)

    def total(self, counter: Counter) -> int:
        """The sum over all processes, living and dead."""
        return sum(self._cells[1 + counter.index :: len(CATALOGUE)])

    def sum(self, family: Family, *values: str) -> int:
        """The sum over these values of a label, all by default: `sum(CONNECTIONS_TOTAL, "pop3", "pop3s")`."""
        return sum(self.total(family[value]) for value in values or family)

    def clear_gauges(self, role: str) -> None:
        """Whoever had this role is gone, and what it held open with it."""
        row = self.row(role)
        for counter in CATALOGUE:
            if counter.kind == "gauge":
                row.set(counter, 0)


class Peak:
    """A gauge that shows the largest of the values noted in the last one or two spans of time."""

    __slots__ = ("_before", "_cells", "_index", "_now", "_until")

    def __init__(self, row: Row, counter: Counter) -> None:
        self._cells = row.cells
        self._index = counter.index
        self._before = self._now = 0
        self._until = 0.0

    def note(self, value: int, clock: float) -> None:
        """A value, in the counter's unit; `clock`: seconds of the monotonic clock."""
        if clock >= self._until:
            self._turn_over(clock)
        if value > self._now:
            self._now = value
            if value > self._before:
                self._cells[self._index] = value

    def _turn_over(self, clock: float) -> None:
        self._before = self._now if clock < self._until + _SPAN else 0
        self._now = 0
        self._until = clock + _SPAN
        self._cells[self._index] = self._before


def _size() -> int:
    """Octets of the memory: the layout's number, then the rows."""
    return _CELL * (1 + len(ROLES) * len(CATALOGUE))
