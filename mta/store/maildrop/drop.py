"""A mail drop: a Maildir opened for one POP3 session, and for no other one at the same time.

What it holds is found out once, when it is opened, and numbered in the order of names, which is that of
arrival. From then on a message is known by the unique part of its name: when another program has moved it
from `new` to `cur` or changed its flags, it is looked for and found again. Nothing is moved or marked by
reading; a message that was fetched stays in `new` for whoever reads the Maildir by other means.

The lock is flock(2) on the Maildir's own folder: it leaves no file behind, ends with the process, and is
nobody else's business. Deliveries, and programs that read mail, never wait for it. Every folder is opened
without following links, and only regular files are messages. While nothing is read, that folder is all that
is open: thousands of sessions are silent at a time, and each descriptor counts as much as a connection.

Everything here blocks, and is for helper threads; one call at a time for one mail drop.
"""

from __future__ import annotations

import errno
import fcntl
from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from mta.store.folders import Directory
from mta.store.maildrop.names import Identities, read_name, renamed
from mta.store.maildrop.sizes import WireSizes, open_regular
from mta.store.system import System

FOLDERS: Final = ("new", "cur")
"""In the order in which messages move, so that none passes us by while we look."""

_LOOKS: Final = 3
"""A folder that changes while it is read is read again, so often in all."""


class InUse(OSError):
    """Another session has this mail drop."""


class Removal(NamedTuple):
    """A message that could not be removed."""

    name: str
    error: OSError


class OpenMessage:
    """A message open for reading; close it."""

    __slots__ = ("_fd", "_system", "octets")

    def __init__(self, system: System, fd: int, octets: int) -> None:
        self._system = system
        self._fd = fd
        self.octets = octets
        """Of the file as it was opened; what is added later is not read."""

    def read(self, offset: int, octets: int) -> bytes:
        """At most so many octets from there on; empty at the end only. OSError."""
        return self._system.pread(self._fd, max(0, min(octets, self.octets - offset)), offset)

    def close(self) -> None:
        self._system.close(self._fd)


