"""The heartbeat of a process: its loop turns at least once a second, and the counters tell how it does.

A counter of turns that stands still is a loop that hangs, and its longest turn is the longest that anybody
had to wait for it. The supervisor, the watchdog and `/health` look at these.
"""

from __future__ import annotations

from mta.counters import LONGEST_TURN, TURNS, Peak, Row
from mta.loop import Loop

_SECONDS = 1.0


def start(loop: Loop, row: Row) -> None:
    """Beat for as long as the loop runs."""
    longest = Peak(row, LONGEST_TURN)

    def beat() -> None:
        longest.note(round(loop.longest * 1e6), loop.clock())
        loop.longest = 0.0
        loop.call_later(_SECONDS, beat)

    beat()
    loop.at_end_of_turn(lambda: row.add(TURNS))
