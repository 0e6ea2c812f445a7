"""The surrogate of an internationalized header for clients that have not said UTF8 (RFC 6856 2.1, after the
simple way of RFC 6858): the same message, its header in ASCII.

Names of people and texts become encoded words (RFC 2047). An address that is not ASCII becomes an empty group
that shows it. In fields of MIME what is not ASCII becomes question marks, and fields of other syntax that
hold such octets are left out. The body stays as it is, and so does a header that is not UTF-8, as it is no
internationalized one but only wrong.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Final

_END: Final = re.compile(rb"\n\r?\n")
_FIELD: Final = re.compile(r"([!-9;-~]+)[ \t]*:(.*(?:\n[ \t].*)*)\n?")
_MAILBOX: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_WITH_NAME: Final = re.compile(r"(.*)<([^<>]*)>\s*", re.DOTALL)

_ADDRESSES: Final = frozenset(
    (
        *("from", "sender", "reply-to", "to", "cc", "bcc", "disposition-notification-to"),
        *("resent-from", "resent-sender", "resent-to", "resent-cc", "resent-bcc"),
    )
)
_TEXTS: Final = frozenset(("subject", "comments", "keywords", "content-description"))
_WORD: Final = 33
"""Octets of UTF-8 in one encoded word, so that a line of it has at most 76 (RFC 2047 2)."""


def surrogate(octets: bytes) -> bytes:
    """The beginning of a message, with LF or CRLF line ends; the header changed if it has to be, and if all
    of it is there."""
    end = 0 if octets.startswith((b"\n", b"\r\n")) else _end_of_header(octets)
    header = octets[:end]
    if header.isascii():
        return octets
    try:
        text = header.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return octets
    return "".join(_fields(text)).encode("ascii", "replace") + octets[end:]


def _end_of_header(octets: bytes) -> int:
    found = _END.search(octets)
    return found.start() + 1 if found else 0


def _fields(header: str) -> Iterator[str]:
    for found in _FIELD.finditer(header):
        name, value = found[1], found[2].strip()
        if found[0].isascii():
            yield found[0]
        elif (shown := _shown(name.lower(), value)) is not None:
            yield f"{name}: {shown}\n"


def _shown(name: str, value: str) -> str | None:
    """The value in ASCII; None when there is no way."""
    if name in _ADDRESSES:
        return ",\n ".join(map(_mailbox, _MAILBOX.findall(value)))
    if name in _TEXTS or name.startswith("x-"):
        return _encoded(value)
    return value.encode("ascii", "replace").decode("ascii") if name.startswith("content-") else None


def _mailbox(text: str) -> str:
    text = text.strip()
    if text.isascii():
        return text
    found = _WITH_NAME.fullmatch(text)
    if found is not None and found[2].isascii() and ":" not in found[1]:
        name = found[1].strip(' "')
        return f"{_encoded(name)} <{found[2]}>"
    return f"{_encoded(text)} :;"


def _encoded(text: str) -> str:
    """Encoded words, one on each line."""
    return "\n ".join(_words(" ".join(text.split())))


def _words(text: str) -> Iterator[str]:
    word = ""
    for character in text:
        if len((word + character).encode("utf-8")) > _WORD:
            yield _word(word)
            word = ""
        word += character
    yield _word(word)


def _word(text: str) -> str:
    return f"=?utf-8?b?{b64encode(text.encode('utf-8')).decode('ascii')}?="
