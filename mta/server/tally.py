"""What the receiver counts of its commits: how many, of how many messages, and how long each took."""

from __future__ import annotations

from mta.counters import COMMIT_MESSAGES, COMMIT_TIME, COMMITS, LONGEST_COMMIT, QUEUE_COMMITS, Peak, Row
from mta.loop import Loop


class CommitTally:
    """Told of each batch by the committer, and of the time by the receiver."""

    def __init__(self, loop: Loop, row: Row) -> None:
        self._loop = loop
        self._row = row
        self._longest = Peak(row, LONGEST_COMMIT)

    def committed(self, messages: int, seconds: float) -> None:
        """A batch is durable, so long after the oldest of it was handed over."""
        microseconds = round(seconds * 1e6)
        row = self._row
        row.add(COMMITS)
        row.add(COMMIT_MESSAGES, messages)
        row.add(COMMIT_TIME, microseconds)
        self._longest.note(microseconds, self._loop.clock())

    def tick(self, waiting: int) -> None:
        """Time passes, so that an old peak is forgotten; and so many messages wait."""
        self._longest.note(0, self._loop.clock())
        self._row.set(QUEUE_COMMITS, waiting)
