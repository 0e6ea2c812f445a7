"""The logger: from the pipe into the files, through reloads and rotations, to the last record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mta.counters import Row
from mta.log import events
from mta.log.log import Log, open_pipe
from mta.log.logfmt import parse_record
from mta.log.logger import Logger
from mta.loop import Loop


@dataclass
class Server:
    """A logger, and a process that logs to it, on one loop."""

    loop: Loop
    logger: Logger
    log: Log
    folder: Path

    def configure(self, path: str = "mta.log", transcript: str | None = None, debug: bool = False) -> None:
        log = SimpleNamespace(
            path=self.folder / path if path else None,
            transcript=self.folder / transcript if transcript else None,
        )
        settings = SimpleNamespace(application=SimpleNamespace(debug=debug, log=log))
        snapshot: Any = SimpleNamespace(settings=settings)
        self.logger.configure(snapshot, {}, None)
        self.log.configure(debug, transcript is not None)

    def say(self, *events: str) -> None:
        for event in events:
            self.log.write("INFO", event)
        self.turn()

    def turn(self) -> None:
        """Long enough for a record of the logger's own to reach itself."""
        for _ in range(3):
            self.loop.turn()

    def events(self, path: str) -> list[str]:
        return [parse_record(line).event for line in (self.folder / path).read_bytes().splitlines()]


@pytest.fixture
def server(tmp_path: Path, row: Row) -> Iterator[Server]:
    loop = Loop()
    reading, writing = open_pipe()
    own = Log(os.dup(writing), "logger", row)
    log = Log(writing, "receiver", row)
    loop.at_end_of_turn(own.flush)
    loop.at_end_of_turn(log.flush)
    logger = Logger(loop, own, row, reading)
    yield Server(loop, logger, log, tmp_path)
    log.close()
    logger.stop()
    loop.run()
    loop.close()


def test_what_is_said_before_the_configuration_waits_for_it(server: Server) -> None:
    server.say("first")
    server.configure()
    server.say("second")
    assert server.events("mta.log") == ["first", "second"]


def test_without_a_path_it_is_standard_error(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.configure(path="")
    server.say("first")
    assert "receiver first\n" in capfd.readouterr().err


def test_a_new_path_takes_what_comes_then(server: Server) -> None:
    server.configure()
    server.say("first")
    server.configure(path="other.log")
    server.say("second")
    server.configure()
    server.say("third")
    assert server.events("mta.log") == ["first", "third"]
    assert server.events("other.log") == ["second"]


def test_files_are_opened_anew_after_a_rotation(server: Server) -> None:
    server.configure(transcript="transcript")
    server.say("first")
    events.transcript_received(server.log, "s1", b"NOOP")
    server.turn()
    for name in ("mta.log", "transcript"):
        (server.folder / name).rename(server.folder / f"{name}.1")
    server.logger.reopen()
    server.say("second")
    events.transcript_received(server.log, "s1", b"QUIT")
    server.turn()
    assert server.events("mta.log.1") == ["first"]
    assert sorted(server.events("mta.log")) == ["reopened", "second"]
    assert server.events("transcript.1") == ["transcript"]
    assert server.events("transcript") == ["transcript"]


@pytest.mark.parametrize(
    ("debug", "transcript", "log", "file"),
    [
        (False, None, ["before", "after"], None),
        (True, None, ["before", "transcript", "after"], None),
        (False, "transcript", ["before", "after"], ["transcript"]),
        (True, "transcript", ["before", "after"], ["transcript"]),
    ],
)
def test_where_a_transcript_goes(
    server: Server, debug: bool, transcript: str | None, log: list[str], file: list[str] | None
) -> None:
    server.configure(debug=debug, transcript=transcript)
    server.log.write("INFO", "before")
    events.transcript_received(server.log, "s1", b"NOOP")
    server.say("after")
    assert server.events("mta.log") == log
    assert (server.events("transcript") if (server.folder / "transcript").exists() else None) == file


def test_a_transcript_file_that_is_no_longer_wanted_is_closed(server: Server) -> None:
    server.configure(transcript="transcript", debug=True)
    server.configure(debug=True)
    events.transcript_received(server.log, "s1", b"NOOP")
    server.turn()
    assert server.events("mta.log") == ["transcript"]
    assert server.events("transcript") == []


def test_records_are_whole_wherever_a_read_ends(server: Server) -> None:
    server.configure()
    for n in range(3000):
        server.log.write("INFO", "event", n=n, text="x" * (n % 997))
        if n % 100 == 99:
            server.turn()
    lines = (server.folder / "mta.log").read_bytes().splitlines()
    assert [parse_record(line).text("n") for line in lines] == [str(n) for n in range(3000)]


def test_it_ends_after_the_last_record_of_the_last_writer(server: Server) -> None:
    server.configure()
    server.logger.stop()
    server.say("last_words")
    assert server.events("mta.log") == ["last_words"]
    server.log.close()
    server.loop.run()  # until the logger ends it
    server.logger.stop()
    server.loop.stop()


def test_stopped_before_any_configuration_it_writes_to_standard_error(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    server.log.write("ERROR", "no_configuration")
    server.log.close()
    server.logger.stop()
    server.loop.run()
    server.loop.stop()
    assert "no_configuration" in capfd.readouterr().err
