"""The logger: the process that takes records from the pipe and writes them to the files.

Whatever is wrong with a file, the logger keeps reading, since a full pipe would cost the others their
records. It ends when the pipe does, that is, when every process that could still write a record has gone:
asked to stop, it closes its own writing end and reads on to the end of file. Whoever stops it has to close
its own writing end as well.

It must never know what a record means, but for one: the transcript may have a file of its own.
"""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from mta.counters import Row
from mta.log import events
from mta.log.file import LogFile
from mta.log.follow import Follower
from mta.log.log import Log
from mta.loop import Loop

if TYPE_CHECKING:  # a configuration is handed to us; at run time the log depends on nothing of ours
    from mta.config.snapshot import Snapshot

_PIECE = 1 << 16
_INDEX_EVERY = 1.0
"""Seconds between two looks at what is to be indexed."""
_TRANSCRIPT = re.compile(rb"\S+ \S+ \S+ transcript ")


class Logger:
    """The role of the logger process; `pipe` is the descriptor to read from, ours from now on.

    Nothing is read before the first configuration has said where it goes: until then the pipe keeps it.
    `log` is a writing end of the same pipe, for what happens to the logger itself."""

    def __init__(self, loop: Loop, log: Log, row: Row, pipe: int) -> None:
        os.set_blocking(pipe, False)
        self._loop = loop
        self._log = log
        self._row = row
        self._pipe = pipe
        self._torn = b""
        self._main: LogFile | None = None
        self._transcript: LogFile | None = None
        self._followers: dict[str, Follower] = {}
        self._loop.call_later(_INDEX_EVERY, self._index)

    def configure(self, snapshot: Snapshot, listeners: object, context: object) -> None:
        """Write to the files that the configuration names. What is wrong with them ends nothing."""
        application = snapshot.settings.application
        self._log.configure(application.debug, application.log.transcript is not None)
        self._use(str(application.log.path or ""), str(application.log.transcript or ""))

    def request(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"status": 1, "text": "the logger answers no requests"}

    def _use(self, path: str, transcript: str) -> None:
        """No path is standard error, no transcript the same file."""
        self._main = self._moved(self._main, path)
        if transcript:
            self._transcript = self._moved(self._transcript, transcript)
        elif self._transcript is not None:
            self._transcript.close()
            self._transcript = None
        self._follow({path, transcript})
        self._loop.watch(self._pipe, self._readable)

    def _moved(self, file: LogFile | None, path: str) -> LogFile:
        if file is not None and file.path == path:
            return file
        if file is not None:
            file.close()
        return LogFile(path, self._row, self._loop.clock)

    def reopen(self) -> None:
        """Open the files anew: somebody has moved them away."""
        for file in self._files():
            file.reopen()
        for follower in self._followers.values():
            follower.finish()
        events.reopened(self._log)

    def stop(self) -> None:
        """Read to the end of the pipe, then end the loop."""
        self._log.close()
        if self._main is None:
            self._use("", "")

    # the pipe

    def _readable(self, _events: int) -> None:
        try:
            octets = os.read(self._pipe, _PIECE)
        except BlockingIOError:
            return
        if octets:
            # Records are whole in the pipe, but the end of what one read takes may lie inside of one.
            records, line_feed, self._torn = (self._torn + octets).rpartition(b"\n")
            self._write(records + line_feed)
        else:
            self._finish()

    def _finish(self) -> None:
        self._loop.unwatch(self._pipe)
        os.close(self._pipe)
        for file in self._files():
            file.close()
        self._follow(set())
        self._loop.stop()

    # the indexes

    def _follow(self, paths: set[str]) -> None:
        for path in self._followers.keys() - paths:
            self._followers.pop(path).finish()
        for path in paths - self._followers.keys():
            self._followers[path] = Follower(path, partial(self._no_index, path))

    def _index(self) -> None:
        for follower in self._followers.values():
            follower.advance()
        self._loop.call_later(_INDEX_EVERY, self._index)

    def _no_index(self, path: str, error: OSError) -> None:
        events.fault(self._log, "indexing the log", path, error)

    # the files

    def _files(self) -> list[LogFile]:
        return [file for file in (self._main, self._transcript) if file is not None]

    def _write(self, records: bytes) -> None:
        if self._transcript is not None:
            records, transcript = _sorted_out(records)
            if transcript:
                self._transcript.write(transcript)
        if records and self._main is not None:
            self._main.write(records)


def _sorted_out(records: bytes) -> tuple[bytes, bytes]:
    """(business records, transcript records), each in order."""
    piles: tuple[list[bytes], list[bytes]] = ([], [])
    for record in records.splitlines(keepends=True):
        piles[_TRANSCRIPT.match(record) is not None].append(record)
    return b"".join(piles[0]), b"".join(piles[1])
