"""The trace: the Received field that the server puts on top of a message (RFC 5321 4.4).

Every value in it has been checked by the session or comes from the kernel; what a client calls itself is
shown as given only because the session let no other characters through than those of a name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate


@dataclass(frozen=True, slots=True)
class Hop:
    """What a Received field tells of one message's arrival."""

    helo: str
    client: str
    """The address alone, as the kernel told it."""
    hostname: str
    protocol: str
    """The `with` word: ESMTP, ESMTPS, UTF8SMTP ... (RFC 3848)."""
    identifier: str
    recipient: str
    """The only recipient, or empty: several are not told to each other (RFC 5321 7.2)."""
    tls: str = ""
    """Version and cipher, or empty."""


class TraceWriter:
    """Writes Received fields; keeps the date of the present second, which is the dear part."""

    __slots__ = ("_date", "_second", "now")

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self._second = -1
        self._date = ""

    def received(self, hop: Hop) -> bytes:
        """The field with LF line ends. Text outside ASCII (SMTPUTF8) stays UTF-8 (RFC 6532)."""
        purpose = f"\n\tfor <{hop.recipient}>" if hop.recipient else ""
        security = f"\n\t({hop.tls})" if hop.tls else ""
        return (
            f"Received: from {hop.helo} ([{_tagged(hop.client)}])\n"
            f"\tby {hop.hostname} with {hop.protocol}{security}\n"
            f"\tid {hop.identifier}{purpose};\n"
            f"\t{self.date()}\n"
        ).encode()

    def date(self) -> str:
        """The present second as RFC 5322 3.3 writes it."""
        second = int(self.now())
        if second != self._second:
            self._second = second
            self._date = formatdate(second, localtime=True)
        return self._date


def _tagged(address: str) -> str:
    """An address as an address literal writes it (RFC 5321 4.1.3)."""
    return f"IPv6:{address}" if ":" in address else address
