"""How a client's commands and a server's replies find each other (RFC 5321 4.3, RFC 2920).

Theory. Commands stand in one of two rows. The plan is what will be said; what was said and has no reply yet
is awaited. A command passes from the one to the other when it may: with PIPELINING at once, else when nothing
is awaited. Each reply belongs to the first command awaited. The plan never holds anything behind a command
that ends a group.

A reply belongs to a command only if it came after it. So nothing is said while something unread is there that
nobody asked for: a server that answers before it is asked is told nothing more, least of all the final dot,
to which its early 250 would else seem to be the reply. Whatever cannot be a reply at its place ends the
session, for from there on nobody knows what the next reply would mean.

What the commands mean is for the one who builds on this.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from mta.protocol.client.answers import Answer, AnswerWire, Malformed
from mta.protocol.client.events import ClientEvent, Closed, Failed, Fault, Refused, Stage
from mta.protocol.events import NEED_DATA, PAUSED

LOST: Final = "closed by the other side"

_EXPECTED: Final[Mapping[Stage, tuple[int, ...]]] = {Stage.DATA: (3,), Stage.AUTH: (2, 3)}
"""First digits by which a server goes along, where it is not 2: text is sent after 354 only (RFC 5321
4.1.1.4)."""


class Command(NamedTuple):
    """A command, and what it is about."""

    stage: Stage
    octets: bytes
    recipient: int = -1
    """Index of the recipient, for RCPT."""
    shown: bytes | None = None
    """What a transcript shows instead, without its line end."""


class Dialogue(AnswerWire, ABC):
    """A session's two rows, its events and its end."""

    __slots__ = ("_awaited", "_closed", "_loss", "_plan", "_resting", "_told", "progress")

    progress: int
    """Counts replies and pieces of text: a step's time begins anew when it grows, and only then, so that
    single octets buy no time."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = 0
        self._plan: deque[Command] = deque()
        self._awaited: deque[Command] = deque()
        self._resting = Stage.GREETING
        """The stage while nothing is awaited."""
        self._told: deque[ClientEvent] = deque()
        """Events not handed out yet."""
        self._loss = LOST
        self._closed: Closed | None = None

    # --- the host's side

    @property
    def stage(self) -> Stage:
        """Where the dialogue is."""
        return self._awaited[0].stage if self._awaited else self._resting

    def next_event(self) -> ClientEvent:
        """The next event; NEED_DATA while a reply is awaited, PAUSED while the host owes something."""
        while not self._told:
            if self._closed is not None:
                return self._closed
            if self._read():
                continue
            if not self._eof:
                return self._wish()
            self._fail(Fault.LOST, self._loss)
        return self._told.popleft()

    def receive_eof(self, detail: str = LOST) -> None:
        """The connection ended, or broke for the reason `detail`. What came before still counts."""
        self._loss = detail
        super().receive_eof()

    # --- what a session makes of it

    @abstractmethod
    def _answered(self, command: Command, answer: Answer) -> None:
        """The reply to this command: done, go on, or refused."""

    def _wish(self) -> ClientEvent:
        """What the session wants while it has nothing to read."""
        return NEED_DATA if self._awaited else PAUSED

    @abstractmethod
    def _end(self, cause: Refused | Failed | None) -> None:
        """The session is over for this cause."""

    @property
    @abstractmethod
    def _pipelines(self) -> bool:
        """Commands may be said before the replies to earlier ones."""

    @property
    @abstractmethod
    def _is_ambiguous(self) -> bool:
        """If the session were lost now, a message might have been delivered."""

    # --- saying

    def _issue(self, command: Command) -> None:
        self._plan.append(command)
        self._pump()

    def _pump(self) -> None:
        """Says of the plan what may be said now."""
        while self._plan and (self._pipelines or not self._awaited):
            if not self._awaited and self._has_unread:
                return
            command = self._plan.popleft()
            self._awaited.append(command)
            self._say(command.octets, command.shown)

    def _say(self, octets: bytes, shown: bytes | None = None) -> None:
        self._output += octets
        if self.transcript is not None:
            self.transcript("C", octets[:-2] if shown is None else shown)

    # --- hearing

    def _read(self) -> bool:
        """Whether a reply was there, or something that should have been one."""
        try:
            answer = self._take_answer()
        except Malformed as why:
            self._fail(Fault.MALFORMED, str(why))
            return True
        if answer is None:
            return False
        self.progress += 1
        self._hear(answer)
        return True

    def _hear(self, answer: Answer) -> None:
        if not self._awaited:
            self._hear_unasked(answer)
            return
        command = self._awaited[0]
        if command.stage is Stage.QUIT:
            self._close(None)
        elif answer.code == 421:  # whatever it was asked, the server is leaving (RFC 5321 3.8)
            self._close(Refused(command.stage, answer))
        elif answer.kind < 4 and answer.kind not in _EXPECTED.get(command.stage, (2,)):
            self._fail(Fault.OUT_OF_STEP, reply=answer)
        else:
            self._awaited.popleft()
            self._answered(command, answer)

    def _hear_unasked(self, answer: Answer) -> None:
        if self._resting is Stage.STARTTLS:
            self._fail(Fault.INJECTED, reply=answer)
        elif answer.kind >= 4:  # refuses a text before its end, or says good-bye
            self._close(Refused(self.stage, answer))
        else:
            self._fail(Fault.OUT_OF_STEP, reply=answer)

    # --- the end

    def _fail(self, fault: Fault, detail: str = "", reply: Answer | None = None) -> None:
        """Nothing sensible can follow. After QUIT nothing had to."""
        if self.stage is Stage.QUIT:
            self._close(None)
        else:
            self._close(Failed(self.stage, fault, detail, reply, self._is_ambiguous))

    def _leave(self, cause: Refused | Failed) -> None:
        """Ends in order: with QUIT, whose reply would change nothing."""
        self._close(cause)
        self._say(b"QUIT\r\n")

    def _close(self, cause: Refused | Failed | None) -> None:
        """Not an octet more is said, least of all the rest of a text."""
        if self._closed is not None:
            return
        self._closed = Closed(cause)
        self._output = b""
        self._plan.clear()
        self._awaited.clear()
        self._go_deaf()
        self._end(cause)
