"""Spares: files of small letters that have left, kept for a minute to be written again.

A letter lives for a second, and making and freeing its file costs the disk more than all that happens in
between: an inode and blocks are looked for and given back, on some disks discarded too, and ext4 without a
journal walks over every inode freed in the last minutes whenever it makes one. So a file is moved instead:

    <domain>/<id>  -- put -->  .spare/<number>  -- take -->  .tmp/<id>.<writer>  -- commit -->  <domain>/<id>

Whoever takes one moves it first and opens it then, so that no two have the same. What anybody could still
see under another name (a letter for several domains, a snapshot by links) is not written to but removed.

Nothing here is synced. A power cut may bring back the name of a letter that was delivered, with the octets
of one that was never acknowledged: it is set aside as not being what it is called. Before a letter is
acknowledged, `Syncing.everything` has made durable that its file had left its old place; where syncs are done
file by file, there are no spares.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from typing import Final, NamedTuple

from mta.store.folders import Directory
from mta.store.system import System

_MOST_OCTETS: Final = 128 << 10
"""Of a file that is worth keeping."""
_MOST: Final = 1024
_LOOK_SECONDS: Final = 0.02
"""How long after looking in vain it is looked again."""
_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MODE: Final = 0o600


class Taken(NamedTuple):
    """A spare that has become somebody's file."""

    fd: int
    octets: int
    """What it holds of its former life."""


class Spares:
    """The spares of one tree. Several processes may put and take; each has one of these."""

    def __init__(self, system: System, folder: Directory) -> None:
        self._system = system
        self._folder = folder
        self._seen: list[str] = []
        self._look_at = 0.0
        self._number = 0

    def put(self, folder: Directory, name: str) -> None:
        """This file is not wanted any more. OSError, when it could not even be removed."""
        self._number = (self._number + 1) % _MOST
        try:
            self._system.rename(name, folder.fd, str(self._number), self._folder.fd)
        except OSError:  # there are enough of them, or it is gone
            self._system.unlink(name, dir_fd=folder.fd)

    def take(self, directory: Directory, name: str) -> Taken | None:
        """Give a spare this name there, and open it; None: make a new file. OSError, when one that is unfit
        could not be removed."""
        number = self._any()
        if number is None:
            return None
        try:
            self._system.rename(number, self._folder.fd, name, directory.fd)
        except OSError:  # another one was faster; and what else is wrong will be wrong with a new file too
            return None
        return self._opened(directory, name)

    def expire(self, before: float) -> int:
        """Remove those that were put here before this time, in epoch seconds; how many. OSError."""
        return sum(self._is_removed(number, before) for number in self._folder.names())

    def _any(self) -> str | None:
        if not self._seen and time.monotonic() >= self._look_at:
            with suppress(OSError):
                self._seen = self._folder.names()
            self._look_at = 0.0 if self._seen else time.monotonic() + _LOOK_SECONDS
        return self._seen.pop() if self._seen else None

    def _opened(self, directory: Directory, name: str) -> Taken | None:
        fd = None
        try:
            fd = self._system.open(name, _FLAGS, dir_fd=directory.fd)
            status = self._system.fstat(fd)
        except OSError:  # a link, perhaps
            status = None
        if fd is not None and status is not None and _is_fit(status):
            return Taken(fd, status.st_size)
        if fd is not None:
            with suppress(OSError):
                self._system.close(fd)
        self._system.unlink(name, dir_fd=directory.fd)
        return None

    def _is_removed(self, number: str, before: float) -> bool:
        with suppress(FileNotFoundError):
            if self._system.stat(number, dir_fd=self._folder.fd, follow_symlinks=False).st_ctime < before:
                self._system.unlink(number, dir_fd=self._folder.fd)
                return True
        return False


def _is_fit(status: os.stat_result) -> bool:
    """It is just such a file as we would make, and nobody else sees it."""
    return (
        stat.S_ISREG(status.st_mode)
        and stat.S_IMODE(status.st_mode) == _MODE
        and status.st_uid == os.geteuid()
        and status.st_nlink == 1
        and status.st_size <= _MOST_OCTETS
    )
