"""A file that may fail: no record is torn, what is lost is counted and told, and it recovers by itself."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mta.counters import LOG_DROPPED, Row
from mta.log.file import LogFile
from mta.log.logfmt import parse_record


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path, row: Row, clock: Clock) -> Iterator[LogFile]:
    file = LogFile(str(tmp_path / "log" / "mta.log"), row, clock)
    yield file
    file.close()


def record(n: int) -> bytes:
    return b"2026-11-21T12:00:00.000Z INFO receiver event n=%04d\n" % n


def read(file: LogFile) -> bytes:
    return Path(file.path).read_bytes()


@contextmanager
def room_for(octets: int) -> Iterator[None]:
    """A disk that is full after so many octets of a file: short writes first, then an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_missing_folder_is_made_and_records_are_appended(file: LogFile, row: Row) -> None:
    file.write(record(1))
    file.write(record(2) + record(3))
    assert read(file) == record(1) + record(2) + record(3)
    assert os.stat(file.path).st_mode & 0o777 & ~0o640 == 0
    assert row.get(LOG_DROPPED) == 0


def test_a_file_that_was_there_is_continued(file: LogFile, row: Row, clock: Clock) -> None:
    file.write(record(1))
    other = LogFile(file.path, row, clock)
    other.write(record(2))
    other.close()
    assert read(file) == record(1) + record(2)


def test_reopening_follows_the_name(file: LogFile) -> None:
    file.write(record(1))
    moved = Path(file.path).rename(file.path + ".1")
    file.write(record(2))
    file.reopen()
    file.write(record(3))
    assert moved.read_bytes() == record(1) + record(2)
    assert read(file) == record(3)


@pytest.mark.parametrize("octets", range(0, 3 * len(record(0)), 7))
def test_a_full_disk_tears_no_record_and_the_loss_is_told(file: LogFile, row: Row, octets: int) -> None:
    with room_for(octets):
        file.write(record(1) + record(2) + record(3))
        file.write(record(4))
        file.write(record(5))
    file.write(record(6))
    lines = read(file).splitlines(keepends=True)
    (told,) = [line for line in lines if parse_record(line).event == "dropped"]
    written = [line for line in lines if line != told]
    # Those that are there are whole and in order, and the others are in the count.
    assert written == [record(n) for n in (1, 2, 3, 4, 5, 6) if record(n) in written]
    assert written[-1] == record(6)
    assert int(parse_record(told).text("n")) == 6 - len(written) == row.get(LOG_DROPPED)


def test_a_file_that_cannot_be_opened_is_tried_again_after_a_second(
    tmp_path: Path, row: Row, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "mta.log"
    place.mkdir()
    file = LogFile(str(place), row, clock)
    file.write(record(1))
    place.rmdir()
    file.write(record(2))
    assert not place.exists()
    clock.now += 1
    file.write(record(3))
    told, last = place.read_bytes().splitlines(keepends=True)
    assert (parse_record(told).event, parse_record(told).text("n")) == ("dropped", "2")
    assert last == record(3)
    assert row.get(LOG_DROPPED) == 2
    (complaint,) = capfd.readouterr().err.encode().splitlines()
    assert parse_record(complaint).text("where") == str(place)
    file.close()


def test_trouble_is_told_once_each_time_it_begins(file: LogFile, capfd: pytest.CaptureFixture[str]) -> None:
    file.write(b"".join(map(record, range(40))))
    for _ in range(2):
        with room_for(len(read(file))):  # standard error is a file here, and needs some room
            file.write(record(1))
            file.write(record(2))
        file.write(record(3))
    complaints = [parse_record(line.encode()) for line in capfd.readouterr().err.splitlines()]
    assert [os.strerror(errno.EFBIG) in complaint.text("error") for complaint in complaints] == [True] * 2


def test_a_fifo_without_a_reader_does_not_hold_us_up(
    tmp_path: Path, row: Row, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "mta.log")
    file = LogFile(str(tmp_path / "mta.log"), row, clock)
    file.write(record(1))
    assert row.get(LOG_DROPPED) == 1
    assert "write log" in capfd.readouterr().err
    file.close()


def test_no_path_is_standard_error_and_stays_open(
    row: Row, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    file = LogFile("", row, clock)
    file.write(record(1))
    file.reopen()
    file.write(record(2))
    file.close()
    assert capfd.readouterr().err.encode() == record(1) + record(2)


@pytest.mark.parametrize(("variable", "coloured"), [(None, True), ("", False)])
def test_a_terminal_gets_colours_unless_it_wants_none(
    row: Row, clock: Clock, monkeypatch: pytest.MonkeyPatch, variable: str | None, coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if variable is not None:
        monkeypatch.setenv("NO_COLOR", variable)
    keyboard, terminal = os.openpty()
    file = LogFile(os.ttyname(terminal), row, clock)
    file.write(record(1))
    shown = os.read(keyboard, 4096)
    assert (b"\x1b[" in shown) is coloured
    assert b"event" in shown
    file.close()
    os.close(keyboard)
    os.close(terminal)
