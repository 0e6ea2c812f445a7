"""How many reports a sender gets: so many an hour, and then one more that tells all the rest.

A forged sender is not flooded, and nobody is left without word. What is over the limit waits here, in memory
only: its letter must stay on disk, marked as not reported, until the digest that names it is committed, so
that after a restart it is offered again. An hour is each sender's own, and begins with the first report.

Pure: the time is told, in any seconds that only grow.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

HOUR: Final = 3600.0
REPORTS: Final = 20
"""Reports to one sender in an hour, besides the digest."""
LISTED: Final = 1000
"""What one digest tells at most; the rest waits for the next one."""
SENDERS: Final = 100_000
"""Senders remembered at once; with more of them, the oldest hours end early."""


@dataclass(slots=True)
class _Hour(Generic[T]):
    sender: str
    began: float
    reports: int = 0
    waiting: deque[T] = field(default_factory=deque)


class Digest(NamedTuple, Generic[T]):
    """What one sender is to be told now, in one message."""

    sender: str
    items: tuple[T, ...]


class Limiter(Generic[T]):
    """Reports of the last hour by sender. `T` is what the caller needs to find one that waits: a letter's
    domain and id, say."""

    def __init__(self, *, reports: int = REPORTS, listed: int = LISTED, senders: int = SENDERS) -> None:
        self._reports = reports
        self._listed = listed
        self._senders = senders
        self._hours: dict[str, _Hour[T]] = {}
        """By sender in lower case; the oldest first."""

    def admit(self, sender: str, item: T, now: float) -> bool:
        """Whether a report may be sent now. False: `item` waits for a digest."""
        hour = self._hours.get(sender.lower())
        if hour is None or (now >= hour.began + HOUR and not hour.waiting):
            hour = self._begin(sender, now)
        if hour.reports < self._reports and not hour.waiting:
            hour.reports += 1
            return True
        hour.waiting.append(item)
        return False

    def due(self, now: float) -> list[Digest[T]]:
        """The digests of the hours that are over. What they tell is forgotten here."""
        digests = []
        for hour in self._over(now):
            del self._hours[hour.sender.lower()]
            if hour.waiting:
                digests.append(Digest(hour.sender, self._taken(hour.waiting)))
                self._begin(hour.sender, now).waiting = hour.waiting
        return digests

    @property
    def next_due(self) -> float | None:
        """When `due` has something to do."""
        return next((hour.began + HOUR for hour in self._hours.values()), None)

    def _begin(self, sender: str, now: float) -> _Hour[T]:
        """The newest hour, in place of an older one of this sender."""
        self._hours.pop(sender.lower(), None)
        hour = self._hours[sender.lower()] = _Hour(sender, now)
        return hour

    def _over(self, now: float) -> list[_Hour[T]]:
        surplus = len(self._hours) - self._senders
        over = []
        for number, hour in enumerate(self._hours.values()):
            if number >= surplus and now < hour.began + HOUR:
                break
            over.append(hour)
        return over

    def _taken(self, waiting: deque[T]) -> tuple[T, ...]:
        return tuple(waiting.popleft() for _ in range(min(self._listed, len(waiting))))
