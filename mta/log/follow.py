"""Keeping the index of a file that is being written, by looking at it now and then.

An index only saves time: what is wrong with it is told once and ends nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mta.log.index import Indexer
from mta.log.search import LogFiles


class Follower:
    """Follows the log file at a path; for standard error (path "") there is nothing to do."""

    def __init__(self, path: str, fault: Callable[[OSError], None]) -> None:
        """`fault` is told why there is no index, once until `finish`."""
        self._path = path
        self._fault = fault
        self._indexer: Indexer | None = None
        self._broken = not path

    def advance(self) -> None:
        """Index what has been written meanwhile; a part of it when that is much."""
        self._guarded(Indexer.advance)

    def finish(self) -> None:
        """Index the rest: the file is about to be moved away, or we are to end. Begins anew afterwards."""
        self._guarded(self._close)
        self._indexer = None
        self._broken = not self._path

    def _close(self, indexer: Indexer) -> None:
        indexer.finish()
        LogFiles(Path(self._path)).forget_others()

    def _guarded(self, act: Callable[[Indexer], None]) -> None:
        if self._broken:
            return
        try:
            if self._indexer is None:
                self._indexer = Indexer(Path(self._path))
            act(self._indexer)
        except FileNotFoundError:
            return  # nothing has been written yet
        except OSError as error:
            self._broken = True
            self._fault(error)
