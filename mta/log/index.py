"""Where in a log something stands: an index beside each log file, by which a gigabyte answers in a moment.

The log is cut into blocks of whole records. For each block the index holds where it lies, the time it reaches
to, and a 32-bit digest of each thing in it that one may ask for: ids, sessions, addresses. Whoever looks for
something reads only the blocks that may hold it, and searches those; a digest that two things share costs a
look in vain, never an answer. What is not indexed yet is searched as it is, so that an index may be late, cut
short by a crash or gone altogether without anything being missed.

An index belongs to a file's content and not to its name, since rotation renames and compresses: it is named
after the file's first record and stands in a folder beside it. All offsets count in the text uncompressed.

    mta-index/1\\n                          then for each block
    check  start  length  until  count      little endian; check: CRC-32 of what follows
    count digests                           32 bits each

The logger alone writes indexes (`Indexer`); this module knows the form of records and nothing of events.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from mta.log.logfmt import MOST_OCTETS, escaped

BLOCK: Final = 1 << 18
"""Octets of a block, or less when the log rests."""

_MAGIC: Final = b"mta-index/1\n"
_HEAD: Final = struct.Struct("<IQIII")
_NAME_OCTETS: Final = 32
_STAMP_OCTETS: Final = len("2026-11-20T18:40:01.123Z")

_IDS: Final = re.compile(rb" (?:id|session)=([0-9a-z]{20})(?=[ \n])")
_ADDRESSES: Final = (
    re.compile(rb' (?:sender|recipients?|about|via)=([^ "\n]+)'),
    re.compile(rb' (?:sender|recipients?|via)="((?:[^"\\]|\\.)*)"'),
    re.compile(rb' command="[^"<]*<([^">]+)>'),
)
"""What one may ask for, in the form in which records hold it."""


def digest(asked: str) -> int:
    """The digest of an id, a session or an address; addresses are the same in any case.

    What has a comma is known by what stands before it, since lists write commas in another way than single
    values do."""
    written = escaped(asked).encode("utf-8", "surrogateescape")
    return zlib.crc32(written.partition(b",")[0].lower())


def digests(block: bytes) -> set[int]:
    """Of all that stands in a block."""
    found = set(_IDS.findall(block))
    for pattern in _ADDRESSES:
        values = b",".join(set(pattern.findall(block)))
        found.update(values.replace(b"\\x2c", b",").lower().split(b","))
    return set(map(zlib.crc32, found))


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of whole records: octets from `start`, and the time of the last, as it is written."""

    start: int
    length: int
    until: int
    """Seconds since the epoch, rounded up."""
    digests: bytes

    @property
    def end(self) -> int:
        return self.start + self.length

    def may_hold(self, asked: Iterable[bytes]) -> bool:
        """Whether one of these digests, packed, is among ours. Now and then it says yes in vain."""
        return any(each in self.digests for each in asked)


def packed(number: int) -> bytes:
    """A digest as an index holds it."""
    return number.to_bytes(4, "little")


# files


def path_of_index(log: Path, first_record: bytes) -> Path:
    """Where the index of a log file is that begins with this record; `log` is its name before rotation."""
    name = sha256(first_record).hexdigest()[:_NAME_OCTETS]
    return log.with_name(f".{log.name}.index") / name


def first_record(octets: bytes) -> bytes | None:
    """The first line of a file, by which its index is known; None when it is not complete yet."""
    line, line_feed, _ = octets[:MOST_OCTETS].partition(b"\n")
    return line if line_feed else None


def read_blocks(index: Path) -> list[Block]:
    """The blocks of an index, in order, up to where it is cut short; none when it is not there."""
    try:
        octets = index.read_bytes()
    except OSError:  # an index only saves time
        return []
    return list(_blocks(octets)) if octets.startswith(_MAGIC) else []


def _blocks(octets: bytes) -> Iterator[Block]:
    position, end = len(_MAGIC), 0
    while position + _HEAD.size <= len(octets):
        check, start, length, until, count = _HEAD.unpack_from(octets, position)
        following = position + _HEAD.size + 4 * count
        if start != end or zlib.crc32(memoryview(octets)[position + 4 : following]) != check:
            return
        yield Block(start, length, until, octets[position + _HEAD.size : following])
        position, end = following, start + length


def _entry(start: int, block: bytes, until: int) -> bytes:
    kept = array("I", sorted(digests(block)))
    rest = _HEAD.pack(0, start, len(block), until, len(kept))[4:] + kept.tobytes()
    return packed(zlib.crc32(rest)) + rest


# writing


class Indexer:
    """Follows one log file and keeps its index; raises OSError when one of both cannot be used."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._file: int | None = os.open(log, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        self._index: int | None = None
        self._done = 0

    def advance(self, most: int = 16) -> None:
        """Index the next full blocks, so many at most."""
        for _ in range(most):
            if not self._step(least=BLOCK):
                return

    def finish(self) -> None:
        """Index all there is, for nothing follows, and give the files back."""
        try:
            while self._step(least=1):
                pass
        finally:
            self.close()

    def close(self) -> None:
        for fd in (self._file, self._index):
            if fd is not None:
                os.close(fd)
        self._file = self._index = None

    def _step(self, least: int) -> bool:
        """Index one block; False when there is none of so many octets at least."""
        if self._file is None or (self._index is None and not self._open_index(self._file)):
            return False
        octets = os.pread(self._file, BLOCK, self._done)
        block = octets[: octets.rfind(b"\n") + 1]
        if len(octets) < least or not block:
            return False
        assert self._index is not None
        _append(self._index, _entry(self._done, block, _until(block)))
        self._done += len(block)
        return True

    def _open_index(self, file: int) -> bool:
        """Begin the index, or go on where it ends; False while the log has no first record."""
        first = first_record(os.pread(file, MOST_OCTETS, 0))
        if first is None:
            return False
        path = path_of_index(self._log, first)
        path.parent.mkdir(mode=0o750, exist_ok=True)
        blocks = read_blocks(path)
        self._done = blocks[-1].end if blocks else 0
        self._index = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        os.ftruncate(self._index, _size(blocks) if blocks else 0)
        os.lseek(self._index, 0, os.SEEK_END)
        if not blocks:
            _append(self._index, _MAGIC)
        return True


def _append(index: int, octets: bytes) -> None:
    if os.write(index, octets) < len(octets):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _size(blocks: list[Block]) -> int:
    return len(_MAGIC) + sum(_HEAD.size + len(block.digests) for block in blocks)


def _until(block: bytes) -> int:
    """The time of the last record in a block, 0 when that is none."""
    last = block[block.rfind(b"\n", 0, -1) + 1 :][:_STAMP_OCTETS].decode("ascii", "replace")
    return seconds_of(last) or 0


def seconds_of(stamp: str) -> int | None:
    """The whole second a record's time lies in, rounded up; None when it is no time."""
    try:
        return -int(-datetime.fromisoformat(stamp).timestamp() // 1)
    except ValueError:
        return None
