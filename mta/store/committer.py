"""The committer, as the loop sees it: deliveries go in, outcomes come back, and nothing ever waits.

A batch needs several calls for each message, and as a thread it would have to ask for the interpreter lock
after each of them, against a loop that is never idle; measured, that halves the rate of both. So the
committer is a process of its own, started here and talked to over a socket. The two share their fate: a
receiver without a committer ends and is started anew with a new one, and a committer whose line ends has
lost its receiver.
"""

from __future__ import annotations

import socket
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from mta import program
from mta.loop import READ, WRITE, Loop
from mta.store.delivery import Delivery, Outcome
from mta.store.handover import frame, pack_delivery, unframe
from mta.store.records import Recovery, Unfinished

Done: TypeAlias = Callable[[Delivery], None]

_PIECE = 1 << 16
_BUFFER = 4 << 20
"""Octets wished for in the socket, so that a batch is one call; less will do."""


class CommitterDied(Exception):
    """The committer's process has ended, and with it whatever it knew of the deliveries under way."""


class Committer:
    """The process that makes messages durable, in batches."""

    def __init__(
        self,
        loop: Loop,
        root: Path,
        *,
        host: str,
        sync: str,
        report: Callable[[Sequence[Unfinished]], None],
        committed: Callable[[int, float], None] = lambda _messages, _seconds: None,
    ) -> None:
        """Start it and wait until it has recovered the tree; OSError when the tree cannot be used.

        `report` hears of accepted messages that wait in .commit and why; `committed` of each batch, of how
        many messages it was, and the seconds since the first of them was handed over."""
        self._loop = loop
        self._report = report
        self._committed = committed
        self._ready: list[Delivery] = []
        self._asked: deque[tuple[Delivery, Done]] = deque()
        """What the process has not answered yet, in order."""
        self._handed_over: deque[tuple[float, int]] = deque()
        """When it was handed that, and how many deliveries at a time."""
        self._unsent = bytearray()
        self._received = bytearray()
        self._socket, self._process = _start(root, host, sync)
        try:
            self.recovery = self._first_word()
            """What a crash had left and what was done about it."""
        except (OSError, CommitterDied):
            self._end()
            raise
        self._socket.setblocking(False)
        loop.watch(self._socket.fileno(), self._on_ready)
        loop.at_end_of_turn(self._hand_over)

    def submit(self, delivery: Delivery, done: Done) -> None:
        """Commit it with the next batch; `done(delivery)` is called in a later turn, outcome set."""
        self._ready.append(delivery)
        self._asked.append((delivery, done))

    @property
    def waiting(self) -> int:
        """Deliveries that are not durable yet."""
        return len(self._asked)

    def close(self) -> None:
        """Finish all that was submitted, and tell it. Blocks."""
        self._loop.unwatch(self._socket.fileno())
        self._hand_over()
        self._socket.setblocking(True)
        self._socket.sendall(self._unsent)
        self._socket.shutdown(socket.SHUT_WR)
        while self._receive():
            pass
        self._end()

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()

    def _hand_over(self) -> None:
        """At the end of each turn: all that became ready in it is one frame."""
        if self._ready:
            deliveries, self._ready = self._ready, []
            self._handed_over.append((self._loop.clock(), len(deliveries)))
            self._unsent += frame([pack_delivery(delivery) for delivery in deliveries])
            for delivery in deliveries:
                delivery.take()
            self._send()

    def _send(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        del self._unsent[:sent]
        self._loop.watch(self._socket.fileno(), self._on_ready, READ | WRITE if self._unsent else READ)

    def _on_ready(self, events: int) -> None:
        if events & WRITE:
            self._send()
        if events & ~WRITE and not self._receive():
            self._loop.unwatch(self._socket.fileno())
            self._end()
            raise CommitterDied("the committer's process has ended; its last words are on standard error")

    def _receive(self) -> bool:
        """Take and tell what it has to say; False when it has gone."""
        try:
            piece = self._socket.recv(_PIECE)
        except ConnectionError:
            return False
        self._received += piece
        for told in unframe(self._received):
            if isinstance(told, tuple):
                self._report(told)
            else:
                self._tell(told)
        return bool(piece)

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        self._committed(len(outcomes), self._loop.clock() - self._begin_of(len(outcomes)))
        for outcome in outcomes:
            delivery, done = self._asked.popleft()
            delivery.outcome = outcome
            done(delivery)

    def _begin_of(self, batch: int) -> float:
        """When the first of the oldest so many deliveries was handed over. A batch is whole frames."""
        since = self._handed_over[0][0]
        while batch > 0:
            batch -= self._handed_over.popleft()[1]
        return since

    def _first_word(self) -> Recovery:
        """What the process says when the tree is ready. Raises OSError for what is wrong with the tree."""
        words: list[object] = []
        while not words:
            piece = self._socket.recv(_PIECE)
            if not piece:
                raise CommitterDied("the committer's process could not be started")
            self._received += piece
            words = unframe(self._received)
        if isinstance(words[0], OSError):
            raise words[0]
        return cast(Recovery, words[0])


def _start(root: Path, host: str, sync: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair()
    with theirs:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        fd = theirs.fileno()
        command = program.command("mta.store.committing", str(fd), str(root), host, sync)
        environment = program.environment()
        return ours, subprocess.Popen(command, pass_fds=[fd], stdin=subprocess.DEVNULL, env=environment)
