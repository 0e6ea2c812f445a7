"""What a POP3 server's session has, whatever it is doing: surroundings, a state, output on its way out, wrong
commands counted, and the end.

Here is the one place where a refusal is counted and told, and the one where the session closes. What commands
mean is `pop3_server`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from mta.protocol.pop3 import replies
from mta.protocol.pop3.events import NEED_DATA, PAUSED, Closed, Event, Question
from mta.protocol.pop3.replies import Reply
from mta.protocol.pop3.states import AUTHORIZATION, CLOSED, TLS_STARTING, USER_GIVEN, State
from mta.protocol.pop3.terms import Pop3Terms
from mta.protocol.wire import Wire

ERROR_WEIGHT: Final = 5
"""A refused command counts as much as so many that get nobody further."""


class Pop3Session(Wire):
    __slots__ = (
        "_asked", "_closed", "_farewell", "_in_text", "_line", "_portions", "_strikes", "rejected", "state",
        "terms",
    )  # fmt: skip

    terms: Pop3Terms
    state: State
    rejected: Callable[[bytes, Reply], None] | None
    """Told each command that is answered with -ERR, without its secret, and the reply."""

    def __init__(self, terms: Pop3Terms) -> None:
        super().__init__()
        self.terms = terms
        self.state = AUTHORIZATION
        self.rejected = None
        self._line = b""
        """The command being served, as a log may show it."""
        self._asked: Question | None = None
        """What the host has not answered yet."""
        self._portions: Iterator[bytes] | None = None
        """What is left of a long reply."""
        self._in_text = False
        """The text of a message is on its way."""
        self._strikes = 0
        self._farewell: tuple[str, Reply | None] | None = None
        """How the session ends as soon as the host has answered."""
        self._closed: Closed | None = None

    # --- the end, as the host sees it

    @property
    def phase(self) -> str:
        return self.state.value

    def time_out(self) -> None:
        """The client was silent too long: Closed without a word and without Update (RFC 1939 3)."""
        self._end("timeout", None)

    def shut_down(self) -> None:
        """The server stops: Closed without Update; while paused, the answer of the host goes first."""
        self._end("shutdown", replies.SHUTTING_DOWN)

    # --- replies

    def _answer(self, reply: Reply) -> None:
        """Sends a refusal and counts it. Whatever comes between USER and PASS makes the USER void (RFC 1939
        7)."""
        self._strikes += ERROR_WEIGHT
        if self.state is USER_GIVEN:
            self.state = AUTHORIZATION
        if self.rejected is not None:
            self.rejected(self._line, reply)
        self._send(reply)

    def _cut_off(self, reply: Reply, reason: str) -> None:
        """The last refusal: nothing sensible can follow."""
        self._answer(reply)
        self._close(None, reason)

    def _say(self, portions: Iterator[bytes]) -> None:
        """The next portion of a long reply, or its end."""
        portion = next(portions, None)
        if portion is None:
            self._portions = None
            self._send_octets(b".\r\n")
        else:
            self._send_octets(portion)

    def _send(self, reply: Reply) -> None:
        self._send_octets(reply.octets)

    def _transcribe_line(self) -> None:
        if self.transcript is not None:
            self.transcript("C", self._line)

    # --- the end

    def _end(self, reason: str, reply: Reply | None) -> None:
        """At once, or when the host has answered: a message being sent is then cut short."""
        if self._asked is not None:
            self._farewell = reason, reply
        else:
            self._close(None if self._is_amid() else reply, reason)

    def _is_amid(self) -> bool:
        """In the middle of something that a reply of ours would be taken for a part of."""
        return self._in_text or self._portions is not None or self.state is TLS_STARTING

    def _leave_if_told(self) -> None:
        """An end that had to wait until the host had answered."""
        if self._farewell is not None:
            reason, reply = self._farewell
            self._close(None if self._is_amid() else reply, reason)

    def _close(self, reply: Reply | None, reason: str) -> None:
        """The last reply, if any. What is still in the buffer is thrown away."""
        if self.state is CLOSED:
            return
        if reply is not None:
            self._send(reply)
        self.state = CLOSED
        self._closed = Closed(reason)
        self._asked = self._portions = None
        self._in_text = False
        self._go_deaf()

    def _ended(self) -> Event | None:
        return self._closed

    def _wait(self) -> Event:
        """The handshake is the host's business; a client that leaves in it is ours."""
        return NEED_DATA if self._eof else PAUSED
