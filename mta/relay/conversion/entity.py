"""What the header of a MIME entity says of its body (RFC 2045 5, 6): the little that a conversion must know.

A header comes from anybody. Who reads it otherwise than the reader at the other end would damage the message,
so what can be read in two ways is Unreadable. No regular expression here goes over an octet more than a few
times, whatever stands there. Line ends are CRLF.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

CRLF: Final = b"\r\n"

_field = re.compile(rb"([!-9;-~]+):(.*)", re.DOTALL).fullmatch
_token = rb"[!#-'*+\-.0-9A-Z^-~]+"
_type = re.compile(rb"[ \t]*(%b)[ \t]*/[ \t]*(%b)[ \t]*" % (_token, _token)).match
_parameter = re.compile(
    rb';[ \t]*(?:(%b)[ \t]*=[ \t]*(?:(%b)|"((?:[^"\\]|\\.)*)")[ \t]*)?' % (_token, rb"[^ \t;\"()]+"),
    re.DOTALL,
).match
_escape = re.compile(rb"\\(.)", re.DOTALL)
_pieces = re.compile(rb'\\.|[()"]|[^\\()"]+|\\', re.DOTALL).findall
_token_alone = re.compile(rb"[ \t]*(%b)[ \t]*" % _token).fullmatch
_MOST_COMMENTS: Final = 100


class Unreadable(Exception):
    """The header can be understood in two ways, or not at all; the text says what is wrong with it."""


class Kind(NamedTuple):
    """A content type, lower case."""

    type: str
    subtype: str
    boundary: bytes = b""
    """Of a multipart; empty when it names none."""


TEXT: Final = Kind("text", "plain")
MESSAGE: Final = Kind("message", "rfc822")


class Entity:
    """A header and its body, taken apart."""

    __slots__ = ("_lines", "body", "has_ascii_header")

    def __init__(self, octets: bytes) -> None:
        """Unreadable: nobody can say where its header ends."""
        header, self.body = _halves(octets)
        self.has_ascii_header = header.isascii()
        self._lines = _unfolded(header)
        """Its fields as they stand there, folds and all, each with its line end."""
        if not all(map(_field, self._lines)):
            raise Unreadable("a line in a header that is no field")

    def value(self, name: bytes) -> bytes | None:
        """The value of a field, unfolded; None: there is none. Unreadable: there are two."""
        values = [value for found, value in self._fields() if found == name]
        if len(values) > 1:
            raise Unreadable(f"two fields of the name {name.decode('ascii')}")
        return values[0] if values else None

    def kind(self, usual: Kind) -> Kind:
        """Its content type; `usual` when it tells none."""
        value = self.value(b"content-type")
        return usual if value is None else parse_kind(value)

    @property
    def encoding(self) -> str:
        """Its transfer encoding, lower case; `7bit` when it tells none (RFC 2045 6.1)."""
        value = self.value(b"content-transfer-encoding")
        if value is None:
            return "7bit"
        found = _token_alone(_without_comments(value))
        if found is None:
            raise Unreadable("the transfer encoding")
        return found[1].decode("ascii").lower()

    def written(self, body: bytes, encoding: str, *, more: bytes = b"") -> bytes:
        """It with another body, which has this transfer encoding, and `more` fields."""
        name = b"content-transfer-encoding"
        kept = b"".join(line for line in self._lines if _name(line) != name)
        label = b"Content-Transfer-Encoding: %b\r\n" % encoding.encode("ascii")
        return kept + more + label + CRLF + body

    def _fields(self) -> Iterator[tuple[bytes, bytes]]:
        for line in self._lines:
            found = _field(line)
            if found is not None:
                yield found[1].lower(), found[2].replace(CRLF, b"")


def parse_kind(value: bytes) -> Kind:
    """The value of a Content-Type field. Unreadable: it is not well formed."""
    value = _without_comments(value)
    found = _type(value)
    if found is None:
        raise Unreadable("the content type")
    main, sub = found[1].decode("ascii").lower(), found[2].decode("ascii").lower()
    return Kind(main, sub, _boundary(value, found.end()) if main == "multipart" else b"")


def _boundary(value: bytes, at: int) -> bytes:
    boundaries = []
    while at < len(value):
        found = _parameter(value, at)
        if found is None:
            raise Unreadable("the parameters of the content type")
        at = found.end()
        if found[1] and found[1].lower() == b"boundary":
            boundaries.append(found[2] or _escape.sub(rb"\1", found[3] or b""))
    if len(boundaries) > 1:
        raise Unreadable("two boundaries")
    return boundaries[0].rstrip() if boundaries else b""


def _without_comments(value: bytes) -> bytes:
    """RFC 5322 3.2.2. Each becomes a blank."""
    if b"(" not in value:
        return value
    kept, depth, comments, quoted = bytearray(), 0, 0, False
    for part in _pieces(value):
        if part == b'"' and not depth:
            quoted = not quoted
        if quoted or (part not in b"()" and not depth):
            kept += part
        elif part == b"(":
            depth += 1
            comments += 1
        elif part == b")":
            depth -= 1
            kept += b" "
        if depth < 0 or comments > _MOST_COMMENTS:
            raise Unreadable("the comments of a field")
    if depth:
        raise Unreadable("a comment without an end")
    return bytes(kept)


def _halves(octets: bytes) -> tuple[bytes, bytes]:
    """Header, with the end of its last line, and body."""
    if octets.startswith(CRLF):
        return b"", octets[2:]
    end = octets.find(b"\r\n\r\n")
    if end < 0:
        return octets.removesuffix(CRLF) + CRLF if octets else b"", b""
    return octets[: end + 2], octets[end + 4 :]


def _unfolded(header: bytes) -> list[bytes]:
    """A field's lines together: a fold is a line end before a blank (RFC 5322 2.2.3)."""
    fields: list[bytes] = []
    folded: list[bytes] = []
    for line in header.splitlines(keepends=True):
        if folded and not line.startswith((b" ", b"\t")):
            fields.append(b"".join(folded))
            folded = []
        folded.append(line)
    return [*fields, b"".join(folded)] if folded else fields


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0].rstrip(b" \t").lower()
