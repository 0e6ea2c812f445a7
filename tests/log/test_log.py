"""The writing end: whole records, atomic writes, never waiting, and counting what is lost."""

from __future__ import annotations

import os

import pytest

from mta.counters import LOG_DROPPED, Row
from mta.log.log import Log
from mta.log.logfmt import MOST_OCTETS, parse_record
from tests.log.conftest import Tap


def fill(fd: int) -> None:
    """Leave no room for even one octet."""
    for size in (4096, 1):
        while True:
            try:
                os.write(fd, b"\n" * size)
            except BlockingIOError:
                break


def drain(fd: int) -> bytes:
    octets = b""
    while True:
        try:
            octets += os.read(fd, 1 << 20)
        except BlockingIOError:
            return octets


def test_records_leave_at_the_flush_and_in_order(tap: Tap) -> None:
    tap.log.write("INFO", "first", n=1)
    tap.log.write("ERROR", "second", n=2)
    assert drain(tap.reading) == b""
    assert [(r.level, r.event, r.text("n")) for r in tap.records()] == [
        ("INFO", "first", "1"), ("ERROR", "second", "2"),
    ]  # fmt: skip
    assert tap.octets() == b""


def test_debug_records_are_written_only_when_asked_for(tap: Tap) -> None:
    tap.log.write("DEBUG", "hidden")
    tap.log.debug = True
    tap.log.write("DEBUG", "shown")
    assert tap.record().event == "shown"


@pytest.mark.parametrize(
    ("debug", "file", "transcript"),
    [(False, False, False), (True, False, True), (False, True, True), (True, True, True)],
)
def test_sessions_are_transcribed_for_debug_or_for_a_file(
    tap: Tap, debug: bool, file: bool, transcript: bool
) -> None:
    tap.log.configure(debug, file)
    assert (tap.log.debug, tap.log.transcript) == (debug, transcript)


def test_one_write_takes_as_many_whole_records_as_are_atomic(
    tap: Tap, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []
    real = os.write

    def write(fd: int, octets: bytes) -> int:
        writes.append(octets)
        return real(fd, octets)

    monkeypatch.setattr(os, "write", write)
    for n in range(30):
        tap.log.write("INFO", "event", n=n, text="x" * (n * 40))
    tap.log.flush()
    assert all(len(octets) <= MOST_OCTETS and octets.endswith(b"\n") for octets in writes)
    # No two neighbours would have fitted together.
    firsts = [len(octets.partition(b"\n")[0]) + 1 for octets in writes]
    assert all(len(a) + b > MOST_OCTETS for a, b in zip(writes, firsts[1:], strict=False))
    lines = b"".join(writes).splitlines()
    assert [parse_record(line).text("n") for line in lines] == [str(n) for n in range(30)]


def test_a_long_turn_does_not_pile_up_records(tap: Tap) -> None:
    for n in range(1000):
        tap.log.write("INFO", "event", n=n)
    assert drain(tap.reading).count(b"\n") > 700


def test_a_full_pipe_drops_and_counts_and_tells_later(tap: Tap, row: Row) -> None:
    writing = os.dup(tap.log.fileno())
    fill(writing)
    os.close(writing)
    for n in range(3):
        tap.log.write("INFO", "lost", n=n)
    tap.log.flush()
    assert row.get(LOG_DROPPED) == 3
    tap.log.write("INFO", "lost", n=4)
    tap.log.flush()
    assert set(drain(tap.reading)) == {ord("\n")}
    tap.log.write("INFO", "arrives")
    told, arrives = tap.records()
    assert (told.level, told.event, told.text("n")) == ("WARNING", "dropped", "4")
    assert arrives.event == "arrives"
    tap.log.write("INFO", "again")
    assert tap.record().event == "again"
    assert row.get(LOG_DROPPED) == 4


def test_a_pipe_that_was_made_to_block_does_not(row: Row) -> None:
    reading, writing = os.pipe()
    log = Log(writing, "receiver", row)
    for _ in range(400):
        log.write("INFO", "event", text="x" * 4000)
        log.flush()
    assert row.get(LOG_DROPPED) > 0
    log.close()
    os.close(reading)


def test_without_a_reader_records_are_dropped(row: Row) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = Log(writing, "receiver", row)
    log.write("INFO", "lost")
    log.flush()
    log.close()
    assert row.get(LOG_DROPPED) == 1


def test_closing_flushes_and_what_comes_after_is_dropped(tap: Tap, row: Row) -> None:
    tap.log.write("INFO", "last")
    tap.log.close()
    tap.log.write("INFO", "late")
    tap.log.close()
    assert parse_record(os.read(tap.reading, 4096)).event == "last"
    assert os.read(tap.reading, 1) == b""
    assert row.get(LOG_DROPPED) == 1
