"""Rights: who the children become, what belongs to them, and how many descriptors everybody may have.

Only the supervisor may stay root. It makes the folders that the children need and gives them away, touching
nothing but what the configuration names: a folder that exists and belongs to somebody keeps its owner.
"""

from __future__ import annotations

import os
import pwd
import resource
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mta.daemon.errors import CONFIGURATION, NOT_PERMITTED, REFUSED, CannotStart

_SQLITE: Final = "sqlite:///"


@dataclass(frozen=True)
class User:
    """Whom the children become."""

    name: str
    uid: int
    gid: int


def whom_to_become(name: str) -> User | None:
    """The account named by `application.user`, None when nothing is to change: we are not root, or no
    name is set.

    Raises CannotStart when there is no such account."""
    if not name or os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        raise CannotStart(CONFIGURATION, f"application.user: there is no user {name}") from None
    return User(name, account.pw_uid, account.pw_gid)


def own_folder(path: Path, user: User | None, mode: int = 0o700) -> None:
    """Make the folder if it is missing; what is made, and the last folder when it is root's, becomes the
    user's.

    Raises CannotStart when it cannot be made or is no folder."""
    try:
        _make_passable(path.parent)
        path.mkdir(mode=mode, exist_ok=True)
        if user is not None:
            _give(path, user, os.O_DIRECTORY)
    except OSError as error:
        raise _refused(path, error) from error


def become_owner(tree: Path) -> None:
    """Started as root, become whom the tree belongs to: what a command writes there is to be the server's.

    For good. Raises CannotStart when there is no tree."""
    if os.geteuid() != 0:
        return
    try:
        owner = tree.stat()
    except OSError as error:
        raise CannotStart(REFUSED, f"{tree}: {error.strerror}; there is no mail here") from error
    os.setgroups([])
    os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
    os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)


def _make_passable(folder: Path) -> None:
    """Make the folders on the way, open for all to pass: they stay root's, the user must get through."""
    before = os.umask(0o022)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    finally:
        os.umask(before)


def make_room(path: Path, user: User | None) -> None:
    """Make the folder for a file that will be there, and give it to the user.

    One that exists may be shared with others (/run, /var/log), and stays whose it is. Raises CannotStart."""
    if not path.parent.exists():
        own_folder(path.parent, user, 0o750)


def own_file(path: Path, user: User, mode: int = 0o640) -> None:
    """Make the file if it is missing, and its folder, and let it belong to the user when it is root's.

    Raises CannotStart."""
    make_room(path, user)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, mode))
        _give(path, user)
    except OSError as error:
        raise _refused(path, error) from error


def own_database(url: str, user: User | None) -> None:
    """Let the file of a database belong to the user, if it is one. A journal will stand beside it, so the
    folder must be theirs as well. Raises CannotStart."""
    if user is None or not url.startswith(_SQLITE):
        return
    file = Path(url.removeprefix(_SQLITE))
    make_room(file, user)
    if file.exists():
        own_file(file, user)
    if not _may_write(file.parent, user):
        text = f"{user.name} must be able to write here; let it, or put users.database elsewhere"
        raise CannotStart(NOT_PERMITTED, f"{file.parent}: {text}")


def _may_write(folder: Path, user: User) -> bool:
    """By the folder's mode; a child has no other groups than the user's first."""
    now = folder.stat()
    shift = 6 if now.st_uid == user.uid else 3 if now.st_gid == user.gid else 0
    return (now.st_mode >> shift) & 0o3 == 0o3


def _give(path: Path, user: User, flags: int = 0) -> None:
    """Change the owner from root to the user; by descriptor, so that no link can turn it elsewhere."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | flags)
    try:
        now = os.fstat(fd)
        # A file with a second name may be somebody else's, put here to be given away; a device is.
        ours = stat.S_ISDIR(now.st_mode) or (stat.S_ISREG(now.st_mode) and now.st_nlink == 1)
        if ours and now.st_uid == 0:
            os.fchown(fd, user.uid, user.gid)
    finally:
        os.close(fd)


def _refused(path: Path, error: OSError) -> CannotStart:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return CannotStart(CONFIGURATION, f"{path}: there is something here that is no folder; name another")
    return CannotStart(NOT_PERMITTED, f"{path}: {error.strerror}; make it, or start as a user who may")


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open descriptors to the hard one; returns it. Children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
