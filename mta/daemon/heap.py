"""The heap of a child: what was large is given back to the system as soon as it is free.

glibc maps blocks of 128 KB and more by themselves and unmaps them when they are freed, but raises that bound
to the size of the first one it sees freed, up to 32 MB (mallopt(3), M_MMAP_THRESHOLD). After one login, whose
hash takes 19 MB for a moment, such blocks would be cut from the heaps of the threads and stay there for good.
A bound that is set is not raised any more. Ours lies above all pieces of messages that come and go all the
time, for which a map each would cost more than it saves.
"""

from __future__ import annotations

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # malloc.h
_M_MMAP_THRESHOLD: Final = -3

LARGE: Final = 4 << 20
"""Octets of a block that gets a map of its own; a heap with as much free at its end is cut, too."""


def give_back_large_blocks() -> None:
    """For the rest of this process. A C library that has no such setting has its own ways."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, LARGE)
