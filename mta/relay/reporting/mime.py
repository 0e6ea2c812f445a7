"""The little MIME that reports are made of (RFC 2045, RFC 2046): fields, parts, and the border between them.

Whatever a value holds, what leaves is well formed: no field has a line end or a control character that was
not put there to fold it, no line is longer than 998 octets, no CR or LF stands alone, and no part contains
the border (RFC 5322 2.1.1, 2.3). Line ends are LF here.
"""

from __future__ import annotations

import quopri
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

LINE_LIMIT: Final = 998
_WIDTH: Final = 78
_WORD_LIMIT: Final = 900
"""Octets of a word in a field; a longer one, which no address is, is cut."""
_CUT: Final = 220
"""Characters, which are at most 880 octets."""

_word = re.compile(r" *[^ ]+")


def shown(text: str) -> str:
    """`text` in printable characters. Any other shows as an escape, line ends and what turns the direction of
    writing among them."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def field(name: str, value: str) -> str:
    """A header field with its line end, folded at blanks where it is long; unfolding gives the value as it
    was."""
    lines = [f"{name}:"]
    for word in _words(" " + shown(value).strip(" ")):
        if len(lines[-1]) + len(word) > _WIDTH and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += word
    return "\n".join(lines) + "\n"


def _words(text: str) -> Iterator[str]:
    """Each with the blanks before it."""
    for word in _word.findall(text):
        if len(word.encode()) <= _WORD_LIMIT:
            yield word
        else:
            bare = word.lstrip(" ")
            yield from (" " + bare[at : at + _CUT] for at in range(0, len(bare), _CUT))


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message."""

    type: str
    """Content type, with its parameters."""
    octets: bytes
    description: str

    @property
    def encoding(self) -> str:
        """How it is carried: as it is, if lines and octets allow."""
        if not fits(self.octets):
            return "quoted-printable"
        return "7bit" if self.octets.isascii() else "8bit"

    def written(self) -> bytes:
        """Header, blank line, body; a line end behind it."""
        encoding = self.encoding
        header = (
            field("Content-Type", self.type)
            + field("Content-Description", self.description)
            + field("Content-Transfer-Encoding", encoding)
        )
        body = quopri.encodestring(self.octets) if encoding == "quoted-printable" else self.octets
        return header.encode() + b"\n" + body + (b"" if body.endswith(b"\n") else b"\n")


def fits(octets: bytes) -> bool:
    """Whether a part of these octets can be sent without being encoded."""
    return b"\0" not in octets and b"\r" not in octets and max(map(len, octets.split(b"\n"))) <= LINE_LIMIT


def with_lf(octets: bytes) -> bytes:
    """The octets with every line end, of whatever kind, as LF."""
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def message(fields: Iterable[str], parts: Sequence[Part], *, subtype: str) -> bytes:
    """A multipart message. `fields` are those above, as `field` writes them; `subtype` stands behind
    `multipart/`, with its parameters."""
    written = [part.written() for part in parts]
    border = _border(written)
    eightbit = any(part.encoding == "8bit" for part in parts)
    header = [
        *fields,
        field("MIME-Version", "1.0"),
        field("Content-Type", f'multipart/{subtype}; boundary="{border}"'),
        field("Content-Transfer-Encoding", "8bit" if eightbit else "7bit"),
    ]
    line = b"\n--%b" % border.encode("ascii")
    return "".join(header).encode() + b"".join(line + b"\n" + each for each in written) + line + b"--\n"


def _border(written: Iterable[bytes]) -> str:
    """One that nothing in the parts looks like, even if somebody tried."""
    octets = b"\n".join(written)
    return next(border for number in count() if (border := f"=_report_{number}_").encode() not in octets)
