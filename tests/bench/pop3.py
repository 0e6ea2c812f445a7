"""POP3: what it takes to fetch one large message, many small ones, and to open a mail drop of 100,000; and
many sessions at once. Ours beside Dovecot, on Maildirs that are alike.

Rates are those of one client that waits for every reply. Cost is user and system time of all processes of the
server. The files have the names that mta gives them, with both sizes, which Dovecot reads as well.
"""

from __future__ import annotations

import os
import poplib
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from mta.identifier import Identifiers
from tests.bench import processes
from tests.bench.report import Bench, table
from tests.bench.servers import ROOT, Mta, Server
from tests.peers.dovecot import NOBODY

NAME = "pop3"
LARGE = 1_000_000_000
SMALL = 2_000
MANY = 100_000
SESSIONS = 2_000
PASSWORD = "correct horse 7"

_MOST_LINKS = 50_000
"""Of one file; the file system of most machines allows a few more."""
_LINE = b"x" * 76 + b"\n"
_HEADER = b"Return-Path: <a@example.org>\nFrom: <a@example.org>\nSubject: for the bench\n\n"


class Pop3Mta(Mta):
    """Ours, with accounts."""

    greeting: ClassVar[bytes] = b"+OK"

    def prepare(self) -> list[str]:
        self.fill("mta-pop3.conf", self.folder / "mta.conf")
        users = [f"{folder.name}@example.org:{{PLAIN}}{PASSWORD}\n" for folder in self.mail.iterdir()]
        (self.folder / "users").write_text("".join(users))
        command = [*self._program(), "user", "import", str(self.folder / "users")]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        return self._program()


class Dovecot(Server):
    """The POP3 server that most others are compared with."""

    name = "Dovecot"
    greeting: ClassVar[bytes] = b"+OK"

    @classmethod
    def missing(cls) -> str:
        if shutil.which("dovecot", path="/usr/sbin") is None:
            return "not installed"
        return "" if os.geteuid() == 0 else "must be started as root"

    @classmethod
    def version(cls) -> str:
        said = subprocess.run(["/usr/sbin/dovecot", "--version"], capture_output=True, text=True, check=True)
        return f"Dovecot {said.stdout.split()[0]}"

    def prepare(self) -> list[str]:
        for path in (self.mail, *self.mail.glob("*"), *self.mail.glob("*/*")):
            os.chown(path, NOBODY, NOBODY)
        path = self.fill("dovecot.conf", self.folder / "dovecot.conf", mail=self.mail, owner=NOBODY)
        return ["/usr/sbin/dovecot", "-F", "-c", str(path)]


# --- Maildirs


def fill(mail: Path, scale: float) -> None:
    """Users large, small and many, with their mail; then one without mail for each session."""
    _write(_new(mail, "large"), _HEADER, int(LARGE * scale))
    small = _new(mail, "small")
    for _ in range(int(SMALL * scale)):
        _write(small, _HEADER, 1_000)
    many = _new(mail, "many")
    for number in range(int(MANY * scale)):
        if number % _MOST_LINKS == 0:
            first = _write(many, _HEADER, 1_000)
            sizes = first.name.partition(",")[2]
        else:
            os.link(first, many / f"{_name()},{sizes}")
    for number in range(int(SESSIONS * scale)):
        _new(mail, f"session{number}")


_identifiers = Identifiers()


def _new(mail: Path, user: str) -> Path:
    for name in ("tmp", "new", "cur"):
        (mail / user / name).mkdir(parents=True)
    return mail / user / "new"


