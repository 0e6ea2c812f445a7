"""The loop: one thread, one poll(2), and everything else takes turns.

A turn is: wait, call the handlers of what became ready, run the timers that are due, run what other
threads posted. Nothing that is called from here may block; what would block runs in a helper thread
and comes back through `post`.

Two sets of descriptors exist because poll(2) walks its whole set on every call. The few that are always
of interest (listeners, channels, the wake-up) stand in the poll set itself. The many that are nearly always
silent (sessions) stand in one epoll descriptor, which is a single entry of that set: ten thousand
idle sessions cost a turn nothing.

The loop knows descriptors and callables. It must never know what a session, a message or a log is.
"""

from __future__ import annotations

import heapq
import os
import select
import time
from collections import deque
from collections.abc import Callable
from itertools import count

READ = select.POLLIN
WRITE = select.POLLOUT
GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL
HANG_UP = select.POLLRDHUP
"""The peer says no more; told even while nobody reads."""

# poll(2) and epoll(7) share the values of these bits, so that one mask serves both sets.
assert (READ, WRITE, select.POLLERR, select.POLLHUP) == (
    select.EPOLLIN,
    select.EPOLLOUT,
    select.EPOLLERR,
    select.EPOLLHUP,
)

Handler = Callable[[int], None]
Action = Callable[[], None]

_MOST_EVENTS = 1024
"""Ready sessions taken from the epoll descriptor in one turn; the rest waits for the next, in order."""


class Timer:
    """Something to be done at a moment of the monotonic clock; `cancel` may be called at any time."""

    __slots__ = ("action", "when")

    def __init__(self, when: float, action: Action) -> None:
        self.when = when
        self.action: Action | None = action

    def cancel(self) -> None:
        self.action = None


class Loop:
    """A poll loop. Only `post` and `stop` may be called from another thread or a signal handler."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.turns = 0
        self.longest = 0.0
        """Seconds of the longest turn, waiting apart, since somebody set this to zero."""
        self._poll = select.poll()
        self._watched: dict[int, Handler] = {}
        self._many = select.epoll()
        self._sessions: dict[int, Handler] = {}
        self.resting = False
        """Between `rest` and `go_on`."""
        self._put_off: list[Action] = []
        self._timers: list[tuple[float, int, Timer]] = []
        self._tickets = count()
        self._posted: deque[Action] = deque()
        self._stopping = False
        self._end_of_turn: list[Action] = []
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(self._wake, self._woken)
        self.watch(self._many.fileno(), self._serve_sessions)

    # the few: the poll set

    def watch(self, fd: int, handler: Handler, interest: int = READ) -> None:
        """Call `handler(events)` whenever `fd` is ready; watching again changes handler and interest."""
        self._watched[fd] = handler
        self._poll.register(fd, interest)

    def unwatch(self, fd: int) -> None:
        """Forget `fd`, before it is closed; unknown descriptors are no error."""
        if self._watched.pop(fd, None) is not None:
            self._poll.unregister(fd)

    # the many: the epoll descriptor

    def add(self, fd: int, handler: Handler, interest: int = READ) -> None:
        """Like `watch`, for one of thousands of descriptors that are mostly silent."""
        self._many.register(fd, interest)
        self._sessions[fd] = handler

    def modify(self, fd: int, interest: int) -> None:
        """Change what a descriptor of `add` waits for; errors and hang-ups are always told."""
        self._many.modify(fd, interest)

    def remove(self, fd: int) -> None:
        """Forget a descriptor of `add`, before it is closed.

        Events of this turn still meant for it go nowhere, even when its number is in use again."""
        del self._sessions[fd]
        self._many.unregister(fd)

    def rest(self) -> None:
        """Serve none of these many until `go_on`; everything else takes its turns."""
        self.resting = True
        self.unwatch(self._many.fileno())

    def go_on(self) -> None:
        """Serve them again, beginning with what was put off."""
        self.resting = False
        self.watch(self._many.fileno(), self._serve_sessions)
        put_off, self._put_off = self._put_off, []
        for action in put_off:
            self.post(action)

    def put_off(self, action: Action) -> None:
        """While resting: do `action` when that is over."""
        self._put_off.append(action)

    # time, and other threads

    def call_at(self, when: float, action: Action) -> Timer:
        """Do `action` once the monotonic clock shows `when` (seconds)."""
        timer = Timer(when, action)
        heapq.heappush(self._timers, (when, next(self._tickets), timer))
        return timer

    def call_later(self, seconds: float, action: Action) -> Timer:
        """Do `action` in so many seconds."""
        return self.call_at(self.clock() + seconds, action)

    def post(self, action: Action) -> None:
        """Do `action` in the loop's thread, soon. Safe from any thread and from signal handlers."""
        self._posted.append(action)
        os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        """End `run` after the present turn. Safe from any thread and from signal handlers."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)

    def at_end_of_turn(self, action: Action) -> None:
        """Do `action` after every turn (flush a log, hand on a batch); it must be cheap when idle."""
        self._end_of_turn.append(action)

    # the turns

    def run(self) -> None:
        """Take turns until `stop`."""
        while not self._stopping:
            self.turn(self._patience())
        self._stopping = False

    def turn(self, milliseconds: float | None = 0) -> None:
        """Wait at most so long (None: for ever) and serve what is ready."""
        ready = self._poll.poll(milliseconds)
        woke = self.clock()
        _serve(self._watched, ready)
        if self._timers:
            self._run_timers()
        for action in self._end_of_turn:
            action()
        self.turns += 1
        took = self.clock() - woke
        if took > self.longest:
            self.longest = took

    def close(self) -> None:
        """Give the loop's own descriptors back."""
        self._many.close()
        os.close(self._wake)

    def _patience(self) -> float | None:
        timers = self._timers
        while timers and timers[0][2].action is None:
            heapq.heappop(timers)
        if not timers:
            return None
        # Rounded up: a turn that wakes a fraction too early would find nothing due and spin.
        return max(0.0, (timers[0][0] - self.clock()) * 1000 + 1)

    def _run_timers(self) -> None:
        now = self.clock()
        timers = self._timers
        due = []
        while timers and timers[0][0] <= now:
            due.append(heapq.heappop(timers)[2])
        # What these set for now is for the next turn: a timer that sets itself again starves nobody.
        for timer in due:
            action, timer.action = timer.action, None
            if action is not None:
                action()

    def _serve_sessions(self, _events: int) -> None:
        _serve(self._sessions, self._many.poll(0, _MOST_EVENTS))

    def _woken(self, _events: int) -> None:
        os.eventfd_read(self._wake)
        posted = self._posted
        for _ in range(len(posted)):
            posted.popleft()()


def _serve(handlers: dict[int, Handler], ready: list[tuple[int, int]]) -> None:
    """Call the handlers of what is ready.

    They are looked up before the first one runs and again when it is their turn: who was forgotten by a
    handler before it must hear nothing, and neither must somebody new who got the same number."""
    for fd, handler, events in [(fd, handlers[fd], events) for fd, events in ready if fd in handlers]:
        if handlers.get(fd) is handler:
            handler(events)
