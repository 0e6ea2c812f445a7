"""SMTP in datagrams: the opening, the cookie, the numbers. Octets in, octets out.

A datagram is one line with its CRLF; the reply to it is one datagram as well and is its acknowledgement.
The first datagram of a peer, blanks and CRLF, opens a session. Two things that TCP gives for nothing have to
be made here:

- **That the sender is who it says.** A source address can be forged, so the opening of a stranger is answered
  with no more octets than it has, and with a cookie that only who receives at this address and port can know.
  It is computed, not stored: whoever never shows it has cost nothing (RFC 6347 4.2.1, RFC 9000 8.1).
- **That a line counts once.** A client may number its lines from 1. The next number is the next line; one
  that has been answered gets the same answer again; one that leaves a gap is ignored until the line before
  it has come. A client that does not number is believed each time.

Where text may begin with digits and a blank, a line of a client that does not number would look like one
that is numbered. So within a message, lines are read as the DATA before them was; commands never begin with
a digit.

This module knows neither sockets nor the meaning of a line; moments come from outside, in seconds of a clock
that never goes back.
"""

from __future__ import annotations

import hmac
import re
from collections import OrderedDict
from typing import Final, NamedTuple

KEPT: Final = 16
"""Replies of a session that are kept for repeated numbers."""

_PERIOD: Final = 30
"""Seconds; a cookie is good in the period it was made in and in the next one."""

_OPENING: Final = re.compile(rb" *\r\n")
_COOKIE: Final = re.compile(rb"COOKIE ([0-9a-f]{32}) *\r\n", re.IGNORECASE)
_NUMBERED: Final = re.compile(rb"([0-9]{1,9})(?: |(?=\r\n))")


def is_line(datagram: bytes) -> bool:
    """Whether it is one line, with its CRLF and no other."""
    return len(datagram) >= 2 and datagram.find(b"\r\n") == len(datagram) - 2


def is_opening(datagram: bytes) -> bool:
    """Whether it opens a session: only blanks and CRLF."""
    return _OPENING.fullmatch(datagram) is not None


def challenge(hostname: bytes, cookie: bytes) -> bytes:
    """What a stranger's opening is answered with."""
    return b"220 %b ready cookie=%b\r\n" % (hostname, cookie)


def cookie_in(datagram: bytes) -> bytes | None:
    """The value that a peer shows, or None when this is something else."""
    found = _COOKIE.fullmatch(datagram)
    return found[1].lower() if found else None


class Cookies:
    """Makes and knows again the cookies of one process; the secret is at least 16 random octets."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, peer: str, now: float) -> bytes:
        """For this peer (address and port) at this moment: 32 hexadecimal digits."""
        return self._made(peer, int(now // _PERIOD))

    def holds(self, cookie: bytes, peer: str, now: float) -> bool:
        """Whether it was made for this peer a short while ago."""
        period = int(now // _PERIOD)
        return any(hmac.compare_digest(cookie, self._made(peer, each)) for each in (period, period - 1))

    def _made(self, peer: str, period: int) -> bytes:
        digest = hmac.digest(self._secret, f"{period} {peer}".encode(), "sha256")
        return digest[:16].hex().encode()


class Line(NamedTuple):
    """A line that is new."""

    number: int | None
    octets: bytes
    """With its CRLF, without the number."""


class Again(NamedTuple):
    """A line that has been answered already: this is to be sent once more."""

    datagram: bytes


class Numbers:
    """Which lines of one session are new, and what the others were answered.

    Per datagram the driver calls `receive`, serves the Line, and passes the reply through `answered`."""

    __slots__ = ("_kept", "_last", "_numbered", "_optional")

    def __init__(self, *, optional: bool) -> None:
        """`optional`: lines without a number are taken too."""
        self._optional = optional
        self._last = 0
        self._numbered = False
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    @property
    def used(self) -> bool:
        """Whether this client numbers its lines."""
        return self._last > 0

    def receive(self, datagram: bytes, *, text: bool) -> Line | Again | None:
        """What to do with a datagram that is one line; None: nothing. `text`: a message is under way."""
        found = _NUMBERED.match(datagram) if self._numbered or not text else None
        if found:
            return self._receive_numbered(int(found[1]), datagram[found.end() :])
        if not self._optional or (text and self._numbered) or (self.used and is_opening(datagram)):
            return None  # the last one is an opening that was repeated on its way
        self._numbered = False
        return Line(None, datagram)

    def answered(self, line: Line, reply: bytes) -> bytes:
        """The datagram that answers this line, now and when it is repeated."""
        if line.number is None:
            return reply
        datagram = self._kept[line.number] = b"%d %b" % (line.number, reply)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return datagram

    def _receive_numbered(self, number: int, octets: bytes) -> Line | Again | None:
        if number == self._last + 1:
            self._last = number
            self._numbered = True
            return Line(number, octets)
        kept = self._kept.get(number)
        return None if kept is None else Again(kept)
