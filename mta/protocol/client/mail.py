"""The text of a message on its way out: whatever its line ends were, they are CRLF, and what ends it stands
there once.

Smuggling lives on the difference between what one host writes and what the next one takes for an end (a CR
or LF alone around a dot). So line ends are made CRLF first, of whatever kind they were, and dots are doubled
after that (RFC 5321 4.5.2, 2.3.8), over the borders of pieces too: what leaves has no CR or LF outside of
CRLF, and no line that begins with a single dot but the last. All other octets are left alone.
"""

from __future__ import annotations

from typing import Final

CRLF: Final = b"\r\n"


class OutgoingText:
    """One message, given in pieces of any size."""

    __slots__ = ("_at_line_start", "_cr", "_dotted")

    def __init__(self, *, dotted: bool) -> None:
        """`dotted`: for DATA, which ends at a dot; else for BDAT, which is counted."""
        self._dotted = dotted
        self._at_line_start = True
        self._cr = False
        """The last piece ended in a CR: whether an LF belongs to it is not known yet."""

    def piece(self, octets: bytes, *, last: bool) -> bytes:
        """The next piece as it goes over the wire; the last one with all that is needed behind it."""
        if self._cr:
            octets = b"\r" + octets
        self._cr = not last and octets.endswith(b"\r")
        text = _with_crlf(octets[:-1] if self._cr else octets)
        if self._dotted:
            text = self._stuffed(text)
        if text:
            self._at_line_start = text.endswith(CRLF)
        return text + self._end() if last else text

    def _stuffed(self, text: bytes) -> bytes:
        if self._at_line_start and text.startswith(b"."):
            text = b"." + text
        return text.replace(b"\r\n.", b"\r\n..")

    def _end(self) -> bytes:
        return (b"" if self._at_line_start else CRLF) + (b".\r\n" if self._dotted else b"")


def _with_crlf(octets: bytes) -> bytes:
    """Most text is right as it is, and counting shows it several times faster than rewriting it."""
    pairs = octets.count(CRLF)
    if pairs == octets.count(b"\n") == octets.count(b"\r"):
        return octets
    lines = octets.splitlines()  # of bytes: at CR, LF and CRLF, nowhere else
    if octets.endswith((b"\r", b"\n")):
        lines.append(b"")
    return CRLF.join(lines)
