"""Command lines before anybody asks what they mean: how long, of which octets, in whose language."""

from __future__ import annotations

from typing import Final

from mta.protocol import replies
from mta.protocol.replies import Reply

LINE_LIMIT: Final = 2046
"""Octets of a command without its CRLF. RFC 5321 4.5.3.1.4 asks for 510, extensions for some more."""
LINE_BOUND: Final = 16384
"""A line that does not end within so many octets ends the session. AUTH has the longest (RFC 4954 4)."""

_CONTROLS: Final = bytes(range(32)) + b"\x7f"
_FOREIGN_VERBS: Final = frozenset(b"GET POST PUT HEAD CONNECT OPTIONS DELETE PATCH TRACE PRI".split())
_TLS_HELLO: Final = b"\x16\x03"


def is_clean(line: bytes) -> bool:
    """Not too long, no control character; so no CR or LF alone either (RFC 5321 2.3.8)."""
    return len(line) <= LINE_LIMIT and len(line.translate(None, _CONTROLS)) == len(line)


def begins_tls(octets: bytes, start: int = 0) -> bool:
    """A TLS hello, which has no line end to wait for."""
    return octets.startswith(_TLS_HELLO, start)


def is_foreign(line: bytes) -> bool:
    """The first words of HTTP, SSH or TLS: a browser made to talk to us, or a scanner."""
    word = line.partition(b" ")[0].upper()
    return word in _FOREIGN_VERBS or word.startswith(b"SSH-") or begins_tls(line)


def fault_of(line: bytes) -> Reply:
    """The reply to a line that is no command of ours."""
    if len(line) > LINE_LIMIT:
        return replies.LINE_TOO_LONG
    if not is_clean(line):
        return replies.BAD_OCTETS
    word = line.partition(b" ")[0].upper()
    if not (word.isalnum() and word.isascii()):
        return replies.NOT_A_COMMAND
    return replies.UNKNOWN_PRIVATE if word.startswith(b"X") else replies.UNKNOWN
