"""The header of a message that is passing through: which fields it has, as far as the server must know.

Nothing is judged here and nothing is changed. A header ends at the first line that is empty or can be no part
of one; a field is found by its name alone, and a folded one counts once.
"""

from __future__ import annotations

import re
from typing import Final

MOST: Final = 256 << 10
"""Octets that are looked at; what is called a header beyond that has been seen well enough."""

_field = re.compile(rb"([!-9;-~]+)[ \t]*:[ \t]*(.*(?:\n[ \t].*)*)(?:\n|\Z)").match


class Header:
    """Collects the header of one message, given in pieces with LF line ends."""

    __slots__ = ("_ended", "_octets")

    def __init__(self) -> None:
        self._octets = b""
        self._ended = False

    def feed(self, octets: bytes, *, last: bool = False) -> bool:
        """Whether all of it has been seen now. `last`: the message ends with this piece."""
        if not self._ended:
            start = max(len(self._octets) - 1, 0)
            self._octets += octets
            blank = self._octets.find(b"\n\n", start)
            if self._octets.startswith(b"\n"):
                blank = 0
            if blank >= 0:
                self._octets = self._octets[: blank + 1]
            self._ended = last or blank >= 0 or len(self._octets) > MOST
        return self._ended

    @property
    def is_one(self) -> bool:
        """The first line is a field, or ends the header: whatever is put on top of it belongs to a header."""
        return self._octets.startswith(b"\n") or not self._octets or _field(self._octets) is not None

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Names in lower case, and values as they stand there, without the blanks around them."""
        found = []
        at = 0
        while (field := _field(self._octets, at)) is not None and field.end() > at:
            found.append((field[1].lower(), field[2].strip()))
            at = field.end()
        return found
