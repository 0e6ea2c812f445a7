"""How hard one domain is pressed: connections allowed, the pause between letters, and when to ask again.

The window of connections grows as TCP's does (RFC 5681): one to begin with, one more for every letter
delivered until it reaches the width at which trouble once began, then one more for every windowful. One
connection that fails beside others that work halves it. When none works the domain has failed as a whole:
it rests for a step of `relay.retry`, and then one connection tries whether it is back.

A host that asks for less (421, 4.7.x) gets it: one letter at a time with a pause between, doubled whenever it
asks again, and shortened by every letter that it takes.

Pure: no clock, no letters. Times are seconds of the schedule's clock, `limit` is `relay.connections`.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 300.0
_RELIEF: Final = 0.8
"""What a delivered letter leaves of the pause: a second is gone after ten, five minutes after forty."""
_NO_PAUSE: Final = 0.1
_JITTER: Final = 0.1


def later(steps: Sequence[float], count: int, random: Random) -> float:
    """The pause after failure number `count` (1: the first), give or take a tenth; the last step repeats."""
    step = steps[min(count, len(steps)) - 1]
    return step * (1 + random.uniform(-_JITTER, _JITTER))


class Pace:
    """The pace of one domain."""

    __slots__ = ("_streak", "_threshold", "failures", "open", "pause", "resume", "window")

    def __init__(self) -> None:
        self.open = 0
        """Connections now, those being made included."""
        self.window = 1.0
        """Connections allowed; a fraction is on its way to the next one."""
        self.pause = 0.0
        """Seconds between two letters."""
        self.resume = 0.0
        """No letter before this time."""
        self.failures = 0
        """How often in a row the domain failed as a whole."""
        self._threshold = float("inf")
        self._streak = 0

    def admits(self, limit: int) -> bool:
        """Whether one more connection may be made."""
        return self.open < min(int(self.window), limit)

    def keeps_open(self, now: float, limit: int) -> bool:
        """Whether a connection that exists may have another letter."""
        return now >= self.resume and self.open <= min(max(1, int(self.window)), limit)

    def succeed(self, limit: int) -> None:
        """A letter was taken."""
        if self.failures:
            self.failures, self.resume = 0, 0.0
        self._streak += 1
        self.window = min(self.window + (1.0 if self.window < self._threshold else 1 / self.window), limit)
        self.pause = self.pause * _RELIEF if self.pause > _NO_PAUSE else 0.0

    def fail(self, now: float, steps: Sequence[float], random: Random) -> bool:
        """A connection came to nothing and is closed. True: with it the domain, until `resume`."""
        if self.failures and now < self.resume:
            return True  # it was under way when another one found out
        if self._streak and self.open:
            self._narrow()
            return False
        self.failures += 1
        self.resume = now + later(steps, self.failures, random)
        self.window, self._streak = 1.0, 0  # the threshold stays: an outage says nothing about width
        return True

    def slow(self, now: float) -> None:
        """They ask for less. What they say while they rest already answers what was sent before."""
        if now < self.resume:
            return
        self.pause = min(max(self.pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        self.resume = now + self.pause
        self._narrow()

    def sent(self, now: float) -> None:
        """A letter was handed out."""
        if self.pause:
            self.resume = max(self.resume, now + self.pause)

    def retry(self) -> None:
        """Try at once; what is known of the domain stays."""
        self.resume = 0.0

    def _narrow(self) -> None:
        self.window = self._threshold = max(1.0, self.window // 2)
        self._streak = 0
