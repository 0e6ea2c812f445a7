"""The folders of the tree: found or made by name, kept open for a while, never reached through a link.

A way becomes a Place: the folder its files are written in and the folder they are linked into. Every folder
is opened from its parent's descriptor, one name at a time, without following links, so that nothing
that an owner puts into a mailbox leads out of it. What is missing is made, with 0700.

Open folders are kept, as opening four of them costs more than delivering into them. They are looked at
again once a second, so that a mailbox that was moved, removed or lost its `new` by hand is noticed.

A folder that was just opened, whether made now or by whoever before us, may have an entry in its parent that
is not on disk yet; the parents are therefore collected and synced along with the next batch.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mta.store.envelope import Domain, Mailbox, Way
from mta.store.names import Names
from mta.store.system import System

OTHER_SERVERS = ".OTHER_SERVERS"
_MODE = 0o700
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_PLACES = 500
"""Places kept open, two descriptors each."""
_TRUSTED_SECONDS = 1.0


class Directory:
    """An open folder. It is closed when the last one who uses it lets go, so that a place may be forgotten
    while a message is still being written there."""

    __slots__ = ("_system", "device", "fd", "identity", "path")

    def __init__(self, system: System, fd: int, path: str) -> None:
        self._system = system
        self.fd = fd
        self.path = path
        """Relative to the root of the tree; for messages and comparison, never for opening."""
        status = system.fstat(fd)
        self.device = status.st_dev
        self.identity = Identity(path, status.st_dev, status.st_ino)

    def __del__(self) -> None:
        # Not through the table: no promise hangs on this call, and an error would have nobody to go to.
        os.close(self.fd)

    def names(self) -> list[str]:
        """What is in it."""
        again = self.again()
        return self._system.listdir(again.fd)

    def again(self) -> Directory:
        """The same folder, opened again: two listings of one descriptor would share its position."""
        return self.enter(".")

    def enter(self, name: str) -> Directory:
        """The folder of this name, which must exist. A link or a file in its place is an OSError."""
        fd = self._system.open(name, _FLAGS, dir_fd=self.fd)
        return Directory(self._system, fd, f"{self.path}/{name}" if self.path else name)

    def enter_or_make(self, name: str) -> Directory:
        """The folder of this name, made when it is missing."""
        with suppress(FileNotFoundError):
            return self.enter(name)
        # The relay delivers too and may have been faster.
        with suppress(FileExistsError):
            self._system.mkdir(name, _MODE, dir_fd=self.fd)
        return self.enter(name)


class Identity(NamedTuple):
    """Which folder was found where."""

    path: str
    device: int
    inode: int


class Place(NamedTuple):
    """Where the files for one way are written, and where they are linked."""

    tmp: Directory
    home: Directory
    identities: tuple[Identity, ...]
    """What must still be so for this to be the same place."""


class Folders:
    """The folders below one root. Safe for several threads."""

    def __init__(self, system: System, root: Path, *, commits: bool = True) -> None:
        """`commits`: somebody takes the unsynced; else none are kept, as each is a descriptor."""
        self._system = system
        self._lock = threading.Lock()
        self._places: OrderedDict[Way, tuple[Place, float]] = OrderedDict()
        self._commits = commits
        self._unsynced: dict[str, Directory] = {}
        self.root = Directory(system, system.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), "")
        self.others = self._child(self.root, OTHER_SERVERS)
        self.tmp = self._child(self.others, ".tmp")
        self.commit = self._child(self.others, ".commit")
        self.error = self._child(self.others, ".error")
        self.spare = self._child(self.others, ".spare")
        self.mailboxes = Names(system, self.root)
        self.domains = Names(system, self.others)

    def place(self, way: Way) -> Place:
        """The place for this way, made when it is missing."""
        now = time.monotonic()
        with self._lock:
            place, trusted = self._places.get(way, (None, 0.0))
            if place is not None and now < trusted:
                self._places.move_to_end(way)
                return place
            if place is None or not self._is_unchanged(place):
                place = self._open(way)
            self._keep(way, place, now + _TRUSTED_SECONDS)
            return place

    def know(self, ways: Iterable[Way]) -> None:
        """Somebody else has delivered there, so the folders exist. Does not block."""
        for way in ways:
            if isinstance(way, Domain):
                self.domains.add(way.name)
            else:
                self.mailboxes.add(way.folder.partition("/")[0])

    def maildir(self, way: Mailbox) -> Directory:
        """The folder of a mailbox, opened for this once, made when it is missing."""
        maildir = self.root
        for part in way.folder.split("/"):
            maildir = self._child(maildir, part)
        return maildir

    def forget(self, way: Way | None = None) -> None:
        """Open this place anew when it is wanted again; all of them if none is named."""
        with self._lock:
            if way is None:
                self._places.clear()
            else:
                self._places.pop(way, None)

    def take_unsynced(self) -> list[Directory]:
        """The parents of folders opened since this was last asked.

        The caller syncs them, or forgets all places."""
        with self._lock:
            parents, self._unsynced = list(self._unsynced.values()), {}
            return parents

    def _keep(self, way: Way, place: Place, until: float) -> None:
        self._places[way] = place, until
        self._places.move_to_end(way)
        if len(self._places) > _MOST_PLACES:
            self._places.popitem(last=False)

    def _open(self, way: Way) -> Place:
        return self._open_domain(way) if isinstance(way, Domain) else self._open_mailbox(way)

    def _open_domain(self, way: Domain) -> Place:
        folder = self._child(self.others, way.name)
        self.domains.add(way.name)
        return Place(self.tmp, folder, (folder.identity,))

    def _open_mailbox(self, way: Mailbox) -> Place:
        maildir = self.maildir(way)
        tmp, new, cur = (self._child(maildir, name) for name in ("tmp", "new", "cur"))
        self.mailboxes.add(way.folder.partition("/")[0])
        return Place(tmp, new, (maildir.identity, tmp.identity, new.identity, cur.identity))

    def _child(self, parent: Directory, name: str) -> Directory:
        if self._commits:
            self._unsynced[parent.path] = parent
        return parent.enter_or_make(name)

    def _is_unchanged(self, place: Place) -> bool:
        return all(map(self._is_there, place.identities))

    def _is_there(self, folder: Identity) -> bool:
        try:
            status = self._system.stat(folder.path, dir_fd=self.root.fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return (status.st_dev, status.st_ino) == (folder.device, folder.inode)