def _write(new: Path, header: bytes, octets: int) -> Path:
    lines = (octets - len(header)) // len(_LINE)
    size = len(header) + lines * len(_LINE)
    wire_size = size + header.count(b"\n") + lines
    path = new / f"{_name()},S={size},W={wire_size}"
    with path.open("wb") as file:
        file.write(header)
        for _ in range(lines // 10_000):
            file.write(_LINE * 10_000)
        file.write(_LINE * (lines % 10_000))
    return path


def _name() -> str:
    return f"1800000000.{_identifiers.next()}.mx.example.org"


# --- clients


def log_in(server: Server, user: str) -> poplib.POP3:
    client = poplib.POP3("127.0.0.1", server.port, timeout=120)
    client.user(user)
    client.pass_(PASSWORD)
    return client


def fetch_large(server: Server) -> float:
    """Octets a second of one RETR, read in pieces of a megabyte and thrown away.

    Its peak of memory is that of the message: a login takes 19 MiB for some milliseconds whatever comes
    after it, as argon2 is meant to."""
    client = log_in(server, "large")
    octets = client.stat()[1]
    processes.forget_peaks(server.pid)
    began = time.perf_counter()
    client.sock.sendall(b"RETR 1\r\n")
    client.file.readline()
    left = octets + len(b".\r\n")
    while left:
        left -= len(client.file.read1(min(left, 1 << 20)))  # type: ignore[attr-defined]
    seconds = time.perf_counter() - began
    client.quit()
    return octets / seconds


def fetch_small(server: Server) -> float:
    """Messages a second, by poplib."""
    client = log_in(server, "small")
    count = client.stat()[0]
    began = time.perf_counter()
    for number in range(1, count + 1):
        client.retr(number)
    seconds = time.perf_counter() - began
    client.quit()
    return count / seconds


def open_many(server: Server) -> float:
    """Seconds from PASS to the number of messages."""
    client = poplib.POP3("127.0.0.1", server.port, timeout=120)
    client.user("many")
    began = time.perf_counter()
    client.pass_(PASSWORD)
    client.stat()
    seconds = time.perf_counter() - began
    client.quit()
    return seconds


@contextmanager
def sessions(server: Server, count: int) -> Iterator[list[poplib.POP3]]:
    """So many at once, each with a mail drop of its own."""
    with ExitStack() as stack:
        clients = []
        for number in range(count):
            client = log_in(server, f"session{number}")
            stack.callback(client.close)
            clients.append(client)
        yield clients


# --- the section


def section(bench: Bench) -> str:
    """Ours and Dovecot by turns."""
    if not bench.wanted(NAME):
        return ""
    peers = [peer for peer in (Pop3Mta, Dovecot) if not peer.missing()]
    with ExitStack() as stack:
        running = [stack.enter_context(_running(bench, peer)) for peer in peers]
        rows = [
            *_rows(bench, running, f"RETR of {LARGE * bench.scale / 1e6:,.0f} MB, MB/s", fetch_large, 1e6),
            *_rows(bench, running, f"{int(SMALL * bench.scale):,} by poplib, messages/s", fetch_small, 1),
            *_rows(bench, running, f"open {int(MANY * bench.scale):,} messages, s", open_many, 1),
        ]
        at_once = _at_once(bench, running[0], int(SESSIONS * bench.scale))
    heads = ["what", "server", "median", "s CPU", "peak memory of a process, MB"]
    note = "The peak of RETR is counted from behind the login, whose hash takes 20 MB more for a moment.\n"
    return f"## POP3\n\n{table(heads, rows)}\n{note}\n{at_once}"


@contextmanager
def _running(bench: Bench, peer: type[Server]) -> Iterator[Server]:
    with bench.folder_for() as folder:
        server = peer(folder)
        bench.say(f"pop3: Maildirs for {peer.name}")
        fill(server.mail, bench.scale)
        with server.running():
            yield server


def _rows(
    bench: Bench, servers: Sequence[Server], what: str, measure: Callable[[Server], float], unit: float
) -> list[list[str]]:
    """One row for each server: the median of its runs, after one that warms caches and indexes."""
    figures: dict[str, list[tuple[float, float, int]]] = {}
    for turn in range(bench.runs + 1):
        for server in servers:
            bench.say(f"pop3: {what}: {server.name}, run {turn}")
            processes.forget_peaks(server.pid)
            cpu = server.cpu_seconds()
            figure = measure(server) / unit
            spent, peak = server.cpu_seconds() - cpu, processes.peak_octets(server.pid)
            if turn:
                figures.setdefault(server.name, []).append((figure, spent, peak))
    return [[what, name, *_shown(runs)] for name, runs in figures.items()]


def _shown(runs: Sequence[tuple[float, float, int]]) -> list[str]:
    figure, spent, peak = (statistics.median(column) for column in zip(*runs, strict=True))
    return [f"{figure:,.0f}" if figure > 100 else f"{figure:.2f}", f"{spent:.2f}", f"{peak / 1e6:.0f}"]


def _at_once(bench: Bench, server: Server, count: int) -> str:
    bench.say(f"pop3: {count} sessions at once")
    before = processes.proportional_octets(server.pid)
    with sessions(server, count) as clients:
        grown = processes.proportional_octets(server.pid) - before
        began = time.perf_counter()
        for client in clients:
            client.noop()
        seconds = time.perf_counter() - began
    return (
        f"{server.name}: {count:,} sessions at once, {grown / count / 1e3:.1f} KB each; "
        f"a NOOP in each of them, one after the other, took {seconds:.2f} s.\n"
    )
