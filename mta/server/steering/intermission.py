"""The receiver's rest, as TIMEOUT of the administration protocol asks for it: nobody new is let in and
nothing is answered for a while, yet nobody is cut off and nothing is lost.

Only sessions rest. What they have begun goes on in its threads, whose results wait; the loop turns, hears the
supervisor, and shows the service manager that it lives. Clients wait in the kernel's queues, and their time
stands still.
"""

from __future__ import annotations

from collections.abc import Callable

from mta.loop import Loop, Timer
from mta.server.connection import Connection


class Intermission:
    """At most one at a time."""

    def __init__(self, loop: Loop, begun: Callable[[], None], over: Callable[[float], None]) -> None:
        """`begun()` is called when it begins, `over(seconds)` when it has ended after so long."""
        self._loop = loop
        self._begun = begun
        self._over = over
        self._since = 0.0
        self._timer: Timer | None = None
        self._whose: Connection | None = None
        self._done: Callable[[], None] | None = None

    @property
    def lasts(self) -> bool:
        """Whether the receiver rests now."""
        return self._timer is not None

    def begin(self, seconds: float, whose: Connection, done: Callable[[], None]) -> bool:
        """Rest until the time is over or the client `whose` hangs up, then call `done`.

        False: it rests already."""
        if self.lasts:
            return False
        self._since = self._loop.clock()
        self._timer = self._loop.call_later(seconds, self.end)
        self._whose = whose
        self._done = done
        self._loop.rest()
        whose.await_hang_up(self.end)
        self._begun()
        return True

    def end(self) -> None:
        """Go on, if it rests."""
        timer, done = self._timer, self._done
        if timer is None or done is None or self._whose is None:
            return
        timer.cancel()
        self._whose.await_hang_up(None)
        self._timer = self._whose = self._done = None
        self._over(self._loop.clock() - self._since)
        self._loop.go_on()
        done()
