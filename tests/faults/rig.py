"""A server to do harm to: its processes by role, strace upon them, and the mail it was given and still has.

`FAULTS=long` in the environment (make faults) runs every case; without it a part of them, spread evenly.
"""

from __future__ import annotations

import os
import re
import signal
import smtplib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest

from tests.conftest import needs
from tests.instance import PATIENCE, Instance

LONG = os.environ.get("FAULTS") == "long"
T = TypeVar("T")

ONE = ("user1@example.org",)
SEVERAL = ("user1@example.org", "user2@example.org", "a@other.example", "b@third.example")
SENDER = "sender@client.example"

_numbers = count(1)
_ROLES = {
    "committer": "mta.store.committing",
    "receiver": "mta.server.receiver",
    "relay": "mta.relay.runner",
    "logger": "mta.log.logger",
}


def some(cases: Sequence[T], number: int) -> Sequence[T]:
    """So many of them, evenly spread; all of them in the long run."""
    if LONG or len(cases) <= number:
        return cases
    return [cases[round(index * (len(cases) - 1) / (number - 1))] for index in range(number)]


def comes_true(condition: Callable[[], bool]) -> bool:
    """Whether it is true before all patience ends; for what has no record to wait for."""
    end = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        if time.monotonic() > end:
            return False
        pause.wait(0.005)
    return True


def needs_root() -> None:
    """Mounting is for root."""
    if os.geteuid() != 0:
        pytest.skip("not root")


@dataclass(frozen=True)
class Mail:
    """A message with a text of its own, and what became of it."""

    recipients: Sequence[str]
    text: bytes
    code: int | None
    """The reply to the message: 250, 451 ...; None when the connection broke first."""
    sender: str = SENDER
    confirmed: Sequence[str] = ()
    """The recipients for whom success is to be told."""

    @property
    def accepted(self) -> bool:
        return self.code == 250

    @property
    def subject(self) -> bytes:
        """The line that no other message has."""
        return self.text.partition(b"\n")[0] + b"\n"


def send(
    port: int,
    recipients: Sequence[str] = ONE,
    octets: int = 100,
    sender: str = SENDER,
    confirmed: Sequence[str] = (),
) -> Mail:
    """Deliver one message and tell how it went."""
    text = b"Subject: message %d\r\n\r\n%s\r\nend\r\n" % (next(_numbers), b"x" * octets)
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            code = _code(client, sender, recipients, text, confirmed)
    except (OSError, smtplib.SMTPServerDisconnected):
        code = None
    return Mail(recipients, text, code, sender, confirmed)


def _code(
    client: smtplib.SMTP, sender: str, recipients: Sequence[str], text: bytes, confirmed: Sequence[str]
) -> int:
    client.ehlo("client.example")
    wishes = [(each, ["NOTIFY=SUCCESS"] if each in confirmed else []) for each in recipients]
    for code, _ in (client.mail(sender), *(client.rcpt(each, options) for each, options in wishes)):
        if code != 250:
            return code
    try:
        code, _ = client.data(text)
    except smtplib.SMTPDataError as refused:
        return refused.smtp_code
    return code


class Tree:
    """The mail in a tree, looked at from outside."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def copies(self, mail: Mail) -> list[int]:
        """How many complete copies each recipient's place has. AssertionError if any file is not complete."""
        return [self._copies(mail, *recipient.split("@")) for recipient in mail.recipients]

    def check(self, mail: Mail) -> None:
        """Once everywhere if it was accepted; else once everywhere or nowhere."""
        copies = self.copies(mail)
        once, nowhere = [1] * len(copies), [0] * len(copies)
        assert copies == once or (copies == nowhere and not mail.accepted), (copies, mail.code)

    def waiting(self) -> list[str]:
        """Letters in the queue; a status without its letter is only a leftover."""
        paths = _files(self.root / ".OTHER_SERVERS", "[!.]*/*")
        return [f"{path.parent.name}/{path.name}" for path in paths if "." not in path.name]

    def given_up(self, domain: str) -> list[str]:
        """Letters in error/."""
        paths = _files(self.root / ".OTHER_SERVERS" / domain / "error")
        return [path.name for path in paths if "." not in path.name]

    def messages(self, mailbox: str) -> list[bytes]:
        """What is new in a mailbox."""
        return self._read(self.root / mailbox / "new")

    def all_reports(self) -> list[bytes]:
        """What is new in the mailboxes of senders."""
        return [path.read_bytes() for path in _files(self.root, "sender*/new/*")]

    def drafts(self) -> list[str]:
        """What is being written, or was left."""
        folders = (
            *self.root.glob("*/tmp"),
            self.root / ".OTHER_SERVERS/.tmp",
            self.root / ".OTHER_SERVERS/.commit",
        )
        return [path.name for folder in folders for path in _files(folder)]

    def _copies(self, mail: Mail, local: str, domain: str) -> int:
        if domain == "example.org":
            found, text = self._read(self.root / local / "new"), mail.text.replace(b"\r\n", b"\n")
        else:
            found, text = self._read(self.root / ".OTHER_SERVERS" / domain), mail.text
        subject = text.partition(b"\n")[0].rstrip() + text[-1:]
        ours = [
            octets for octets in found if subject.strip() in [line.strip() for line in octets.split(b"\n")]
        ]
        assert all(octets.endswith(text) for octets in ours)
        assert all(octets.endswith((b"end\n", b"end\r\n")) for octets in found)
        return len(ours)

    def _read(self, folder: Path) -> list[bytes]:
        return [path.read_bytes() for path in _files(folder)]


