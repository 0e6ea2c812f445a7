"""One server per tree: a lock on `<maildir>/.lock`.

The lock is flock(2): it belongs to the open file, not to a process. Every child that works in the tree
inherits the descriptor, so that the tree stays locked until the last of them has finished, even when
their supervisor was killed. A start that finds such orphans at work gives them a moment; one that finds a
living supervisor does not wait. The number written in the file only says whom to ask after: right or
wrong, the lock decides.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import time
from pathlib import Path

from mta.daemon.errors import NOT_PERMITTED, TEMPORARY, CannotStart

PATIENCE = 5.0
"""Seconds that orphans of a killed supervisor get for finishing."""

_STEP = 0.02


def lock_tree(tree: Path) -> int:
    """Lock the tree for this process and those that inherit the returned descriptor.

    Raises CannotStart when somebody else works in it, or the file cannot be opened."""
    path = tree / ".lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        status = NOT_PERMITTED if error.errno in (errno.EACCES, errno.EPERM) else TEMPORARY
        raise CannotStart(status, f"{path}: cannot be opened: {error.strerror}") from error
    _take(fd, path)
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return fd


def _take(fd: int, path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _try(fd):
        owner = _owner(fd)
        if owner is not None or time.monotonic() > deadline:
            os.close(fd)
            whose = f"by process {owner}" if owner else "by a child of a server that is gone"
            raise CannotStart(TEMPORARY, f"{path}: the tree is in use {whose}; stop it, or try again")
        time.sleep(_STEP)


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(fd: int) -> int | None:
    """The supervisor that locked the tree, when it still lives; one that nobody has reaped yet does not."""
    text = os.pread(fd, 20, 0).strip()
    if not text.isdigit() or int(text) == os.getpid():
        return None
    try:
        process = os.pidfd_open(int(text))
    except OSError:
        return None
    ended, _, _ = select.select([process], [], [], 0)
    os.close(process)
    return None if ended else int(text)
