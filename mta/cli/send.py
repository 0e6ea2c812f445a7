"""`mta send`: plays files of SMTP lines to a server, over TCP or UDP, several side by side."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from mta.cli.player import Outcome, Player
from mta.cli.tables import counted
from mta.cli.transport import Tcp, Transport, Udp
from mta.daemon.errors import REFUSED, TEMPORARY, CannotStart
from mta.daemon.reload import Source

_PORT: Final = 25
_SIDE_BY_SIDE: Final = 64
_REFRESH: Final = 0.2
"""Seconds between two looks at how far it has come."""

_TRANSPORTS: Final[dict[str, Callable[..., Transport]]] = {"TCP": Tcp, "UDP": Udp}

_USAGE: Final = "mta send [--log DIR] HOST[:PORT] ((TCP|UDP) ORDERS...)..."


@dataclass(frozen=True)
class Errand:
    """One file to be played."""

    transport: str
    """TCP or UDP."""
    file: Path
    orders: bytes


def run(_source: Source, words: Sequence[str]) -> int:
    """Play them all. Raises CannotStart."""
    parser = _parser()
    arguments = parser.parse_args(words)
    try:
        host, port = _place(arguments.server)
        named = list(_named(arguments.orders))
    except ValueError as error:
        parser.error(str(error))
    errands = [Errand(transport, file, _read(file)) for transport, file in named]
    if not arguments.log.is_dir():
        raise CannotStart(REFUSED, f"{arguments.log}: no such folder")
    sender = Sender(host, port, arguments.log)
    status = 0
    for errand, outcome in zip(errands, sender.run(errands), strict=True):
        status = max(status, _report(errand, outcome))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mta send",
        usage=_USAGE,
        description=__doc__,
        epilog="A file holds SMTP commands and texts as a client would send them. See mta-send(8).",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--log", metavar="DIR", type=Path, default=Path(), help="where the logs go (default: here)"
    )
    parser.add_argument("server", metavar="HOST[:PORT]", help=f"the server; port {_PORT} by default")
    parser.add_argument("orders", metavar="TCP|UDP ORDERS", nargs="+", help="how to send, and the files")
    return parser


def _place(text: str) -> tuple[str, int]:
    """Host and port. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = text, str(_PORT)
    if not (host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(
            f"{text!r} is no HOST[:PORT]; IPv6 addresses with a port need brackets, as in [::1]:25"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def _named(words: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Each file with its transport. Raises ValueError."""
    transport = words[0]
    if transport not in _TRANSPORTS:
        raise ValueError(f"say TCP or UDP before {words[0]!r}")
    for word, following in zip(words, [*words[1:], "TCP"], strict=True):
        if word not in _TRANSPORTS:
            yield transport, Path(word)
        elif following in _TRANSPORTS:
            raise ValueError(f"no files after {word}")
        else:
            transport = word


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CannotStart(REFUSED, f"{file}: {error.strerror}") from error


class Sender:
    """Plays files to one server, and tells how it goes."""

    def __init__(self, host: str, port: int, folder: Path) -> None:
        self._host = host
        self._port = port
        self._folder = folder
        self._lines = 0
        self._done = 0

    def run(self, errands: Sequence[Errand]) -> list[Outcome]:
        """Play them side by side, to the end of all."""
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool, self._progress(len(errands)):
            return list(pool.map(self._play, errands))

    def _play(self, errand: Errand) -> Outcome:
        try:
            transport = _TRANSPORTS[errand.transport](self._host, self._port)
            with Journal(
                self._folder, f"{errand.transport} {self._host}:{self._port} {errand.file}", transport
            ):
                outcome = Player(transport, self._step).play(errand.orders)
            transport.close()
        except OSError as error:
            outcome = Outcome(lost=True, complaints=[f"0: {error.filename or self._host}: {error.strerror}"])
        self._done += 1
        return outcome

    def _step(self) -> None:
        self._lines += 1  # a display; who is counted twice or not at all does no harm

    @contextmanager
    def _progress(self, files: int) -> Iterator[None]:
        """Meanwhile, show on a terminal how far it is."""
        if not sys.stderr.isatty():
            yield
            return
        over = threading.Event()
        display = threading.Thread(target=self._show, args=(files, over))
        display.start()
        try:
            yield
        finally:
            over.set()
            display.join()

    def _show(self, files: int, over: threading.Event) -> None:
        while not over.wait(_REFRESH):
            line = f"{self._done} of {counted(files, 'file')} done, {counted(self._lines, 'line')} sent"
            print(f"\r{line}\033[K", end="", file=sys.stderr, flush=True)
        print("\r\033[K", end="", file=sys.stderr, flush=True)


class Journal:
    """All that a transport sends and receives, appended to a file named after its local port."""

    def __init__(self, folder: Path, title: str, transport: Transport) -> None:
        self._folder = folder
        self._title = title
        self._transport = transport
        self._file: BinaryIO | None = None
        self._early: list[bytes] = []
        """What was sent before anybody answered: until then the port may change."""

    def __enter__(self) -> Self:
        self._transport.record = self._record
        self._early.append(_headline(f"begins: {self._title}"))
        return self

    def __exit__(self, *_: object) -> None:
        with self._opened() as file:
            file.write(_headline(f"ends: {self._title}"))

    def _record(self, who: str, octets: bytes) -> None:
        lines = [b"%b: %b\n" % (who.encode(), line) for line in octets.removesuffix(b"\r\n").split(b"\r\n")]
        if self._file is None and who == "C":
            self._early += lines
        else:
            self._opened().writelines(lines)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = open(self._folder / f"{self._transport.local_port}.txt", "ab")  # noqa: SIM115
            self._file.writelines(self._early)
        return self._file


def _headline(text: str) -> bytes:
    return f"{time.strftime('%Y-%m-%d %H:%M:%S %z')} {text}\n".encode("utf-8", "surrogateescape")


def _report(errand: Errand, outcome: Outcome) -> int:
    """Say what came of one file; returns the exit status for it."""
    told = f"{counted(outcome.sent, 'line')} sent, {counted(outcome.taken, 'message')} taken"
    refused = f", {counted(outcome.refused, 'command')} refused" if outcome.refused else ""
    print(f"{errand.file} over {errand.transport}: {told}{refused}")
    for complaint in outcome.complaints:
        print(f"mta: {errand.file}:{complaint}", file=sys.stderr)
    return TEMPORARY if outcome.lost else REFUSED if outcome.complaints else 0
