"""A running server for tests: `mta -f` in a tree of its own, as an operator would start it.

Its log goes to standard error, where a thread reads it, so that a test can wait for a record instead of
guessing how long something takes. What is said here of the server is only what its contract says: the
configuration, the log records, the folders.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from mta.log.logfmt import NotARecord, Record, parse_record

T = TypeVar("T")

ROOT = Path(__file__).parent.parent

MTA = (sys.executable, "-P", "-c", "import sys; from mta.cli.main import main; sys.exit(main())")
"""The command, whether or not this tree is installed."""

PATIENCE = 20.0
"""Seconds after which a server that does not do what it should is given up; nothing is measured by it."""

CONFIGURATION = """\
hostname = "mx.example.org"
application: {
  socket = "../mta.sock"
  maildir: { path = "../maildir" }
  log: { path = "" }
}
local: {
  domains = [ "example.org" ]
  mailboxes = "any"
}
smtp: { listen = [ "127.0.0.1:0" ] }
pop3: { listen = [ ] }
management: { listen = [ ] }
control: { listen = [ ] }
relay: { enabled = false }
users: { database = "sqlite:///../users.db" }
"""


def mta(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*MTA, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=check,
        timeout=PATIENCE,
    )


class Instance:
    """One server, in `folder`; `more` are words for its command line, such as `--set`, `key=value`."""

    def __init__(self, folder: Path, more: Sequence[str] = (), configuration: str = CONFIGURATION) -> None:
        self.configuration = folder / "etc" / "mta.conf"
        self.configuration.parent.mkdir(parents=True)
        self.configuration.write_text(configuration)
        self.maildir = folder / "maildir"
        self.maildir.mkdir()
        self._more = more
        self._records: list[Record] = []
        self._other_lines: list[str] = []
        self._log = b""
        self._news = threading.Condition()
        self._ended = False
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self) -> Iterator[Instance]:
        """From its `started` record to its clean end."""
        try:
            self.start()
            yield self
        finally:
            status = self.stop()
        assert status == 0, self.output()

    def start(self) -> None:
        """Return once it takes mail."""
        self._ended = False
        self._process = subprocess.Popen(
            [*MTA, "-f", str(self.configuration), *self._more],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        seen = len(self._records)
        reader.start()
        self._reader = reader
        started = self.await_record("started", after=seen)
        self.ports = {
            service: int(address.rpartition(":")[2])
            for service, _, address in (listener.partition("=") for listener in started.list("listeners"))
        }

    def stop(self) -> int:
        """SIGTERM; the exit status, once its log has ended too."""
        assert self._process is not None
        self._process.terminate()
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        self._reader.join(PATIENCE)
        return status

    @property
    def pid(self) -> int:
        """The supervisor."""
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        """Where it receives mail on 127.0.0.1."""
        return self.ports["smtp"]

    # the log

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._take(line)
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _take(self, line: bytes) -> None:
        with self._news:
            self._log += line
            try:
                self._records.append(parse_record(line))
            except NotARecord:
                self._other_lines.append(line.decode(errors="replace"))
            self._news.notify_all()

    def records(self, event: str, **fields: str) -> list[Record]:
        """All records so far of this event whose fields have these values."""
        with self._news:
            return self._matching(event, fields, 0)

    def _matching(self, event: str, fields: dict[str, str], after: int) -> list[Record]:
        return [
            record
            for record in self._records[after:]
            if record.event == event
            and all(name in record.fields and record.text(name) == value for name, value in fields.items())
        ]

    def await_record(self, event: str, *, after: int = 0, **fields: str) -> Record:
        """The first such record, once it is there. AssertionError when the log or all patience ends."""
        with self._news:
            self._news.wait_for(lambda: self._ended or self._matching(event, fields, after), PATIENCE)
            found = self._matching(event, fields, after)
        assert found, f"no record {event} {fields} in:\n{self.output()}"
        return found[0]

    def log(self) -> bytes:
        """The log as it was written."""
        with self._news:
            return self._log

    def output(self) -> str:
        """All it has said, for the message of a failed assertion."""
        with self._news:
            return "\n".join([*map(str, self._records), *self._other_lines])

    # the mail

    def messages(self, mailbox: str) -> list[bytes]:
        """The new messages of a mailbox, oldest first."""
        return _files(self.maildir / mailbox / "new")

    def await_messages(self, mailbox: str) -> list[bytes]:
        """The new messages of a mailbox, once there is one.

        A message for several places is accepted before it has been linked into all of them."""
        return eventually(lambda: self.messages(mailbox))

    def letters(self, domain: str) -> list[bytes]:
        """The letters that wait for a domain, oldest first."""
        return _files(self.maildir / ".OTHER_SERVERS" / domain)


def eventually(look: Callable[[], T]) -> T:
    """What there is to see as soon as there is something; nothing when all patience ends."""
    end = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not (found := look()) and time.monotonic() < end:
        pause.wait(0.01)
    return found


def _files(folder: Path) -> list[bytes]:
    if not folder.is_dir():
        return []
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]
