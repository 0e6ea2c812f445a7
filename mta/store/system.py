"""Every call the store makes to the operating system, in one table.

The table exists for two reasons: three of the calls are not in Python's os module, and a test can put
another table in its place that fails, counts or stops at any call. All raise OSError.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2
_NO_RENAMEAT2 = (errno.EINVAL, errno.ENOSYS)
"""What a file system, or a kernel, says that cannot rename without replacing."""

_libc = ctypes.CDLL(None, use_errno=True)


def _libc_function(name: str, *argument_types: type) -> Callable[..., int] | None:
    function = getattr(_libc, name, None)
    if function is not None:
        function.argtypes = argument_types
    return function


_renameat2 = _libc_function(
    "renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint
)
_syncfs = _libc_function("syncfs", ctypes.c_int)
_sync_file_range = _libc_function(
    "sync_file_range", ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint
)


def syncs_together() -> bool:
    """Whether syncfs(2) exists and reports write errors, as it does since Linux 5.8."""
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return _syncfs is not None and version is not None and (int(version[1]), int(version[2])) >= (5, 8)


class System:
    """The calls; the names and arguments are those of the os module where it has them."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    writev = staticmethod(os.writev)
    pwrite = staticmethod(os.pwrite)
    pread = staticmethod(os.pread)
    lseek = staticmethod(os.lseek)
    ftruncate = staticmethod(os.ftruncate)
    fsync = staticmethod(os.fsync)
    link = staticmethod(os.link)
    unlink = staticmethod(os.unlink)
    mkdir = staticmethod(os.mkdir)
    stat = staticmethod(os.stat)
    fstat = staticmethod(os.fstat)
    statvfs = staticmethod(os.statvfs)

    @staticmethod
    def listdir(fd: int) -> list[str]:
        """The names in an open folder."""
        return os.listdir(fd)

    @staticmethod
    def scandir(fd: int) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """The entries of an open folder, as they come."""
        return os.scandir(fd)

    @staticmethod
    def rename(name: str, directory: int, new_name: str, new_directory: int) -> None:
        """Move a file, both names relative to directory descriptors. Never overwrites: FileExistsError."""
        if _renameat2 is None:
            _link_and_unlink(name, directory, new_name, new_directory)
        elif (
            _renameat2(directory, os.fsencode(name), new_directory, os.fsencode(new_name), _RENAME_NOREPLACE)
            != 0
        ):
            number = ctypes.get_errno()
            if number not in _NO_RENAMEAT2:
                raise OSError(number, os.strerror(number), name, None, new_name)
            _link_and_unlink(name, directory, new_name, new_directory)

    @staticmethod
    def syncfs(fd: int) -> None:
        """Make everything durable that was written to the file system of `fd` (see `syncs_together`)."""
        assert _syncfs is not None
        if _syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), "syncfs")

    @staticmethod
    def start_write_out(fd: int, offset: int, octets: int) -> None:
        """Let the disk begin with these octets of a file, so that the sync to come is short. No promise."""
        if _sync_file_range is None:
            return
        if _sync_file_range(fd, offset, octets, _SYNC_FILE_RANGE_WRITE) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), "sync_file_range")


def _link_and_unlink(name: str, directory: int, new_name: str, new_directory: int) -> None:
    os.link(name, new_name, src_dir_fd=directory, dst_dir_fd=new_directory, follow_symlinks=False)
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        os.unlink(new_name, dir_fd=new_directory)
        raise
