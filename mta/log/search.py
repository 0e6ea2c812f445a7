"""Finding records again, in the log as it is written and in what rotation has made of it.

The files of a log are the one with its name and those whose name goes on after it (`mta.log.1`,
`mta.log.2.gz`, `mta.log-20261120`), oldest first. Of each only the blocks are read that may hold what is
asked for (see `index`), and the part that has no index yet.

This module must never know what a record means.
"""

from __future__ import annotations

import re
from bz2 import BZ2File
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from gzip import GzipFile
from io import BufferedIOBase
from lzma import LZMAError, LZMAFile
from pathlib import Path
from typing import Final

from mta.log.index import Block, digest, first_record, packed, path_of_index, read_blocks
from mta.log.logfmt import MOST_OCTETS, NotARecord, Record, escaped, parse_record

_PIECE: Final = 1 << 20
_ANY_LINE: Final = re.compile(rb"^.", re.MULTILINE)

_COMPRESSED: Final[dict[str, Callable[[Path], BufferedIOBase]]] = {
    ".gz": GzipFile,
    ".bz2": BZ2File,
    ".xz": LZMAFile,
}
_UNREADABLE: Final = (OSError, EOFError, LZMAError)


class LogFiles:
    """The files of one log, oldest first. Files that cannot be read are named in `unreadable`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.unreadable: list[str] = []
        self._files = sorted(self._found(), key=lambda found: found[1])

    @property
    def paths(self) -> list[Path]:
        return [path for path, _ in self._files]

    def forget_others(self) -> None:
        """Remove the indexes of files that are there no more. Raises OSError."""
        if self.unreadable:
            return  # what cannot be read may have one
        kept = {path_of_index(self._log, first) for _, first in self._files}
        for index in path_of_index(self._log, b"").parent.glob("*"):
            if index not in kept:
                index.unlink()

    def find(self, asked: Iterable[str], since: float = 0.0) -> Iterator[Record]:
        """Every record that holds one of these ids, sessions or addresses, in the order of the files.

        `since`: seconds since the epoch; what is older may be left out."""
        words = list(dict.fromkeys(asked))
        if words:
            yield from self._search(_pattern(words), [packed(digest(word)) for word in words], since)

    def all_since(self, since: float) -> Iterator[Record]:
        """Every record, but for blocks of them that are older (seconds since the epoch)."""
        yield from self._search(_ANY_LINE, [b""], since)

    def _search(self, wanted: re.Pattern[bytes], marks: Sequence[bytes], since: float) -> Iterator[Record]:
        for path, first in self._files:
            try:
                yield from self._in_file(path, first, wanted, marks, since)
            except _UNREADABLE as error:
                self.unreadable.append(f"{path}: {error}")

    def _found(self) -> Iterator[tuple[Path, bytes]]:
        for path in self._log.parent.glob(f"{_literal(self._log.name)}*"):
            try:
                with closing(_open(path)) as file:
                    first = first_record(file.read(MOST_OCTETS))
            except _UNREADABLE as error:
                self.unreadable.append(f"{path}: {error}")
            else:
                if first is not None:
                    yield path, first

    def _in_file(
        self, path: Path, first: bytes, wanted: re.Pattern[bytes], marks: Sequence[bytes], since: float
    ) -> Iterator[Record]:
        blocks = read_blocks(path_of_index(self._log, first))
        with closing(_open(path)) as file:
            for stretch in _stretches(blocks, marks, since):
                yield from _records(file, stretch, wanted)


def _stretches(blocks: Sequence[Block], marks: Sequence[bytes], since: float) -> Iterator[tuple[int, int]]:
    """Where to look: (start, length) of blocks that may hold it, and of all that is not indexed (-1: to the
    end)."""
    for block in blocks:
        if block.until >= since and block.may_hold(marks):
            yield block.start, block.length
    yield (blocks[-1].end if blocks else 0), -1


def _records(file: BufferedIOBase, stretch: tuple[int, int], wanted: re.Pattern[bytes]) -> Iterator[Record]:
    for text in _pieces(file, *stretch):
        for line in _lines(text, wanted):
            try:
                yield parse_record(line)
            except NotARecord:
                continue  # somebody else wrote into the file


def _pieces(file: BufferedIOBase, start: int, length: int) -> Iterator[bytes]:
    """The text of a stretch, in pieces of whole lines."""
    file.seek(start)
    rest = b""
    while length and (octets := file.read(_PIECE if length < 0 else min(length, _PIECE))):
        length -= len(octets) if length > 0 else 0
        lines, line_feed, rest = (rest + octets).rpartition(b"\n")
        yield lines + line_feed
    yield rest


def _lines(text: bytes, wanted: re.Pattern[bytes]) -> Iterator[bytes]:
    """The lines in which it stands, each once."""
    position = 0
    while (found := wanted.search(text, position)) is not None:
        start = text.rfind(b"\n", 0, found.start()) + 1
        line_feed = text.find(b"\n", found.end())
        position = line_feed if line_feed >= 0 else len(text)
        yield text[start:position]


def _pattern(words: Sequence[str]) -> re.Pattern[bytes]:
    """Any of these where a value or an element of a list may begin and end."""
    forms = {escaped(word) for word in words} | {escaped(word).replace(",", "\\x2c") for word in words}
    written = b"|".join(re.escape(form.encode("utf-8", "surrogateescape")) for form in sorted(forms))
    return re.compile(rb'(?<=[=,"<])(?:' + written + rb')(?=[ ,">\n]|$)', re.IGNORECASE)


def _open(path: Path) -> BufferedIOBase:
    decompressing = _COMPRESSED.get(path.suffix)
    return decompressing(path) if decompressing else path.open("rb")


def _literal(name: str) -> str:
    """A name as a pattern of glob that means only itself."""
    return re.sub(r"([*?[])", r"[\1]", name)
