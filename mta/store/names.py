"""Which folders there are, remembered, so that RCPT can be answered without looking at the disk."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from mta.store.system import System

if TYPE_CHECKING:
    from mta.store.folders import Directory


class Names:
    """The names of the folders in one folder. Asking and adding never block; `refresh` does."""

    def __init__(self, system: System, folder: Directory) -> None:
        self._system = system
        self._folder = folder
        self._lock = threading.Lock()
        self._changed = -1
        self._added: set[str] = set()
        self._names: set[str] = set()
        self.refresh()

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str) -> None:
        """There is such a folder now."""
        with self._lock:
            self._added.add(name)
            self._names.add(name)

    def refresh(self) -> None:
        """Look again, if the folder has changed since: folders come and go by hand too."""
        changed = self._system.fstat(self._folder.fd).st_mtime_ns
        if changed == self._changed:
            return
        # What is added during the look may be missing from it.
        self._added = set()
        folder = self._folder.again()
        with os.scandir(folder.fd) as entries:
            names = {e.name for e in entries if e.name[0] != "." and e.is_dir(follow_symlinks=False)}
        with self._lock:
            self._names = names | self._added
        self._changed = changed