class MailDrop:
    """The messages of one mailbox; `close` gives it back."""

    def __init__(self, system: System, maildir: Directory | None, sizes: WireSizes) -> None:
        """`maildir`: locked; None for a mailbox that has no folder yet, which is as good as empty."""
        self._system = system
        self._maildir = maildir
        self._wire_sizes = sizes
        self.troubles: list[OSError] = []
        """Why `new` or `cur` is left out: it is a link, a file, not for us."""
        self._folders: dict[str, Directory] = {}
        """Those that are open now."""
        self._names = [name for name in FOLDERS if self._is_there(name)]
        self._stamps: Sequence[int] = ()
        self._paths: list[str] = []
        self.sizes = array("Q")
        """Octets of each message with CRLF line ends."""
        self.identities: Sequence[str] = Identities(self._paths)
        self.octets = 0
        """The sum of the sizes."""
        self._list()
        self.rest()

    def open(self, position: int) -> OpenMessage:
        """This message. FileNotFoundError: it was removed by somebody else; OSError."""
        try:
            return self._open(position)
        except FileNotFoundError:
            self._find_again()
            return self._open(position)

    def read(self, position: int, most: int) -> bytes | None:
        """All of this message; None when the file has more than so many octets. OSError."""
        folder, _, name = self._paths[position].partition("/")
        fd, octets = open_regular(self._system, self._folder(folder), name)
        try:
            return self._system.pread(fd, octets, 0) if octets <= most else None
        finally:
            self._system.close(fd)

    def remove(self, positions: Sequence[int]) -> list[Removal]:
        """Remove these messages and no others; those that could not be. One that is gone already is done."""
        failed = []
        for position in positions:
            try:
                self._remove(position)
            except OSError as error:
                failed.append(Removal(self._paths[position], error))
        return failed

    def rest(self) -> None:
        """Keep no more open than the lock; what else is needed is opened again."""
        self._folders.clear()

    def close(self) -> None:
        """Let others have it; it is of no more use."""
        self.rest()
        self._maildir = None

    # looking

    def _is_there(self, name: str) -> bool:
        try:
            self._folder(name)
        except FileNotFoundError:
            return False
        except OSError as error:
            self.troubles.append(error)
            return False
        return True

    def _folder(self, name: str) -> Directory:
        """`new` or `cur`. FileNotFoundError; OSError."""
        folder = self._folders.get(name)
        if folder is None:
            if self._maildir is None:
                raise FileNotFoundError(errno.ENOENT, "there is no mailbox", name)
            folder = self._folders[name] = self._maildir.enter(name)
        return folder

    def _list(self) -> None:
        files = self._look()
        for unique in sorted(files):
            file = files[unique]
            with suppress(OSError):  # gone in this moment, or nothing that could ever be read
                self.sizes.append(self._size_of(file))
                self._paths.append(file.path)
        self.octets = sum(self.sizes)

    def _look(self) -> dict[str, _File]:
        """All messages by their unique names."""
        for _ in range(_LOOKS):
            self._stamps = self._changed()
            files = self._files()
            if self._changed() == self._stamps:
                break
        return files

    def _files(self) -> dict[str, _File]:
        found: dict[str, _File] = {}
        for folder in self._names:
            self._add_files(found, folder)
        return found

    def _add_files(self, found: dict[str, _File], folder: str) -> None:
        directory = self._folder(folder).again()
        with self._system.scandir(directory.fd) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or not entry.is_file(follow_symlinks=False):
                    continue
                unique, wire_octets = read_name(name)
                earlier = found.get(unique)
                if earlier is not None and earlier.inode != entry.inode():
                    self._set_apart(found, earlier)
                found[unique] = _File(f"{folder}/{name}", wire_octets, entry.inode())

    def _set_apart(self, found: dict[str, _File], file: _File) -> None:
        """Two messages have one unique name, against all rules: one of them gets another. Where that cannot
        be, it is not shown."""
        folder, _, name = file.path.partition("/")
        new_name = renamed(name, file.inode)
        directory = self._folder(folder).fd
        with suppress(OSError):
            self._system.rename(name, directory, new_name, directory)
            found[read_name(new_name).unique] = file._replace(path=f"{folder}/{new_name}")

    def _size_of(self, file: _File) -> int:
        if file.wire_octets is not None:
            return file.wire_octets
        folder, _, name = file.path.partition("/")
        return self._wire_sizes.of(self._folder(folder), name)

    def _changed(self) -> Sequence[int]:
        """When each folder changed last."""
        return [self._system.fstat(self._folder(name).fd).st_mtime_ns for name in self._names]

    def _find_again(self) -> None:
        """Somebody has moved messages: learn where they are now."""
        if self._changed() == self._stamps:
            return
        files = self._look()
        for position, path in enumerate(self._paths):
            file = files.get(read_name(path.partition("/")[2]).unique)
            if file is not None:
                self._paths[position] = file.path

    # one message

    def _open(self, position: int) -> OpenMessage:
        folder, _, name = self._paths[position].partition("/")
        return OpenMessage(self._system, *open_regular(self._system, self._folder(folder), name))

    def _remove(self, position: int) -> None:
        try:
            self._unlink(position)
        except FileNotFoundError:
            self._find_again()
            with suppress(FileNotFoundError):
                self._unlink(position)

    def _unlink(self, position: int) -> None:
        folder, _, name = self._paths[position].partition("/")
        self._system.unlink(name, dir_fd=self._folder(folder).fd)


class _File(NamedTuple):
    """A message as a folder shows it."""

    path: str
    """`new/NAME` or `cur/NAME`."""
    wire_octets: int | None
    inode: int


def open_maildrop(system: System, root: Directory, folder: str, sizes: WireSizes) -> MailDrop:
    """The mail drop in this folder below `root`. Raises InUse; OSError when there is something there that is
    no Maildir."""
    maildir = root
    try:
        for part in folder.split("/"):
            maildir = maildir.enter(part)
    except FileNotFoundError:
        return MailDrop(system, None, sizes)
    _lock(maildir)
    return MailDrop(system, maildir, sizes)


def _lock(maildir: Directory) -> None:
    try:
        fcntl.flock(maildir.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse(maildir.path) from None
