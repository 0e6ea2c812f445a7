"""What a report returns of the message it is about: its header, or all of it (RFC 3461 4.3, 6.2).

Nothing in the message is understood but where its header ends. It may come from anybody and be anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mta.relay.reporting.mime import Part, fits, with_lf

MESSAGE_LIMIT: Final = 50_000
"""Octets of the longest message that is returned whole."""
HEADER_LIMIT: Final = 32_768
"""Octets of a header that are returned."""


@dataclass(frozen=True, slots=True)
class Original:
    """The beginning of a message: all of it, or at least MESSAGE_LIMIT octets."""

    octets: bytes
    size: int
    """Octets of the whole message."""


def returned(original: Original, *, full: bool) -> Part:
    """The part that returns the message if `full` and if it can be sent as it is, or else its header."""
    text = with_lf(original.octets)
    header = _header(text)
    if full and len(original.octets) == original.size <= MESSAGE_LIMIT and fits(text):
        if header.isascii():
            return Part("message/rfc822", text, "Your message")
        if _is_utf8(header):
            return Part("message/global", text, "Your message")
    # A header that is neither ASCII nor UTF-8 says nothing of what it is.
    is_global = _is_utf8(header) and not header.isascii()
    kind = "message/global-headers" if is_global else "text/rfc822-headers"
    return Part(kind, header, "Header of your message")


def is_whole(part: Part) -> bool:
    """Whether it is the message, not its header."""
    return part.type in ("message/rfc822", "message/global")


def _header(text: bytes) -> bytes:
    """Whole lines of it."""
    if text.startswith(b"\n"):
        return b""
    header = text[: text.find(b"\n\n") + 1] or text
    if len(header) <= HEADER_LIMIT:
        return header
    return header[: header.rfind(b"\n", 0, HEADER_LIMIT) + 1] or header[:HEADER_LIMIT]


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
