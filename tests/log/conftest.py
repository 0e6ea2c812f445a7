"""What the tests of the log share: a row of counters, a pipe, and a log whose records can be read back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mta.counters import Counters, Row
from mta.log.log import Log, open_pipe
from mta.log.logfmt import Record, parse_record

NOON = 1_795_262_400.0
"""2026-11-21T12:00:00Z, the moment at which every record of these tests is written."""


@dataclass
class Tap:
    """A log, and the end of the pipe to which its records flow."""

    log: Log
    reading: int

    def octets(self) -> bytes:
        """What has been written so far, flushed."""
        self.log.flush()
        try:
            return os.read(self.reading, 1 << 20)
        except BlockingIOError:
            return b""

    def records(self) -> list[Record]:
        return [parse_record(line) for line in self.octets().splitlines()]

    def record(self) -> Record:
        (record,) = self.records()
        return record


@pytest.fixture
def row() -> Iterator[Row]:
    counters = Counters.create()
    yield counters.row("receiver")
    os.close(counters.fd)


@pytest.fixture
def tap(row: Row) -> Iterator[Tap]:
    reading, writing = open_pipe()
    log = Log(writing, "receiver", row, clock=lambda: NOON)
    yield Tap(log, reading)
    log.close()
    os.close(reading)
