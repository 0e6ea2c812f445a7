"""The relay's clock: it shows the time of day, and never jumps.

Due times stand in file names as epoch seconds, but a clock that is set while we run must neither expire
letters nor let them wait. So the wall clock is read once, at the start, and time passes from there as the
monotonic clock counts it. When the clock was wrong at the start, ours stays wrong until the next start;
nothing but pauses is measured with it.
"""

from __future__ import annotations

import time


class SteadyClock:
    """Epoch seconds that only ever grow, second by second."""

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def monotonic(self, when: float) -> float:
        """The moment `when` as the monotonic clock shows it, for a timer of the loop."""
        return when - self._ahead
