"""What the header of a message means to the server: has it been here before, and what does it lack. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from mta.protocol.smtp.header import Header

Fields: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Names in lower case, and values."""

_SPELLING = {b"date": "Date", b"message-id": "Message-ID", b"from": "From"}


def been_here(fields: Fields, aliases: Collection[str]) -> bool:
    """Whether one of these aliases has forwarded the message before: each leaves its name on top."""
    if not aliases:
        return False
    marks = {alias.encode("utf-8").lower() for alias in aliases}
    return any(name == b"delivered-to" and value.lower() in marks for name, value in fields)


def completion(values: Mapping[bytes, str], header: Header, fields: Fields) -> bytes:
    """The fields that a message from a user lacks (RFC 6409 8), with LF line ends: a program that sends mail
    may leave them to us."""
    there = {name for name, _ in fields}
    lines = [f"{_SPELLING[name]}: {value}\n" for name, value in values.items() if name not in there]
    # Where there is no header at all, it ends behind ours.
    return "".join([*lines, "" if header.is_one else "\n"]).encode("utf-8")