def _files(folder: Path, pattern: str = "*") -> list[Path]:
    return [path for path in folder.glob(pattern) if path.is_file()]


class Server(Instance):
    """A server whose processes can be found and ended one by one."""

    @property
    def tree(self) -> Tree:
        return Tree(self.maildir)

    def pid_of(self, role: str) -> int:
        """The process in this role, which must be there."""
        [pid] = [pid for pid in self.pids() if _ROLES[role] in _command_line(pid)]
        return pid

    def pids(self) -> list[int]:
        """All its processes, parents first."""
        return list(_with_descendants(self.pid))

    def end_all(self) -> None:
        """SIGKILL for every process, and wait until all are gone; nothing, when that was done before."""
        assert self._process is not None
        if self._process.poll() is not None:
            return
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """All processes stand still, with no call of theirs under way."""
        pids = self.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            while not all(_state(pid) in "TtZ" for pid in pids):
                pass
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


def _with_descendants(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in children.read_text().split():
                yield from _with_descendants(int(child))


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


# strace


@dataclass(frozen=True)
class Event:
    """A call as strace shows it, and the lines at which it began and ended."""

    pid: int
    began: int
    ended: int
    name: str
    text: str


_LINE = re.compile(r"(\d+) +(.*)")
_CALL = re.compile(r"(\w+)\(")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")


_STRACE_PATIENCE = 5.0


class Trace:
    """A running strace and what it has written."""

    def __init__(self, pids: Sequence[int], options: Sequence[str], output: Path) -> None:
        self._output = output
        attach = [option for pid in pids for option in ("-p", str(pid))]
        self._process = subprocess.Popen(
            [needs("strace"), "-f", "-y", "-s", "300", "-o", str(output), *options, *attach],
            stderr=subprocess.PIPE,
        )
        assert self._process.stderr is not None
        for _ in pids:
            line = self._process.stderr.readline()
            if b"attached" not in line:
                self.end()
                pytest.skip(f"strace cannot attach: {line.decode(errors='replace').strip()}")

    def end(self) -> None:
        """Let the processes go on without it."""
        self._process.terminate()
        assert self._process.stderr is not None
        self._process.stderr.close()
        try:
            self._process.wait(_STRACE_PATIENCE)
        except subprocess.TimeoutExpired:
            # Now and then it waits for ever for a thread that was killed in the middle of a call.
            self._process.kill()
            self._process.wait(PATIENCE)

    def events(self) -> list[Event]:
        """All calls that ended, in the order in which they began."""
        events: list[Event] = []
        open_calls: dict[int, tuple[int, str]] = {}
        for number, line in enumerate(self._output.read_text(errors="replace").splitlines()):
            match = _LINE.fullmatch(line)
            assert match is not None, line
            pid, text = int(match[1]), match[2]
            if (resumed := _RESUMED.match(text)) is not None:
                began, start = open_calls.pop(pid, (number, f"{resumed[1]}("))
                events.append(Event(pid, began, number, resumed[1], start + resumed[2]))
            elif text.endswith("<unfinished ...>"):
                open_calls[pid] = number, text.removesuffix("<unfinished ...>")
            elif (call := _CALL.match(text)) is not None:
                events.append(Event(pid, number, number, call[1], text))
        return sorted(events, key=lambda event: event.began)


@contextmanager
def traced(pids: Sequence[int], options: Sequence[str], output: Path) -> Iterator[Trace]:
    """strace on these processes, from when it is attached until the end of the block."""
    trace = Trace(pids, options, output)
    try:
        yield trace
    finally:
        trace.end()


@contextmanager
def running(folder: Path, *more: str) -> Iterator[Server]:
    """A server in its own tree, ended without ceremony."""
    with started(Server(folder, more)) as server:
        yield server


@contextmanager
def started(server: Server) -> Iterator[Server]:
    """This server, once more or for the first time, ended without ceremony."""
    try:
        server.start()
        yield server
    finally:
        server.end_all()
