"""Children: each is started, watched, told things, and started again when it dies.

The end of a process is seen by a pidfd in the loop. The first new start is at once; a child that keeps
dying waits longer each time, and one that has lived a while is forgiven.

This module knows processes. It must never know what a configuration says or what a child does.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Protocol

from mta.channel import Channel
from mta.daemon.errors import TEMPORARY, CannotStart
from mta.daemon.privileges import User
from mta.daemon.spawn import Kind, spawn
from mta.loop import Loop, Timer

Message = dict[str, Any]
Answer = Callable[[Message], None]

PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before the first, second, ... new start; the last repeats."""

FORGIVEN = 60.0
"""Seconds of life after which earlier deaths no longer count."""

LAST_WARNING = 30.0
"""Seconds that a child gets for finishing before it is killed."""


@dataclass(frozen=True)
class End:
    """How a process ended: its id, its status as subprocess has it, and the same in words.

    A new one starts in `pause` seconds; None: it was told to end."""

    process: int
    status: int
    how: str
    pause: float | None


class Parent(Protocol):
    """Who is told of a child's life."""

    def born(self, child: Child) -> None:
        """A new process runs; it needs its configuration before anything else."""

    def configured(self, child: Child) -> None:
        """The child has taken the configuration `child.serial`; `child.trouble` says what it could not
        use."""

    def asked(self, child: Child, request: Message, answer: Answer) -> None:
        """The child wants something; `answer` is to be called once, now or later."""

    def died(self, child: Child, end: End) -> None:
        """The process has ended."""


class Child:
    """One kind of child: its process, its channel, and its next process when that one dies.

    `descriptors` are handed on, by name, besides the channel."""

    def __init__(
        self, kind: Kind, loop: Loop, parent: Parent, descriptors: Mapping[str, int], user: User | None
    ) -> None:
        self.name = kind.name
        self.services = kind.services
        self.optional = kind.optional
        self.serial = 0
        self.trouble = ""
        self.stopping = True
        """It is not wanted: not started yet, or told to end."""
        self._kind = kind
        self._loop = loop
        self._parent = parent
        self._descriptors = descriptors
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._born = 0.0
        self._deaths = 0
        self._timer: Timer | None = None
        self._numbers = count(1)
        self._asked: dict[int, Answer] = {}

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def process(self) -> int | None:
        """The process id, while there is one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Execute it. Raises CannotStart when that fails."""
        self.stopping = False
        self._born = self._loop.clock()
        ours, theirs = socket.socketpair()
        with theirs:
            descriptors = {"channel": theirs.fileno(), **self._descriptors}
            self._process = process = spawn(self._kind, descriptors, self._user)
        self._channel = Channel(ours, self._loop, self._told, self._hung_up)
        fd = os.pidfd_open(process.pid)
        self._loop.watch(fd, lambda _events: self._process_ended(fd))
        self._parent.born(self)

    def tell(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message; without a process it is lost, and the next one is told everything anew."""
        if self._channel is not None:
            self._channel.send(message, fds)

    def ask(self, request: Message, answer: Answer) -> None:
        """Pass a request of the local socket on; `answer` is called once, when the child dies too."""
        if self._channel is None:
            answer(self._absent())
            return
        number = next(self._numbers)
        self._asked[number] = answer
        self.tell({"type": "request", "number": number, "request": request})

    def stop(self) -> None:
        """Tell it to end and start no other; after LAST_WARNING seconds it is killed."""
        self.stopping = True
        if self._timer is not None:
            self._timer.cancel()
        self.tell({"type": "stop"})
        self._kill_later()

    # what it says

    def _told(self, message: Message, _fds: list[int]) -> None:
        match message["type"]:
            case "acknowledge":
                self._configured(message["serial"], "")
            case "failed":
                self._configured(message["serial"], message["text"])
            case "answer":
                self._asked.pop(message["number"])(message["answer"])
            case "ask":
                answer = partial(self._answer, self._channel, message["number"])
                self._parent.asked(self, message["request"], answer)

    def _answer(self, asked: Channel | None, number: int, answer: Message) -> None:
        """Answer the process that asked; a new one at its place would not know what it is about."""
        if asked is self._channel:
            self.tell({"type": "told", "number": number, "answer": answer})

    def _configured(self, serial: int, trouble: str) -> None:
        self.serial, self.trouble = serial, trouble
        self._parent.configured(self)

    # how it ends

    def _hung_up(self) -> None:
        """Its end of the channel is closed: it is gone, or will never hear us again."""
        self._channel = None
        asked, self._asked = self._asked, {}
        for answer in asked.values():
            answer(self._absent())
        if self._process is not None and self._process.returncode is None:
            self._kill_later()
        else:
            self._gone()

    def _process_ended(self, fd: int) -> None:
        self._loop.unwatch(fd)
        os.close(fd)
        assert self._process is not None
        self._process.wait()
        # Its last words may still be in the channel, whose end comes after them.
        if self._channel is None:
            self._gone()

    def _kill_later(self) -> None:
        if self._process is not None:
            self._timer = self._loop.call_later(LAST_WARNING, self._process.kill)

    def _gone(self) -> None:
        assert self._process is not None
        process, self._process = self._process, None
        self.serial = 0
        if self._timer is not None:
            self._timer.cancel()
        self._bury(process.pid, process.returncode, ending(process.returncode))

    def _bury(self, process: int, status: int, how: str) -> None:
        pause = None if self.stopping else self._next_pause()
        if pause is not None:
            self._timer = self._loop.call_later(pause, self.revive)
        self._parent.died(self, End(process, status, how, pause))

    def _next_pause(self) -> float:
        if self._loop.clock() - self._born > FORGIVEN:
            self._deaths = 0
        self._deaths += 1
        return PAUSES[min(self._deaths, len(PAUSES)) - 1]

    def revive(self) -> None:
        """Start it; if that fails it has died, and is started again in a while."""
        try:
            self.start()
        except CannotStart as error:
            self._bury(0, error.status, str(error))

    def _absent(self) -> Message:
        return {"status": TEMPORARY, "text": f"the {self.name} is not running now; try again"}


def ending(status: int) -> str:
    """How a process ended: `exit 1`, or `signal SIGKILL`."""
    if status >= 0:
        return f"exit {status}"
    return f"signal {_SIGNALS.get(-status, str(-status))}"


_SIGNALS = {each.value: each.name for each in signal.Signals}
