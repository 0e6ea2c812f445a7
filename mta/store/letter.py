"""The letter: envelope and message in one file, readable with `less`, and by a program without guessing.

    mta-letter/1 envelope=NNNNNNNN message=NNNNNNNNNNNN
    {"id": ..., "sender": ..., "arrived": ..., "client": {...}}
    {"address": ..., "domain": ...}          one line per recipient; "mailbox" for one of ours
    the message, byte for byte, CRLF line ends

The first line has a fixed width, as the length of the message is filled in when all of it has come. The JSON
is ASCII, so that no address, however odd, can break a line or the decoding. "ret" and "envid", "notify" and
"orcpt" (RFC 3461) stand there when they were given, "reverse_path" and "via" where a copy is forwarded. What
a later version adds to a line, an older one skips. This module knows the form only, not where letters lie.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from mta.store.envelope import Domain, Envelope, Mailbox, Recipient, Way
from mta.store.system import System

_FIRST_LINE = re.compile(rb"mta-letter/1 envelope=([0-9]{8}) message=([0-9]{12})\n")
_FARTHEST = 1 << 35
"""Epoch seconds that a date can still be made of."""
_AHEAD = 4096
"""Octets in which most envelopes are."""
_FIRST_LINE_OCTETS = len(b"mta-letter/1 envelope=00000000 message=000000000000\n")


class BrokenLetter(Exception):
    """The file is no letter, or not all of one; the text says what is wrong."""


class Letter(NamedTuple):
    """A letter as read: the message is the `length` octets from `offset` on."""

    envelope: Envelope
    offset: int
    length: int


def first_line(envelope_octets: int, message_octets: int) -> bytes:
    """The first line, always of the same width."""
    return b"mta-letter/1 envelope=%08d message=%012d\n" % (envelope_octets, message_octets)


def envelope_lines(envelope: Envelope) -> bytes:
    """The envelope as JSON lines."""
    message = {
        "id": envelope.id,
        "sender": envelope.sender,
        "arrived": envelope.arrived,
        "client": dict(envelope.client),
        **_given(ret=envelope.ret, envid=envelope.envid),
    }
    lines = [message, *map(_recipient_line, envelope.recipients)]
    return b"".join(json.dumps(line).encode("ascii") + b"\n" for line in lines)


def read_letter(fd: int, system: type[System] | System = System) -> Letter:
    """The letter in an open file. BrokenLetter: it is none, or its lengths do not add up; OSError."""
    return read_ahead(fd, _AHEAD, system)[0]


def read_ahead(fd: int, most: int, system: type[System] | System = System) -> tuple[Letter, bytes]:
    """The letter, and the first octets of the file, at most so many, which are read in one call along with
    it. Raises what `read_letter` does."""
    first = system.pread(fd, most, 0)
    head = _FIRST_LINE.match(first)
    if head is None:
        raise BrokenLetter("the first line is not that of a letter")
    envelope_octets, length = int(head[1]), int(head[2])
    offset = _FIRST_LINE_OCTETS + envelope_octets
    if not len(first) == offset + length < most:  # else its end was seen
        size = system.fstat(fd).st_size
        if size != offset + length:
            raise BrokenLetter(f"the file has {size} octets, its first line tells of {offset + length}")
    envelope = first[_FIRST_LINE_OCTETS:offset]
    if len(envelope) < envelope_octets:
        envelope = system.pread(fd, envelope_octets, _FIRST_LINE_OCTETS)
    return Letter(_envelope(envelope), offset, length), first


def _recipient_line(recipient: Recipient) -> dict[str, object]:
    given = _given(
        notify=recipient.notify,
        orcpt=recipient.orcpt,
        reverse_path=recipient.reverse_path,
        via=recipient.via,
    )
    match recipient.way:
        case Mailbox(folder):
            return {"address": recipient.address, "mailbox": folder, **given}
        case Domain(name):
            return {"address": recipient.address, "domain": name, **given}


def _given(**wishes: str) -> dict[str, str]:
    return {name: value for name, value in wishes.items() if value}


def _envelope(lines: bytes) -> Envelope:
    try:
        message, *recipients = map(_object, lines.splitlines())
        client = message["client"]
        return Envelope(
            id=_string(message, "id"),
            sender=_string(message, "sender"),
            arrived=_seconds(message),
            recipients=tuple(map(_recipient, recipients)),
            client=client if isinstance(client, dict) else {},
            ret=_wish(message, "ret"),
            envid=_wish(message, "envid"),
        )
    # JSON's own errors are ValueErrors too, as are those of envelopes and ways.
    except (KeyError, ValueError, RecursionError) as error:
        raise BrokenLetter(f"the envelope cannot be read: {error!r}") from error


def _recipient(line: Mapping[str, object]) -> Recipient:
    way: Way = Mailbox(_string(line, "mailbox")) if "mailbox" in line else Domain(_string(line, "domain"))
    wishes = (_wish(line, key) for key in ("notify", "orcpt", "reverse_path", "via"))
    return Recipient(_string(line, "address"), way, *wishes)


def _object(line: bytes) -> Mapping[str, object]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("a line that is no object")
    return value


def _string(line: Mapping[str, object], key: str) -> str:
    value = line[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is no string")
    return value


def _wish(line: Mapping[str, object], key: str) -> str:
    return _string(line, key) if key in line else ""


def _seconds(line: Mapping[str, object]) -> float:
    value = line["arrived"]
    if not isinstance(value, int | float) or not 0 <= value < _FARTHEST:
        raise ValueError("arrived is no time")
    return value
