"""What crashes leave in tmp folders, and when it may go.

Our own drafts say in their names whose they are. One that is no message under way now, and was not touched
since this process began, is a leftover and goes at once. Files of other programs, which may deliver here too,
go when they have not been touched for 36 hours, as maildir(5) wants it. This runs beside everything else and
never touches a link, or anything else that is not a regular file.
"""

from __future__ import annotations

import errno
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

from mta.store.folders import Directory, Folders
from mta.store.system import System
from mta.store.writing import Writing

_FOREIGN_SECONDS = 36 * 3600
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Cleaning:
    """Removes leftovers of one writer, and old files of others."""

    def __init__(self, system: System, folders: Folders, writing: Writing, began: float) -> None:
        """`began` is when this process did, in epoch seconds."""
        self._system = system
        self._folders = folders
        self._writing = writing
        self._began = began
        self._own = re.compile(rf"([0-9a-z]{{20}})\.{re.escape(writing.writer)}(\.mail|\.status\d+)?")

    def clean(self) -> int:
        """Go through all tmp folders; the number of files removed."""
        tmp_folders = chain((self._folders.tmp,), self._tmp_folders(self._folders.root, depth=2))
        return sum(map(self._clean, tmp_folders))

    def _tmp_folders(self, parent: Directory, depth: int) -> Iterator[Directory]:
        """The tmp folders of the Maildirs in this folder; and one level deeper, `domain/local part`."""
        for name in parent.names():
            folder = None if name.startswith(".") else _entered(parent, name)
            if folder is None:
                continue
            tmp = _entered(folder, "tmp")
            if tmp is not None:
                yield tmp
            if depth > 1:
                yield from self._tmp_folders(folder, depth - 1)

    def _clean(self, tmp: Directory) -> int:
        return sum(self._is_removed(tmp, name) for name in tmp.names())

    def _is_removed(self, tmp: Directory, name: str) -> bool:
        """Remove this file if it is a leftover. One that goes away by itself meanwhile was none."""
        with suppress(FileNotFoundError):
            status = self._system.stat(name, dir_fd=tmp.fd, follow_symlinks=False)
            touched = max(status.st_mtime, status.st_atime)
            if stat.S_ISREG(status.st_mode) and self._is_leftover(name, touched):
                self._system.unlink(name, dir_fd=tmp.fd)
                return True
        return False

    def _is_leftover(self, name: str, touched: float) -> bool:
        own = self._own.fullmatch(name)
        if own is None:
            return touched < self._began - _FOREIGN_SECONDS
        return touched < self._began and own[1] not in self._writing.under_way


def _entered(parent: Directory, name: str) -> Directory | None:
    try:
        return parent.enter(name)
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise
        return None
