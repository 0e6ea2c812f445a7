"""How large a message is on the wire when its name does not say so: counted once, then remembered.

The file is read from one end to the other; what is found holds for as long as the file does not change. A
hole is not read: it has no line ends.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import Final, TypeAlias

from mta.protocol.pop3.text import added_octets
from mta.store.folders import Directory
from mta.store.system import System

READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""No link is followed, no FIFO is waited for."""

_PIECE: Final = 262_144
_MOST: Final = 100_000
"""Files remembered, about 300 octets each."""

_Key: TypeAlias = tuple[int, int, int, int]


class WireSizes:
    """The sizes of files that other programs have delivered. Safe for several threads."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._known: dict[_Key, int] = {}

    def of(self, folder: Directory, name: str) -> int:
        """Octets with CRLF line ends. Of a file that cannot be read, its own. Blocks; OSError when it is gone
        or is no regular file."""
        status = self._system.stat(name, dir_fd=folder.fd, follow_symlinks=False)
        key = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        size = self._known.get(key)
        if size is None:
            size = self._count(folder, name, status.st_size)
            self._remember(key, size)
        return size

    def _count(self, folder: Directory, name: str, unreadable: int) -> int:
        try:
            fd, octets = open_regular(self._system, folder, name)
        except PermissionError:
            return unreadable
        try:
            return octets + added_octets(self._pieces(fd, octets))
        finally:
            self._system.close(fd)

    def _pieces(self, fd: int, end: int) -> Iterator[bytes]:
        offset = 0
        while offset < end and (piece := self._system.pread(fd, min(_PIECE, end - offset), offset)):
            yield piece
            offset += len(piece)
            if not piece.strip(b"\0"):
                offset = self._end_of_hole(fd, offset, end)

    def _end_of_hole(self, fd: int, offset: int, end: int) -> int:
        """Where there may be something other than NUL again."""
        try:
            return min(end, self._system.lseek(fd, offset, os.SEEK_DATA))
        except OSError as error:
            return end if error.errno == errno.ENXIO else offset

    def _remember(self, key: _Key, size: int) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = size


def open_regular(system: System, folder: Directory, name: str) -> tuple[int, int]:
    """A descriptor of this file, and its octets. Raises OSError, also for what is no regular file."""
    fd = system.open(name, READ_FLAGS, dir_fd=folder.fd)
    try:
        status = system.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", name)
    except OSError:
        system.close(fd)
        raise
    return fd, status.st_size
