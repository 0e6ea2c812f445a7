"""The text of a message: where it ends, and whether its lines are lines.

A text knows where it ends: DottedText at CRLF.CRLF (RFC 5321 4.1.1.4), ChunkedText when its chunks are
full (RFC 3030). Both hold octets until they are handed out: a small message whole, a larger one in pieces
that end where a line ends. Content judges the pieces: only CRLF ends a line (2.3.8), the size, the number
of Received lines (6.3). An error is remembered, never acted on before the true end: no octet of a refused
message can become a command.

The two hot calls were chosen by measurement: a regular expression finds CRLF-dot in a third of the time
of bytes.find, and splitting into lines and joining them is twice as fast as replacing CRLF by LF.
"""

from __future__ import annotations

import re
from typing import Final

from mta.protocol import replies
from mta.protocol.events import Text
from mta.protocol.replies import Reply

END: Final = b"\r\n.\r\n"
HOP_LIMIT: Final = 100
"""Received lines that a message may have (RFC 5321 6.3)."""
SWALLOW: Final = 10
"""A message longer than so many times the limit is not swallowed to its end; the session is closed."""
PARTS: Final = 64
"""Portions held before they are joined, so that a client who sends octet by octet costs no object for
each."""
CONTEXT: Final = 2
"""Octets before a piece that show whether it begins a line."""
LINE_PIECE: Final = 1024
"""A line shorter than this is never handed out in parts, so that a header name is always seen whole."""

_line_with_dot = re.compile(rb"\r\n\.").search


class Content:
    """Judges the pieces of one message, in order."""

    __slots__ = ("_hops", "_in_header", "_limit", "_line_start", "_torn", "size")

    def __init__(self, limit: int) -> None:
        """`limit`: octets that the message may have, line ends as CRLF (RFC 1870 5)."""
        self._limit = limit
        self._torn = False
        """A CR or LF stood alone."""
        self._hops = 0
        self._in_header = True
        self._line_start = b"\n"
        """What stands before the next piece, as far as a header line is concerned: a line end, or nothing."""
        self.size = 0

    def judge(self, octets: bytes) -> bytes:
        """The piece with LF line ends. Errors are remembered for `fault`."""
        self.size += len(octets)
        if self.size > self._limit or not octets:
            return b""
        lines = octets.splitlines()
        ended = octets.endswith((b"\n", b"\r"))
        if ended:
            lines.append(b"")
        text = b"\n".join(lines)
        # bytes.splitlines ends lines at CR, LF and CRLF only: if all were CRLF, each has lost one octet.
        if len(octets) - len(text) != len(lines) - 1:
            self._torn = True
        if self._in_header:
            self._count_hops(text)
            self._line_start = b"\n" if ended else b""
        return text

    def _count_hops(self, text: bytes) -> None:
        """Received lines of the header; a folded line counts once, the body not at all."""
        text = self._line_start + text
        end = text.find(b"\n\n")
        if end >= 0:
            self._in_header = False
            text = text[:end]
        self._hops += text.lower().count(b"\nreceived:")

    @property
    def fault(self) -> Reply | None:
        """Why the message is refused. A fixed rank, so that the reply does not depend on how octets
        arrived."""
        if self.size > self._limit:
            return replies.TOO_BIG
        if self._torn:
            return replies.BARE_LINE_END
        return replies.LOOP if self._hops > HOP_LIMIT else None


class ChunkedText:
    """The text of a message sent in chunks, and what the text after DATA has in common with it."""

    __slots__ = ("_content", "_held", "_waiting", "refusal")

    def __init__(self, limit: int) -> None:
        """`limit`: octets that the message may have."""
        self._content = Content(limit)
        self._held: list[bytes] = []
        self._waiting = 0
        """Octets held."""
        self.refusal: Reply | None = None
        """The host's reason to refuse the message, whatever it turns out to be."""

    @property
    def size(self) -> int:
        """Octets of the message so far, line ends as CRLF."""
        return self._content.size + self._waiting

    @property
    def fault(self) -> Reply | None:
        """Why the message is to be refused, as far as its pieces have been looked at."""
        return self.refusal or self._content.fault

    def keep(self, octets: bytes) -> None:
        """Holds octets of the text until they are taken."""
        self._held.append(octets)
        self._waiting += len(octets)
        if len(self._held) == PARTS:
            self._held = [b"".join(self._held)]

    def piece(self, hold: int) -> Text | None:
        """When more than `hold` octets wait: those that can be judged by themselves, whole lines or a
        part of a very long one. None when there is nothing to hand out, or nothing worth it any more."""
        if self._waiting <= hold:
            return None
        octets = self._take()
        text = self._content.judge(octets)
        return Text(octets, text, False) if octets and self.fault is None else None

    def last_piece(self) -> Text:
        """The rest, once the end has come."""
        octets = self._take_all()
        return Text(octets, self._content.judge(octets), True)

    def _take(self) -> bytes:
        octets = b"".join(self._held)
        cut = _cut(octets)
        self._hold(octets[cut:])
        return octets[:cut]

    def _take_all(self) -> bytes:
        octets = b"".join(self._held)
        self._hold(b"")
        return octets

    def _hold(self, octets: bytes) -> None:
        self._held = [octets]
        self._waiting = len(octets)


class DottedText(ChunkedText):
    """Text that ends at CRLF.CRLF, its lines stuffed with dots.

    What is searched begins with the last octets searched before, at first with the CRLF of the DATA line;
    and what is held begins with the two octets before it. So it makes no difference in what portions a text
    arrives, nor in what pieces it leaves."""

    __slots__ = ("_bound", "_stuffed", "_tail", "_total")

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._bound = SWALLOW * limit
        self._tail = b"\r\n"
        self._stuffed = False
        """A line began with a dot; otherwise there is nothing to take out."""
        self._total = 0
        """Octets seen, stuffed dots included."""

    @property
    def is_endless(self) -> bool:
        return self._total > self._bound

    def feed(self, octets: bytes) -> bytes | None:
        """The octets behind the end of the text; None while the end has not come."""
        self._total += len(octets)
        window = self._tail + octets
        found = _line_with_dot(window)
        end = -1 if found is None else window.find(END, found.start())
        if found is not None and found.start() != end:
            self._stuffed = True
        if end < 0:
            self.keep(window[:-4])
            self._tail = window[-4:]
            return None
        self.keep(window[: end + 2])
        return window[end + 5 :]

    def _take(self) -> bytes:
        octets = b"".join(self._held)
        cut = CONTEXT + _cut(octets[CONTEXT:])
        if cut == CONTEXT:
            return b""
        self._hold(octets[cut - CONTEXT :])
        return self._unstuffed(octets[:cut])

    def _take_all(self) -> bytes:
        octets = b"".join(self._held)
        self._hold(b"")
        return self._unstuffed(octets)

    def _unstuffed(self, octets: bytes) -> bytes:
        """Without the context, and without the first dot of each line (RFC 5321 4.5.2)."""
        return (octets.replace(b"\r\n.", b"\r\n") if self._stuffed else octets)[CONTEXT:]


def _cut(octets: bytes) -> int:
    """Where whole lines end; in a very long line anywhere but between CR and LF."""
    end = octets.rfind(b"\r\n")
    if end >= 0:
        return end + 2
    return len(octets) - octets.endswith(b"\r") if len(octets) > LINE_PIECE else 0
