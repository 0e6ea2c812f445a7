"""What the small sessions have in common (control, administration, metrics): one question to the host at a
time, while which nothing more is read, and an end that waits for its answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from mta.protocol.events import PAUSED, Closed, Signal
from mta.protocol.wire import Wire

Q = TypeVar("Q")
"""What the session asks its host."""


class AskingSession(Wire, ABC, Generic[Q]):
    """Per turn the host calls `receive_data`, then `next_event` until NEED_DATA, PAUSED or Closed, answering
    what it is asked, and sends `data_to_send`."""

    __slots__ = ("_asked", "_closed", "_farewell")

    def __init__(self) -> None:
        super().__init__()
        self._asked: Q | None = None
        """What the host has not answered yet."""
        self._farewell = ""
        """Why to close once the host has answered."""
        self._closed: Closed | None = None

    def next_event(self) -> Q | Closed | Signal:
        """The next event, or NEED_DATA, or PAUSED while the host owes an answer."""
        while self._asked is None:
            event = self._closed or self._read()
            if event is not None:
                return event
        return PAUSED

    def time_out(self) -> None:
        """The client was silent too long."""
        self._end("timeout")

    def shut_down(self) -> None:
        """The server stops; while paused, the answer of the host goes first."""
        self._end("shutdown")

    @abstractmethod
    def _read(self) -> Q | Signal | None:
        """One step through the input: a question, NEED_DATA, or None when there may be more to read."""

    def _ask(self, question: Q) -> Q:
        self._asked = question
        return question

    def _take_question(self) -> Q:
        asked, self._asked = self._asked, None
        if asked is None:
            raise RuntimeError("the session has not asked anything")
        return asked

    def _end(self, reason: str) -> None:
        if self._asked is not None:
            self._farewell = reason
        else:
            self._close(reason)

    def _leave_if_told(self) -> None:
        """An end that had to wait until the host had answered."""
        if self._farewell:
            self._close(self._farewell)

    def _close(self, reason: str) -> None:
        if self._closed is None:
            self._closed = Closed(reason)
            self._asked = None
            self._go_deaf()
