"""Identifiers: twenty characters of `[0-9a-v]` that name a message or a session and are never used twice.

Eight characters of milliseconds (so that names sort by age), four of process and counter, eight of random
bits (40). Any one of the three parts would nearly do; together they survive a clock set back, a reused
process number and a copied machine. An identifier is a file name, a log key and part of a reply, and
says nothing about anybody.
"""

from __future__ import annotations

import os
import re
import time
from base64 import b32hexencode
from hashlib import sha256

LENGTH = 20
PATTERN = re.compile(r"[0-9a-z]{20}")
"""What a reader accepts as an identifier: a little more than `Identifiers` writes."""

_TIME = re.compile(r"[0-9a-v]{8}")
_EPOCH_MS = 1_577_836_800_000
"""2020-01-01: forty bits of milliseconds from there last until 2054, and then start over."""

_STOCK = 5 * 100
"""Octets of randomness fetched at once."""


class Identifiers:
    """The source of identifiers of one process."""

    __slots__ = ("_count", "_process", "_random")

    def __init__(self) -> None:
        self._process = os.getpid() * 4099
        self._count = int.from_bytes(os.urandom(2), "big")
        self._random = b""

    def next(self) -> str:
        """A new identifier."""
        self._count += 1
        milliseconds = time.time_ns() // 1_000_000 - _EPOCH_MS
        serial = (self._process + self._count) & 0xFFFFF
        bits = (milliseconds & 0xFFFFFFFFFF) << 60 | serial << 40 | self._random_bits()
        return _written(bits)

    def _random_bits(self) -> int:
        """Forty of them, from a stock that is fetched rarely."""
        if not self._random:
            self._random = os.urandom(_STOCK)
        taken, self._random = self._random[:5], self._random[5:]
        return int.from_bytes(taken, "big")


def _written(bits: int) -> str:
    # 100 bits are exactly twenty characters of five; the encoder wants whole groups of forty.
    return b32hexencode((bits << 20).to_bytes(15, "big"))[:LENGTH].decode().lower()


def derived(made: float, *sources: str) -> str:
    """The identifier that these sources have at this time (epoch seconds): always the same one, and with
    other sources another one."""
    digest = sha256("\0".join(sources).encode()).digest()
    milliseconds = int(made * 1000) - _EPOCH_MS
    bits = (milliseconds & 0xFFFFFFFFFF) << 60 | int.from_bytes(digest[:8], "big") >> 4
    return _written(bits)


def made_at(identifier: str) -> float | None:
    """When `identifier` was made (epoch seconds); None when `Identifiers` did not make it.

    A name that somebody else gave may tell any time."""
    if _TIME.match(identifier) is None:
        return None
    return (int(identifier[:8], 32) + _EPOCH_MS) / 1000
