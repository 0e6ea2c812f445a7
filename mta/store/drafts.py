"""A draft: a file from its first octet until it is linked where it belongs.

A draft always knows where it is, so that at any moment it can be removed without a trace. The name it has
while it is written says whose it is (`<id>.<writer>`), so that after a crash a writer knows its leftovers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from mta.store.folders import Directory
from mta.store.letters.spares import Spares
from mta.store.system import System

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o600
_MOST_PARTS = 1024
"""IOV_MAX of Linux."""
_WRITE_OUT = 8_000_000
"""Octets after which the disk is told to begin."""


class Draft:
    """One file. Every method may raise OSError; then `remove` it."""

    __slots__ = ("_fd", "_former", "_system", "directory", "name", "octets", "started", "synced")

    def __init__(
        self,
        system: System,
        directory: Directory,
        name: str,
        sealed: int | None = None,
        spares: Spares | None = None,
    ) -> None:
        """Make the file, empty; or take a spare, to be `cut` when all is written; or take over one of so many
        octets that another process has sealed."""
        self._system = system
        self.directory = directory
        self.name = name
        self.octets = sealed or 0
        self.started = 0
        """Octets the disk has been told to begin with."""
        self.synced = sealed is not None
        self._fd: int | None = None
        self._former: int | None = None
        """Octets of the file whose place it takes."""
        taken = spares.take(directory, name) if spares is not None else None
        if taken is not None:
            self._fd, self._former = taken
        elif sealed is None:
            self._fd = system.open(name, _FLAGS, _MODE, dir_fd=directory.fd)

    def write(self, parts: Sequence[bytes]) -> None:
        """Append all of it."""
        for start in range(0, len(parts), _MOST_PARTS):
            self._write(parts[start : start + _MOST_PARTS])
        if self.octets - self.started >= _WRITE_OUT:
            self._system.start_write_out(self.fd, self.started, self.octets - self.started)
            self.started = self.octets

    @property
    def is_spare(self) -> bool:
        """It has been another file: only a sync of everything makes sure that it is that no more."""
        return self._former is not None

    def cut(self) -> None:
        """What was written is all of it; of its former life nothing is left."""
        if self._former is not None and self._former > self.octets:
            self._system.ftruncate(self.fd, self.octets)

    def rewrite(self, octets: bytes, offset: int) -> None:
        """Put other octets in the place of ones that were written."""
        if self._system.pwrite(self.fd, octets, offset) != len(octets):
            raise OSError(f"{self.name}: the disk took a part only")

    def sync(self) -> None:
        """Make the octets durable. Once: after an error, a second sync of the same file proves nothing."""
        self._system.fsync(self.fd)
        self.synced = True

    def close(self) -> None:
        """Give the descriptor back; the file stays. Closing again does nothing."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._system.close(fd)

    def publish(self, directory: Directory, name: str) -> None:
        """Move the file where it is for."""
        self._system.rename(self.name, self.directory.fd, name, directory.fd)
        self.directory, self.name = directory, name

    def remove(self) -> None:
        """Leave nothing. A file that is gone already is no error."""
        try:
            self._system.unlink(self.name, dir_fd=self.directory.fd)
        except FileNotFoundError:
            pass
        finally:
            self.close()

    @property
    def fd(self) -> int:
        """Its descriptor, while it is open."""
        assert self._fd is not None
        return self._fd

    def _write(self, parts: Sequence[bytes]) -> None:
        whole = sum(map(len, parts))
        written = self._system.writev(self.fd, parts)
        self.octets += written
        if written < whole:
            # A full disk or a file size limit cuts a write first, and says why at the next one.
            self._write([b"".join(parts)[written:]])
