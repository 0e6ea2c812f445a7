"""The text of a message on the wire: from a file with LF line ends, piece by piece (RFC 1939 3).

Line ends become CRLF, a dot that begins a line is doubled, a text that does not end a line is given an end,
and a line with a dot alone closes it. A file that another program stored with CRLF is sent as it is; a CR
that ends no line is a character like any other. Everything is done by `bytes.replace`, a gigabyte in about a
second.

`added_octets` finds the size that LIST tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_END_OF_HEADER: Final = re.compile(rb"\n\r?\n")


class WireText:
    """One message on its way out."""

    __slots__ = ("_at_line_start", "_cr", "_lines", "_tail", "ended")

    def __init__(self, lines: int | None = None) -> None:
        """`lines`: send the header, the empty line below it and so many more (TOP); None: all."""
        self._lines = None if lines is None else _Top(lines)
        self._at_line_start = True
        self._cr = b""
        """A CR at the end of a piece, which may be the first half of a line end."""
        self.ended = False
        """No more is wanted: the text is complete, or has all the lines that were asked for."""

    def feed(self, octets: bytes) -> bytes:
        """What is to be sent for this piece of the file."""
        if self._lines is not None:
            octets = self._lines.cut(octets)
            self.ended = self._lines.reached
        return self._wire(octets)

    def finish(self) -> bytes:
        """The end of the file is reached, or no more is wanted."""
        self.ended = True
        rest, self._cr = self._cr, b""
        return rest + (b".\r\n" if self._at_line_start and not rest else b"\r\n.\r\n")

    def _wire(self, octets: bytes) -> bytes:
        if self._cr or octets.endswith(b"\r"):
            octets = self._cr + octets
            self._cr = b"\r" if octets.endswith(b"\r") else b""
            octets = octets.removesuffix(self._cr)
        if not octets:
            return b""
        dotted = self._at_line_start and octets.startswith(b".")
        self._at_line_start = octets.endswith(b"\n")
        octets = with_crlf(octets.replace(b"\n.", b"\n.."))
        return b"." + octets if dotted else octets


class _Top:
    """Finds the end of the header, then counts lines."""

    __slots__ = ("_in_header", "_left", "_seen", "reached")

    def __init__(self, lines: int) -> None:
        self._left = lines
        self._in_header = True
        self._seen = b"\n"
        """The last octets of the header, in which its end may have begun; a text begins behind a line end."""
        self.reached = False

    def cut(self, octets: bytes) -> bytes:
        """The part of this piece that belongs to what was asked for."""
        start = self._start_of_body(octets) if self._in_header else 0
        return octets if self._in_header else octets[: self._end_of_lines(octets, start)]

    def _start_of_body(self, octets: bytes) -> int:
        searched = self._seen + octets
        found = _END_OF_HEADER.search(searched)
        if found is None:
            self._seen = searched[-2:]
            return len(octets)
        self._in_header = False
        return found.end() - len(self._seen)

    def _end_of_lines(self, octets: bytes, start: int) -> int:
        while self._left:
            end = octets.find(b"\n", start)
            if end < 0:
                return len(octets)
            start = end + 1
            self._left -= 1
        self.reached = True
        return start


def whole_text(octets: bytes) -> bytes:
    """All that `WireText` makes of a whole file, for small ones in a third of the time."""
    text = with_crlf(octets.replace(b"\n.", b"\n.."))
    end = b".\r\n" if not text or text.endswith(b"\n") else b"\r\n.\r\n"
    return b".%b%b" % (text, end) if text.startswith(b".") else text + end


def with_crlf(octets: bytes) -> bytes:
    """Whole line ends in, CRLF line ends out."""
    if b"\r" in octets:
        octets = octets.replace(b"\r\n", b"\n")
    return octets.replace(b"\n", b"\r\n")


def added_octets(pieces: Iterable[bytes]) -> int:
    """How many octets the line ends of a file add to its size on the wire, not counting doubled dots and the
    closing line. Where the file has a hole, one NUL may stand for all of it."""
    added, last = 0, b"\n"
    for piece in pieces:
        added += piece.count(b"\n") - piece.count(b"\r\n")
        if last == b"\r" and piece.startswith(b"\n"):
            added -= 1
        last = piece[-1:] or last
    return added if last == b"\n" else added + 2
