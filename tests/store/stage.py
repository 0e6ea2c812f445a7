"""A stage for the store: a system that notes every call, and fails or ends at a chosen one.

Syncs are noted and not done, so that thousands of small disasters take seconds.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mta.identifier import Identifiers
from mta.store import Delivery, Domain, Envelope, Mailbox, Recipient, Store, Way
from mta.store.system import System

HOST = "mx.example.org"
ARRIVED = 1_800_000_000.25
TRACE = b"Received: from client.example\n\tby mx.example.org\n"
TRACE_CRLF = TRACE.replace(b"\n", b"\r\n")
CRLF = b"Subject: tidings\r\n\r\nFirst line\r\n.dot\r\n\xff\x00 odd\r\n"
LF = CRLF.replace(b"\r\n", b"\n")

MAILBOX = (Mailbox("user1"),)
DOMAIN = (Domain("other.example"),)
SEVERAL = (Mailbox("user1"), Mailbox("user2"), Domain("other.example"), Domain("third.example"))

_identifiers = Identifiers()


class Crash(BaseException):
    """The process ends here: no except clause runs, no further call is made."""


class Call(NamedTuple):
    """One call that was made; paths are relative to the root of the tree."""

    name: str
    paths: tuple[str, ...]
    data: bytes = b""

    def __str__(self) -> str:
        return " ".join((self.name, *self.paths))


Verdict = Callable[[int, Call], None]
"""Sees each call before it is made, with its number, and may raise."""


def no_fault(_number: int, _call: Call) -> None:
    """All goes well."""


class Stage(System):
    """Real files, noted calls."""

    _NAMES = (
        "open", "close", "writev", "pwrite", "pread", "fsync", "syncfs", "rename", "link", "unlink", "mkdir",
        "listdir", "scandir", "stat", "fstat", "statvfs", "ftruncate", "start_write_out",
    )  # fmt: skip
    _NOT_DONE = ("fsync", "syncfs", "start_write_out")

    def __init__(self, root: Path) -> None:
        self._root = root
        self.calls: list[Call] = []
        self.verdict: Verdict = no_fault
        for name in self._NAMES:
            setattr(self, name, self._staged(name, getattr(System, name)))

    def begin(self, verdict: Verdict = no_fault) -> None:
        """Count from here, and let `verdict` see what comes."""
        self.calls = []
        self.verdict = verdict

    def _staged(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            noted = self._noted(name, args, kwargs)
            self.verdict(len(self.calls), noted)
            self.calls.append(noted)
            return None if name in self._NOT_DONE else function(*args, **kwargs)

        return call

    def _noted(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        match name:
            case "open":
                made = bool(args[1] & os.O_CREAT)
                return Call("create" if made else "open", (self._path(kwargs.get("dir_fd"), args[0]),))
            case "mkdir" | "unlink" | "stat":
                return Call(name, (self._path(kwargs["dir_fd"], args[0]),))
            case "link":
                old = self._path(kwargs["src_dir_fd"], args[0])
                return Call(name, (old, self._path(kwargs["dst_dir_fd"], args[1])))
            case "rename":
                return Call(name, (self._path(args[1], args[0]), self._path(args[3], args[2])))
            case "writev":
                return Call("write", (self._path(args[0]),), b"".join(args[1]))
            case _:
                return Call(name, (self._path(args[0]),))

    def _path(self, fd: int | None, name: str | Path = "") -> str:
        folder = self._root if fd is None else Path(os.readlink(f"/proc/self/fd/{fd}"))
        return os.path.relpath(folder / name, self._root)


class FailOnce:
    """The call of this number fails with this error."""

    def __init__(self, number: int, error: int) -> None:
        self._number, self._error = number, error

    def __call__(self, number: int, call: Call) -> None:
        # A call that failed was not made and not counted: the next one has its number.
        if number == self._number and self._error:
            error, self._error = self._error, 0
            raise OSError(error, os.strerror(error), str(call))


class FullFrom:
    """From the call of this number on, whatever needs space finds none."""

    NEEDS_SPACE = ("create", "write", "pwrite", "mkdir", "link", "rename", "fsync", "syncfs")

    def __init__(self, number: int) -> None:
        self._number = number

    def __call__(self, number: int, call: Call) -> None:
        if number >= self._number and call.name in self.NEEDS_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(call))


class CrashAt:
    """The process ends before the call of this number."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __call__(self, number: int, _call: Call) -> None:
        if number >= self._number:
            raise Crash


