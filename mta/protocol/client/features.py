"""What a server says of itself in its reply to EHLO (RFC 5321 4.1.1.1).

A keyword that is not known or not well formed is as good as not said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_number = re.compile(r"[0-9]{1,20}").fullmatch


@dataclass(frozen=True, slots=True)
class Features:
    """The extensions a server offers; without arguments: one that knows HELO only."""

    pipelining: bool = False
    chunking: bool = False
    eightbit: bool = False
    """8BITMIME (RFC 6152)."""
    smtputf8: bool = False
    dsn: bool = False
    """RFC 3461: the next server takes over the duty to report."""
    starttls: bool = False
    size: int | None = None
    """Octets of the largest message, 0 for no fixed limit; None when SIZE is not offered (RFC 1870 4)."""
    auth: frozenset[str] = frozenset()
    """Mechanisms, upper case."""
    recipient_limit: int | None = None
    """Recipients of one transaction (RFC 9422); None when not told."""
    mail_limit: int | None = None
    """Transactions of one session (RFC 9422); None when not told."""


def parse_features(lines: Iterable[str]) -> Features:
    """`lines`: the reply's lines after the first, without codes."""
    words: dict[str, list[str]] = {}
    for line in lines:
        # "AUTH=LOGIN" is how servers said it before RFC 2554.
        name, *values = line.upper().replace("AUTH=", "AUTH ", 1).split() or [""]
        words[name] = words.get(name, []) + values
    limits = dict(value.split("=", 1) for value in words.get("LIMITS", ()) if "=" in value)
    return Features(
        pipelining="PIPELINING" in words,
        chunking="CHUNKING" in words,
        eightbit="8BITMIME" in words,
        smtputf8="SMTPUTF8" in words,
        dsn="DSN" in words,
        starttls="STARTTLS" in words,
        size=(_limit(*words["SIZE"][:1]) or 0) if "SIZE" in words else None,
        auth=frozenset(words.get("AUTH", ())),
        recipient_limit=_limit(limits.get("RCPTMAX", "")),
        mail_limit=_limit(limits.get("MAILMAX", "")),
    )


def _limit(digits: str = "") -> int | None:
    return int(digits) or None if _number(digits) else None
