"""Whether the processes work: their loops turn at least once a second, and the counters show it."""

from __future__ import annotations

import json
from typing import Final

from mta.counters import TURNS, Counters
from mta.metrics.http import Answer

WATCHED: Final = ("supervisor", "receiver", "relay", "logger")
PATIENCE: Final = 5.0
"""Seconds without a turn after which a process counts as hanging."""


class Health:
    """The page at /health. `look` is to be called each second or so."""

    def __init__(self, counters: Counters, now: float) -> None:
        """`now`, here and below: seconds of any clock that only grows."""
        self._rows = {role: counters.row(role) for role in WATCHED}
        self._seen = {role: (row.get(TURNS), now) for role, row in self._rows.items()}
        """Turns when they were last seen to have grown, and when that was."""

    def look(self, now: float) -> None:
        """See who has turned since the last time."""
        for role, row in self._rows.items():
            turns = row.get(TURNS)
            if turns != self._seen[role][0]:
                self._seen[role] = turns, now

    def page(self, now: float) -> Answer:
        """200 when all processes work, else 503; in JSON the seconds since each was seen to turn."""
        self.look(now)
        silence = {role: round(now - when, 1) for role, (_turns, when) in self._seen.items()}
        hanging = [role for role, seconds in silence.items() if seconds > PATIENCE]
        told = {"healthy": not hanging, "hanging": hanging, "seconds_since_turn": silence}
        return Answer(503 if hanging else 200, json.dumps(told).encode() + b"\n", "application/json")
