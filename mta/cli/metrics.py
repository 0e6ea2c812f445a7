"""`mta metrics`: what an SMTP server counts (XSTAT), how fast it answers, and what the system counts."""

from __future__ import annotations

import argparse
import json
import re
import select
import signal
import socket
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import mta
from mta.cli import place
from mta.daemon.errors import REFUSED, TEMPORARY, CannotStart
from mta.daemon.reload import Source

_PATIENCE: Final = 10.0
_REFRESH: Final = 1.0
_MOST_OCTETS: Final = 4096
"""Of one line of a reply."""
_ESTABLISHED: Final = "01"
"""A state in /proc/net/tcp, proc_net(5)."""
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


@dataclass(frozen=True, slots=True)
class Figures:
    """One look: four by XSTAT, milliseconds of a NOOP, established connections of the port by the system."""

    total: int
    current: int
    bytes: int
    mails: int
    noop_ms: float
    system: int


_LABELS: Final = {
    "total": "total connections",
    "current": "current connections",
    "bytes": "total bytes of data transferred",
    "mails": "total mails sent",
    "noop_ms": "delay of a NOOP, milliseconds",
    "system": "connections by the system's count",
}


def run(source: Source, words: Sequence[str]) -> int:
    """Show the figures. Raises ConfigError or CannotStart."""
    arguments = _parser().parse_args(words)
    host, port = place.place_of(source, "smtp", arguments.host, arguments.port)
    with _connected(host, port) as server, _keys() as pressed:
        for number, figures in enumerate(_looks(server, arguments.times, pressed)):
            _show(figures, arguments.json, again=number > 0)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mta metrics", description=__doc__, allow_abbrev=False)
    place.add_arguments(parser)
    parser.add_argument(
        "-n",
        dest="times",
        metavar="N",
        type=_times,
        help="look so many times; default: until a key is pressed",
    )
    parser.add_argument("--json", action="store_true", help="as JSON, an object on a line for each look")
    parser.add_argument("-v", action="version", version=f"mta {mta.__version__}")
    return parser


def _times(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text[:20]} is no number of looks")
    return int(text)


# the server


class Server:
    """An SMTP server, asked line by line. Raises CannotStart when it does not answer, or has no XSTAT."""

    def __init__(self, where: str, sock: socket.socket) -> None:
        self._where = where
        self._socket = sock
        self._replies = sock.makefile("rb")
        self._expect("220", self._reply())

    def look(self) -> Figures:
        """The figures of this moment."""
        names = ("TOTAL", "CURRENT", "BYTES", "MAILS")
        total, current, octets, mails = (self._statistic(name) for name in names)
        began = time.perf_counter()
        self._expect("250", self._ask("NOOP"))
        delay = (time.perf_counter() - began) * 1000
        port = self._socket.getpeername()[1]
        return Figures(total, current, octets, mails, round(delay, 3), system_count(port))

    def leave(self) -> None:
        """QUIT; whether it is heard does not matter."""
        try:
            self._socket.sendall(b"QUIT\r\n")
        except OSError:
            return

    def _statistic(self, name: str) -> int:
        reply = self._ask(f"XSTAT {name}")
        found = re.fullmatch(r"250 [a-z ]+: ([0-9]+)", reply)
        if found is None:
            raise CannotStart(REFUSED, f"{self._where}: no XSTAT here, or not for us: {reply}")
        return int(found[1])

    def _ask(self, line: str) -> str:
        self._socket.sendall(line.encode("ascii") + b"\r\n")
        return self._reply()

    def _reply(self) -> str:
        """The last line of the next reply (RFC 5321 4.2.1)."""
        while True:
            line = self._replies.readline(_MOST_OCTETS)
            if not line:
                raise CannotStart(TEMPORARY, f"{self._where}: the server has closed the connection")
            if line[3:4] != b"-":
                return ascii(line.rstrip(b"\r\n").decode("ascii", "replace"))[1:-1]

    def _expect(self, code: str, reply: str) -> None:
        if not reply.startswith(code):
            raise CannotStart(TEMPORARY, f"{self._where}: not ready: {reply}")


@contextmanager
def _connected(host: str, port: int) -> Iterator[Server]:
    where = f"{host} port {port}"
    try:
        with socket.create_connection((host, port), _PATIENCE) as sock:
            server = Server(where, sock)
            yield server
            server.leave()
    except OSError as error:
        raise CannotStart(TEMPORARY, f"{where}: {error.strerror or error}") from error


def system_count(port: int) -> int:
    """Established TCP connections of this local port."""
    return sum(established(table.read_text(), port) for table in _TABLES if table.exists())


def established(table: str, port: int) -> int:
    """Of a table of proc_net(5), the connections of this local port."""
    rows = (line.split() for line in table.splitlines()[1:])
    return sum(row[3] == _ESTABLISHED and int(row[1].rpartition(":")[2], 16) == port for row in rows)


# the terminal


class Keys:
    """Whether a key has been pressed; where there is no keyboard, none ever is."""

    def __init__(self, terminal: int | None) -> None:
        self._terminal = terminal

    def wait(self, seconds: float) -> bool:
        """Whether one is pressed within this time."""
        if self._terminal is None:
            time.sleep(seconds)
            return False
        return bool(select.select([self._terminal], [], [], seconds)[0])


@contextmanager
def _keys() -> Iterator[Keys]:
    """The keyboard, without waiting for the end of a line; as it was before, afterwards."""
    if not sys.stdin.isatty():
        yield Keys(None)
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Ctrl-C is a key as any other
    tty.setcbreak(terminal)
    try:
        with suppress(KeyboardInterrupt):
            yield Keys(terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)


def _looks(server: Server, times: int | None, keys: Keys) -> Iterator[Figures]:
    """A look each second, so many times or until a key is pressed."""
    yield server.look()
    while times is None or times > 1:
        if keys.wait(_REFRESH):
            return
        yield server.look()
        times = times and times - 1


def _show(figures: Figures, as_json: bool, again: bool) -> None:
    """On a terminal the figures stay where they are."""
    if as_json:
        print(json.dumps(asdict(figures)), flush=True)
        return
    if again and sys.stdout.isatty():
        print(f"\x1b[{len(_LABELS)}A", end="")
    width = max(map(len, _LABELS.values()))
    for name, value in asdict(figures).items():
        print(f"{_LABELS[name]:<{width}}  {value}".ljust(width + 24), flush=True)
