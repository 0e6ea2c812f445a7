"""A text of eight bits as one of seven, for a host that does not know 8BITMIME (RFC 6152 3).

    a leaf                                 quoted-printable, or base64 where that is shorter
    multipart, message/rfc822              their insides are converted, their label becomes 7bit
    multipart/signed, multipart/encrypted  never touched (RFC 1847 2.1): eight bits inside are Unconvertible
    a header with eight bits               Unconvertible: there is no one way to write it (RFC 6532 3.1)

What is converted decodes to what it was, octet for octet, line ends being CRLF. Parts that have no need of it
stay as they are. Lines of more than 998 octets are cured in passing, but are no reason to change a text: a
change breaks the signatures that a message has (RFC 6376 5.3), and lines that long pass nearly everywhere.

Pure, and bounded by what comes in: so many levels, so many parts.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from mta.protocol.client.mail import OutgoingText
from mta.relay.conversion.entity import CRLF, MESSAGE, TEXT, Entity, Kind, Unreadable

MOST_LEVELS: Final = 30
MOST_PARTS: Final = 10_000
"""Of one multipart."""
_LINE: Final = 998
"""Octets of a line without its end (RFC 5322 2.1.1)."""
_IDENTITY: Final = ("7bit", "8bit", "binary")
_UNTOUCHED: Final = ("signed", "encrypted")
_UNKNOWN: Final = b"Content-Type: text/plain; charset=unknown-8bit\r\n"
"""For octets of which nobody says what they mean (RFC 1428 3)."""
_VERSION: Final = b"MIME-Version: 1.0\r\n"
"""Without it nothing else that a header says of a body counts (RFC 2045 4)."""
_CLOSING: Final = b"--"


class Unconvertible(Exception):
    """The text cannot be written in seven bits and stay what it is; the words say why."""


def to_seven_bits(text: bytes) -> bytes:
    """The text, whatever its line ends, in seven bits and CRLF. Raises Unconvertible."""
    try:
        return _in_crlf(_convert(_in_crlf(text), TEXT, 0, is_message=True))
    except Unreadable as unreadable:
        raise Unconvertible(f"its MIME structure is not clear: {unreadable}") from unreadable


def _in_crlf(text: bytes) -> bytes:
    return OutgoingText(dotted=False).piece(text, last=True)


def _convert(octets: bytes, usual: Kind, level: int, *, is_message: bool = False) -> bytes:
    """One entity. `usual`: what it is when it does not say."""
    if level > MOST_LEVELS:
        raise Unconvertible(f"parts within parts, more than {MOST_LEVELS} deep")
    entity = Entity(octets)
    if not entity.has_ascii_header:
        raise Unconvertible("a header holds octets above 127")
    kind = entity.kind(usual)
    more = _VERSION if is_message and entity.value(b"mime-version") is None else b""
    if kind.type == "multipart" or kind == MESSAGE:
        return _composite(entity, octets, kind, level, more)
    return _leaf(entity, octets, kind, more)


def _composite(entity: Entity, octets: bytes, kind: Kind, level: int, more: bytes) -> bytes:
    if kind.subtype in _UNTOUCHED:
        return _untouched(octets, f"a part is {kind.subtype}, and must not be changed")
    if entity.encoding not in _IDENTITY:  # not allowed (RFC 2045 6.4): what is inside cannot be seen
        return _untouched(octets, f"a {kind.type} that is itself encoded")
    if kind == MESSAGE:
        body = _convert(entity.body, TEXT, level + 1, is_message=True)
    else:
        body = _parts(entity.body, kind, level)
    return entity.written(body, "7bit", more=more)


def _untouched(octets: bytes, why: str) -> bytes:
    """As it is, if that will do."""
    if not octets.isascii():
        raise Unconvertible(why)
    return octets


def _parts(body: bytes, kind: Kind, level: int) -> bytes:
    """The body of a multipart (RFC 2046 5.1.1), part by part. What stands before the first and behind the
    last is for nobody: it may be left out."""
    if not kind.boundary:
        return _untouched(body, "a multipart without a boundary")
    usual = MESSAGE if kind.subtype == "digest" else TEXT
    dashes = b"--" + kind.boundary
    (_, preamble), *pieces = _split(body, dashes)
    if not pieces or pieces[0][0]:
        return _untouched(body, "a multipart without parts")
    written = [_if_ascii(preamble)]
    for behind, piece in pieces:
        written += [dashes, behind, CRLF, _if_ascii(piece) if behind else _part(piece, usual, level + 1)]
    return b"".join(written)


def _part(octets: bytes, usual: Kind, level: int) -> bytes:
    """The line end before a delimiter belongs to the delimiter."""
    return _convert(octets.removesuffix(CRLF), usual, level) + CRLF


def _if_ascii(octets: bytes) -> bytes:
    return octets if octets.isascii() else b""


def _split(body: bytes, dashes: bytes) -> list[tuple[bytes, bytes]]:
    """What stands between the delimiter lines, each with the dashes behind the boundary in the line before
    it: none, or two in the last such line (and in the first piece, which has no line)."""
    pieces: list[tuple[bytes, bytes]] = []
    behind, start, at = _CLOSING, 0, 0
    while (at := _line_of(body, dashes, at)) >= 0:
        end = _end_of_line(body, at)
        rest = body[at + len(dashes) : end].strip()
        if rest in (b"", _CLOSING):
            pieces.append((behind, body[start:at]))
            behind, start = rest, end
        if len(pieces) > MOST_PARTS:
            raise Unconvertible(f"more than {MOST_PARTS} parts")
        if pieces and behind:
            break
        at = end - len(CRLF)  # the next delimiter may begin with this very line end
    return [*pieces, (behind, body[start:])]


def _line_of(body: bytes, dashes: bytes, at: int) -> int:
    """Where the next line begins that begins so, from `at` on, or -1."""
    if at == 0 and body.startswith(dashes):
        return 0
    found = body.find(CRLF + dashes, at)
    return found + len(CRLF) if found >= 0 else -1


def _end_of_line(body: bytes, at: int) -> int:
    found = body.find(CRLF, at)
    return found + len(CRLF) if found >= 0 else len(body)


# leaves


def _leaf(entity: Entity, octets: bytes, kind: Kind, more: bytes) -> bytes:
    encoding, body = entity.encoding, entity.body
    if encoding not in _IDENTITY:
        return _untouched(octets, f"a part says that it is {encoding}, and is not")
    if body.isascii() and not _has_long_line(body):
        return octets if encoding == "7bit" else entity.written(body, "7bit", more=more)
    if kind.type == "message" and not kind.subtype.startswith("global"):
        return _untouched(octets, f"message/{kind.subtype} must not be encoded")  # RFC 2046 5.2
    more += _meaning(entity, kind)
    if kind.type == "text" and _is_mostly_ascii(body):
        return entity.written(_quoted(body), "quoted-printable", more=more)
    return entity.written(_base64(body), "base64", more=more)


def _meaning(entity: Entity, kind: Kind) -> bytes:
    is_told = entity.value(b"content-type") is not None
    return b"" if is_told or entity.body.isascii() or kind != TEXT else _UNKNOWN


def _is_mostly_ascii(body: bytes) -> bool:
    """Quoted-printable makes three octets of one above 127, base64 four of any three."""
    above = len(body) - len(body.translate(None, _ABOVE))
    return above * 6 <= len(body)


_ABOVE: Final = bytes(range(128, 256))


def _has_long_line(body: bytes) -> bool:
    start = 0
    while len(body) - start > _LINE:
        end = body.rfind(CRLF, start, start + _LINE + len(CRLF))
        if end < 0:
            return True
        start = end + len(CRLF)
    return False


def _quoted(body: bytes) -> bytes:
    return binascii.b2a_qp(body.replace(CRLF, b"\n")).replace(b"\n", CRLF)


def _base64(body: bytes) -> bytes:
    return base64.encodebytes(body).replace(b"\n", CRLF)
