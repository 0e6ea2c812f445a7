"""A letter opened to be sent: its envelope, who at this domain still waits, and its octets piece by piece."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, TypeAlias

from mta.store.envelope import Domain, Envelope, Recipient
from mta.store.folders import Directory
from mta.store.letter import BrokenLetter, Letter, read_ahead
from mta.store.letters.status import BrokenStatus, Entry, Status, read_status
from mta.store.system import System

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
AHEAD: Final = 4096
"""Octets read of a letter when it is opened, unless more are wanted."""
_MOST_STATUS: Final = 16 << 20
"""Octets; a thousand recipients with long replies have less than one of them."""


class OpenLetter:
    """An open letter; close it, or use it in a `with`."""

    __slots__ = (
        "_fd", "_offset", "_system", "_whole", "entry", "envelope", "length", "recipients", "status",
        "trouble",
    )  # fmt: skip

    def __init__(
        self,
        system: System,
        fd: int,
        letter: Letter,
        first: bytes,
        entry: Entry,
        status: Status,
        trouble: str,
    ) -> None:
        """Takes over the descriptor. `first`: octets of the file, kept when they are all of it; `entry` names
        the status that was read."""
        self._system = system
        self._fd: int | None = fd
        self._offset = letter.offset
        self.entry = entry
        self.envelope: Envelope = letter.envelope
        self._whole = first if len(first) == letter.offset + letter.length else b""
        self.length = letter.length
        """Octets of the message."""
        self.status = status
        self.trouble = trouble
        """A status that could not be read, and what was wrong with it; for the log. It counts as lost: the
        attempts start anew, and nobody counts as delivered."""
        self.recipients = _recipients(letter.envelope, entry.domain)
        """Those at this domain, each address once, whatever became of them."""

    @property
    def waiting(self) -> tuple[Recipient, ...]:
        """The recipients who are neither delivered nor given up."""
        return tuple(each for each in self.recipients if self.status.waits(each.address))

    def read(self, offset: int, octets: int) -> bytes:
        """At most so many octets of the message from `offset` on; empty at its end only. Blocks; OSError."""
        assert self._fd is not None
        octets = min(octets, self.length - offset)
        if self._whole:
            return self._whole[self._offset + offset : self._offset + offset + octets]
        piece = self._system.pread(self._fd, octets, self._offset + offset) if octets > 0 else b""
        if octets > 0 and not piece:
            raise OSError(errno.EIO, "the letter became shorter while it was read", self.entry.id)
        return piece

    def close(self) -> None:
        """Closing again does nothing."""
        fd, self._fd, self._whole = self._fd, None, b""
        if fd is not None:
            self._system.close(fd)

    def __enter__(self) -> OpenLetter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


Search: TypeAlias = Callable[[], list[Entry]]
"""Finds all statuses of a letter, the highest first."""


def open_letter(
    system: System, folder: Directory, entry: Entry, search: Search, ahead: int = AHEAD
) -> OpenLetter:
    """The letter of this entry in this folder, its first `ahead` octets read at once. `search` is asked when
    its status is not what the entry tells.

    FileNotFoundError: it is gone; BrokenLetter: it is none, or not this one; OSError."""
    fd = _descriptor(system, folder, entry.id)
    try:
        letter, first = read_ahead(fd, ahead, system)
        _check(letter.envelope, entry)
        return OpenLetter(system, fd, letter, first, *_status(system, folder, entry, search))
    except (OSError, BrokenLetter):
        system.close(fd)
        raise


def _descriptor(system: System, folder: Directory, name: str) -> int:
    """Read without a note of when: for a letter that lives for a second, that is one write more."""
    try:
        return system.open(name, _FLAGS | os.O_NOATIME, dir_fd=folder.fd)
    except PermissionError:  # it is not ours
        return system.open(name, _FLAGS, dir_fd=folder.fd)


def _status(system: System, folder: Directory, entry: Entry, search: Search) -> tuple[Entry, Status, str]:
    if entry.serial == 0:
        return entry, Status(), ""
    with suppress(FileNotFoundError, BrokenStatus):
        return entry, _read(system, folder, entry.status_name), ""
    return any_status(system, folder, entry, search)


def any_status(system: System, folder: Directory, entry: Entry, search: Search) -> tuple[Entry, Status, str]:
    """The highest that can be read, and what is wrong with a higher one. The entry is the highest of all, as
    what is written next must outrank it."""
    statuses = search()
    highest = max([*statuses[:1], entry], key=lambda each: each.serial)
    trouble = "" if statuses or not entry.serial else f"{entry.status_name} is missing"
    for each in statuses:
        try:
            return highest, _read(system, folder, each.status_name), trouble
        except BrokenStatus as error:
            trouble = trouble or f"{each.status_name}: {error}"
    return highest, Status(note=trouble), trouble


def _read(system: System, folder: Directory, name: str) -> Status:
    with _opened(system, folder, name) as fd:
        return read_status(system.pread(fd, _MOST_STATUS, 0))


@contextmanager
def _opened(system: System, folder: Directory, name: str) -> Iterator[int]:
    fd = system.open(name, _FLAGS, dir_fd=folder.fd)
    try:
        yield fd
    finally:
        system.close(fd)


def _check(envelope: Envelope, entry: Entry) -> None:
    if envelope.id != entry.id:
        raise BrokenLetter(f"it is the letter {envelope.id}")
    if not _recipients(envelope, entry.domain):
        raise BrokenLetter(f"it has no recipient at {entry.domain}")


def _recipients(envelope: Envelope, domain: str) -> tuple[Recipient, ...]:
    return tuple({each.address: each for each in envelope.at(Domain(domain))}.values())
