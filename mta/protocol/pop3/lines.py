"""Lines of POP3 before anybody asks what they mean: how long they are, and of which octets."""

from __future__ import annotations

from typing import Final

from mta.protocol.pop3 import replies
from mta.protocol.pop3.replies import Reply

COMMAND_LIMIT: Final = 510
"""Octets of a command without its CRLF; RFC 2449 4 asks for 253."""

_CONTROLS: Final = bytes(range(32)) + b"\x7f"
_SECRET: Final = (b"PASS", b"AUTH")


def without_secret(line: bytes) -> bytes:
    """A command as a log may show it, however ill-formed it is."""
    return line[:4] + b" ..." if line[:4].upper() in _SECRET else line


def fault_of(line: bytes, limit: int) -> Reply | None:
    """What is wrong with the octets of a command; user names and passwords may be UTF-8 (RFC 6856 2.2)."""
    if len(line) > limit:
        return replies.LINE_TOO_LONG
    if len(line.translate(None, _CONTROLS)) < len(line) or not _is_utf8(line):
        return replies.BAD_OCTETS
    return None


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