class Tree:
    """What readers and the relay see below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def files(self) -> list[str]:
        """Every file, seen or not."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir())

    def unfinished(self) -> list[str]:
        """Files in the folders that nobody reads: drafts and records."""
        return [name for name in self.files() if Path(name).parts[-2] in ("tmp", ".tmp", ".commit")]

    def copies(self, delivery: Delivery, way: Way) -> list[bytes]:
        """What lies at this place of this message."""
        return [path.read_bytes() for path in self._seen(way) if delivery.envelope.id in path.name]

    def has_whole(self, delivery: Delivery) -> bool:
        """Whether the message is at each of its places exactly once, complete. AssertionError if one is not,
        and another is."""
        copies = [self.copies(delivery, way) for way in delivery.ways]
        for way, found in zip(delivery.ways, copies, strict=True):
            assert len(found) <= 1
            assert all(stored_form(delivery, way) == copy for copy in found)
        assert len(set(map(len, copies))) == 1
        return bool(copies[0])

    def _seen(self, way: Way) -> Iterator[Path]:
        if isinstance(way, Domain):
            yield from self.root.glob(f".OTHER_SERVERS/{way.name}/*")
        else:
            yield from self.root.glob(f"{way.folder}/new/*")
            yield from self.root.glob(f"{way.folder}/cur/*")


def stored_form(delivery: Delivery, way: Way) -> bytes:
    """What a file of the delivery must contain, written down once more by hand."""
    if isinstance(way, Mailbox):
        return b"Return-Path: <%s>\n" % delivery.envelope.sender.encode() + TRACE + text_of(delivery, b"\n")
    message = TRACE_CRLF + text_of(delivery, b"\r\n")
    lines = b"".join(line + b"\n" for line in _envelope_of(delivery))
    return b"mta-letter/1 envelope=%08d message=%012d\n" % (len(lines), len(message)) + lines + message


def text_of(delivery: Delivery, end: bytes) -> bytes:
    """The text `deliver` gave it."""
    return CRLF.replace(b"\r\n", end) * (delivery.wire_size // len(CRLF))


def _envelope_of(delivery: Delivery) -> Iterator[bytes]:
    envelope = delivery.envelope
    yield (
        f'{{"id": "{envelope.id}", "sender": "{envelope.sender}", "arrived": {envelope.arrived}, '
        f'"client": {{"helo": "client.example"}}}}'
    ).encode()
    for recipient in envelope.recipients:
        kind, name = ("mailbox", recipient.way.folder) if isinstance(recipient.way, Mailbox) else (
            "domain", recipient.way.name)  # fmt: skip
        yield f'{{"address": "{recipient.address}", "{kind}": "{name}"}}'.encode()


def deliver(*ways: Way, pieces: int = 1) -> Delivery:
    """A delivery to one recipient at each of these ways, text added."""
    recipients = tuple(Recipient(f"r{number}@example", way) for number, way in enumerate(ways))
    envelope = Envelope(_identifiers.next(), "s@example", ARRIVED, recipients, {"helo": "client.example"})
    delivery = Delivery(envelope, TRACE)
    for _ in range(pieces):
        delivery.add(CRLF, LF)
    return delivery


def open_store(root: Path, system: System | None = None) -> Store:
    """A store that was opened, with syncs noted only."""
    store = Store(root, host=HOST, system=system or Stage(root))
    store.open()
    return store


def ids_of(deliveries: Iterable[Delivery]) -> list[str]:
    return [delivery.envelope.id for delivery in deliveries]
