"""A file that may fail: records go in whole or are counted, and nobody is held up.

A missing folder is made. A file that cannot be opened is tried again with later records, at most once a
second; a full disk is tried each time. What was lost meanwhile is told in the file itself as soon as it takes
records again, and standard error hears once when the trouble begins. A record that a filling disk cut in two
is completed before anything else is written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

from mta.counters import LOG_DROPPED, Row
from mta.log.colour import coloured
from mta.log.logfmt import format_record

_STANDARD_ERROR = 2
_RETRY = 1.0
"""Seconds between two attempts to open a file."""

# O_NONBLOCK, so that a FIFO in the place of the file is an error and not a logger that hangs.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class LogFile:
    """A place for records: the file at `path`, or standard error for "". Coloured on a terminal."""

    def __init__(self, path: str, row: Row, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._row = row
        self._clock = clock
        self._fd: int | None = None
        self._colours = False
        self._next_try = clock()
        self._rest = b""
        self._lost = 0
        self._error: OSError | None = None
        self._open()

    def write(self, records: bytes) -> None:
        """Append whole records. What cannot be written is counted, here and in the row."""
        if self._fd is None and self._clock() >= self._next_try:
            self._open()
        if self._fd is None or not self._tell_lost():
            self._lose(records.count(b"\n"))
        else:
            self._lose(self._put(coloured(records) if self._colours else records))

    def reopen(self) -> None:
        """Close the file and open whatever has its name now."""
        self.close()
        self._open()

    def close(self) -> None:
        """Give the file back; a record that waits for its second half is lost."""
        self._lose(self._rest.count(b"\n"))
        self._rest = b""
        if self._fd is not None and self._fd != _STANDARD_ERROR:
            os.close(self._fd)
        self._fd = None

    def _open(self) -> None:
        self._next_try = self._clock() + _RETRY
        try:
            self._fd = _open(self.path) if self.path else _STANDARD_ERROR
        except OSError as error:
            self._complain(error)
        else:
            self._colours = os.isatty(self._fd) and "NO_COLOR" not in os.environ

    def _put(self, records: bytes) -> int:
        """Write after what is left of an earlier record; returns how many records were lost."""
        octets = self._rest + records
        done = self._push(octets)
        # A record of which a part is in the file, now or from before, must be completed some time.
        torn = octets[done - 1 : done] != b"\n" if done else bool(self._rest)
        end = octets.index(b"\n", done) + 1 if torn and done < len(octets) else done
        self._rest = octets[done:end]
        return octets.count(b"\n", end)

    def _push(self, octets: bytes) -> int:
        """Write as much as goes; returns how many octets went."""
        assert self._fd is not None
        done = 0
        try:
            while done < len(octets):
                done += os.write(self._fd, octets[done:])
        except OSError as error:
            self._complain(error)
        return done

    # what is lost

    def _lose(self, n: int) -> None:
        self._lost += n
        self._row.add(LOG_DROPPED, n)

    def _tell_lost(self) -> bool:
        """Whether the file takes records again; the first says how many are missing."""
        if self._lost:
            if self._put(self._own("WARNING", "dropped", n=self._lost)):
                return False
            self._lost = 0
        self._error = None
        return True

    def _complain(self, error: OSError) -> None:
        if self._error is None and self.path:
            fault = self._own("ERROR", "fault", what="write log", where=self.path, error=error)
            with suppress(OSError):  # there is nobody left to tell
                os.write(_STANDARD_ERROR, fault)
        self._error = error

    def _own(self, level: str, event: str, **fields: object) -> bytes:
        return format_record(time.time(), level, "logger", event, fields)


def _open(path: str) -> int:
    try:
        return os.open(path, _FLAGS, 0o640)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o750, exist_ok=True)
        return os.open(path, _FLAGS, 0o640)
