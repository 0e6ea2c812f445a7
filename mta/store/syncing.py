"""Which call makes what durable, for the least waiting.

A batch costs two commits of the file system's journal, however large it is: one for its files, one for the
folders they were linked into. syncfs(2) does either for everything at once; but it waits for what anybody
else has written too, so that for very few files or folders their own fsync(2) is the better choice. A file on
another file system than the root (a mailbox that is a mount point) needs its own in any case.
"""

from __future__ import annotations

from collections.abc import Collection

from mta.store.folders import Directory
from mta.store.system import System

_FEW_FILES = 2
_FEW_FOLDERS = 2


class Syncing:
    """The strategy, for one tree."""

    def __init__(self, system: System, root: Directory, *, together: bool) -> None:
        """`together`: syncfs may be used."""
        self._system = system
        self._root = root
        self._together = together

    def files_together(self, number: int) -> bool:
        """Whether so many files are synced by one `everything`; otherwise each by its own."""
        return self._together and number > _FEW_FILES

    def covers(self, directory: Directory) -> bool:
        """Whether `everything` syncs the files in this folder."""
        return directory.device == self._root.device

    def everything(self) -> None:
        """Make all that was written to the root's file system durable."""
        self._system.syncfs(self._root.fd)

    def folders(self, folders: Collection[Directory]) -> None:
        """Make the entries of these folders durable."""
        if self._together and len(folders) > _FEW_FOLDERS:
            self.everything()
            folders = [folder for folder in folders if not self.covers(folder)]
        for folder in folders:
            self._system.fsync(folder.fd)
