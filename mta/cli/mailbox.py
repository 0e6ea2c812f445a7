"""Mailboxes of accounts, for commands: how much is in one, and the removal of one. Never through a link, and
never outside of the tree: every folder is opened from the one above it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mta.store import Mailbox
from mta.store.folders import Directory
from mta.store.system import System
from mta.store.usage import Used, count


def used(tree: Path, folder: str) -> Used:
    """What is in the mailbox, nothing when there is none. Raises OSError."""
    system = System()
    try:
        root = Directory(system, os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), "")
    except FileNotFoundError:
        return Used(0, 0)
    return count(system, root, Mailbox(folder))


def exists(tree: Path, folder: str) -> bool:
    """Whether there is something of this name."""
    return os.path.lexists(tree / Mailbox(folder).folder)


def purge(tree: Path, folder: str) -> None:
    """Remove the mailbox and all that is in it, if there is one. Raises OSError."""
    domain, slash, name = Mailbox(folder).folder.rpartition("/")
    with suppress(FileNotFoundError), _opened(tree) as root:
        if not slash:
            _remove(name, root)
            return
        with _opened(domain, root) as parent:
            _remove(name, parent)
        with suppress(OSError):  # others live there too
            os.rmdir(domain, dir_fd=root)


def _remove(name: str, parent: int) -> None:
    assert shutil.rmtree.avoids_symlink_attacks
    shutil.rmtree(name, dir_fd=parent)


@contextmanager
def _opened(folder: Path | str, parent: int | None = None) -> Iterator[int]:
    # Only the tree itself may be reached through a link: the operator may have put it elsewhere.
    links = 0 if parent is None else os.O_NOFOLLOW
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | links, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)
