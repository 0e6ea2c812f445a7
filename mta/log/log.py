"""The writing end: a process's records, on their way to the logger through a pipe.

Records are collected while the loop's turn lasts and leave at its end, as many whole ones in one write(2) as
PIPE_BUF allows, which the kernel keeps in one piece. The pipe never blocks: when it is full or nobody
reads it, records are dropped and counted, and the count is told as soon as there is room again. Mail does not
wait for its log.

Only the loop's thread writes. This module does not know events; they are in mta/log/events.py.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal

from mta.counters import LOG_DROPPED, Row
from mta.log.logfmt import MOST_OCTETS, Fields, format_record

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

PIPE_OCTETS = 1 << 20
"""What a pipe to the logger should hold: half a second of records at full load."""

_MOST_PENDING = 256


def open_pipe() -> tuple[int, int]:
    """A pipe to a logger: (end to read, end to write), as large as the system allows, closed on exec."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    with suppress(OSError):  # above the system's or the user's limit: then it stays as small as it is
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_OCTETS)
    return reading, writing


class Log:
    """The log of one process, to be flushed at the end of each turn.

    `debug`: whether records of level DEBUG are written; `transcript`: whether sessions are recorded line
    by line; `quiet`: whether nothing is written of sessions, neither ours nor those at other servers. All
    may change at any time."""

    def __init__(
        self, fd: int, process: str, row: Row | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        os.set_blocking(fd, False)
        self.debug = False
        self.transcript = False
        self.quiet = False
        self._fd = fd
        self._process = process
        self._row = row
        self._clock = clock
        self._pending: list[bytes] = []
        self._dropped = 0

    def configure(self, debug: bool, transcript_file: bool) -> None:
        """Set what is written: application.debug, and whether application.log.transcript is a file."""
        self.debug = debug
        self.transcript = debug or transcript_file

    def write(self, level: Level, event: str, **fields: object) -> None:
        """Add a record of the program itself; one of level DEBUG only when `debug` is on."""
        if level != "DEBUG" or self.debug:
            self._add(level, event, fields)

    def record(self, level: Level, event: str, fields: Fields) -> None:
        """Add a record of a session, whatever its level, unless they are not wanted."""
        if not self.quiet:
            self._add(level, event, fields)

    def _add(self, level: Level, event: str, fields: Fields) -> None:
        self._pending.append(format_record(self._clock(), level, self._process, event, fields))
        if len(self._pending) >= _MOST_PENDING:
            self.flush()

    def flush(self) -> None:
        """Hand over what has been collected. Never blocks, never fails."""
        if not self._pending:
            return
        records, self._pending = self._pending, []
        if self._dropped:
            self._tell_dropped()
        for piece in _pieces(records):
            if not self._put(b"".join(piece)):
                self._drop(len(piece))

    def fileno(self) -> int:
        """The pipe's end, -1 when closed."""
        return self._fd

    def close(self) -> None:
        """Flush, and close our end of the pipe; later records go nowhere."""
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _tell_dropped(self) -> None:
        told = format_record(self._clock(), "WARNING", self._process, "dropped", {"n": self._dropped})
        if self._put(told):
            self._dropped = 0

    def _put(self, octets: bytes) -> bool:
        try:
            os.write(self._fd, octets)
        except OSError:  # full, or no reader any more
            return False
        return True

    def _drop(self, n: int) -> None:
        self._dropped += n
        if self._row is not None:
            self._row.add(LOG_DROPPED, n)


def _pieces(records: list[bytes]) -> Iterator[list[bytes]]:
    """Whole records, together as many as one atomic write takes."""
    piece: list[bytes] = []
    octets = 0
    for record in records:
        octets += len(record)
        if octets > MOST_OCTETS:
            yield piece
            piece, octets = [], len(record)
        piece.append(record)
    yield piece
