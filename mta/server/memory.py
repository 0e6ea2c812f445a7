"""Memory for messages under way, shared fairly and never more than `limits.memory`.

A session that is about to receive a message reserves a share. What fits into the share waits in memory for
its commit; what does not goes to disk as it arrives. The share of one is a small part of what is left, so the
first many get all they can use, the following ones less, and nobody is ever refused: a share of nothing only
means that every piece is written at once.
"""

from __future__ import annotations

from typing import Final

MOST: Final = 131_072
"""Octets of one share; a message that is larger is better off on disk."""

_PART: Final = 256
"""One session gets this part of what is left at most."""


class Memory:
    """The octets that all sessions together may hold."""

    __slots__ = ("_limit", "reserved")

    def __init__(self, limit: int) -> None:
        self.limit(limit)
        self.reserved = 0

    def limit(self, octets: int) -> None:
        """Change the limit. Half of it is for shares; the other half covers what is on its way to disk."""
        self._limit = octets // 2

    def reserve(self, wanted: int = MOST) -> int:
        """A share of at most `wanted` octets, to be given back by `release`."""
        share = max(0, min(wanted, MOST, (self._limit - self.reserved) // _PART))
        self.reserved += share
        return share

    def release(self, share: int) -> None:
        """Give a share back."""
        self.reserved -= share
