"""What an SMTP server's session has, whatever it is doing: surroundings, a state, replies on their way
out, wrong commands counted, and the end.

Here is the one place where a transaction ends, the one where a refusal is counted and told, and the one where
the session closes. What commands and texts mean is `smtp_server`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mta.protocol import replies
from mta.protocol.events import Closed, Event, Question
from mta.protocol.replies import Reply
from mta.protocol.smtp.body import ChunkedText
from mta.protocol.smtp.states import CLOSED, INIT, START, TLS_STARTING, State
from mta.protocol.smtp.terms import Terms
from mta.protocol.wire import Wire

ERROR_WEIGHT: Final = 5
"""A refused command (5xx) counts as much as so many idle ones."""


class SmtpSession(Wire):
    __slots__ = (
        "_asked", "_closed", "_farewell", "_line", "_strikes", "_text", "recipients", "rejected", "smtputf8",
        "state", "terms",
    )  # fmt: skip

    terms: Terms
    state: State
    recipients: int
    """Accepted in this transaction."""
    smtputf8: bool
    """This transaction may hold addresses that are not ASCII."""
    rejected: Callable[[bytes, Reply], None] | None
    """Told each command that is answered with 4xx or 5xx (`.` for a text), and the reply."""

    def __init__(self, terms: Terms) -> None:
        super().__init__()
        self.terms = terms
        self.state = START
        self.recipients = 0
        self.smtputf8 = False
        self.rejected = None
        self._line = b""
        """The command being served."""
        self._asked: Question | None = None
        """The event the host has not answered yet."""
        self._strikes = 0
        self._text: ChunkedText | None = None
        """The message under way."""
        self._farewell: tuple[Reply, str] | None = None
        """How to close once the host has answered."""
        self._closed: Closed | None = None

    # --- the end, as the host sees it

    @property
    def phase(self) -> str:
        return self.state.value

    def time_out(self) -> None:
        """The client was silent too long: 421 and Closed; while paused, the answer of the host goes first."""
        self._end(replies.TIMED_OUT, "timeout")

    def shut_down(self) -> None:
        """The server stops: 421 and Closed; while paused, the answer of the host goes first, so that a
        message being made durable gets its 250."""
        self._end(replies.SHUTTING_DOWN, "shutdown")

    # --- the transaction, and replies

    def _enter(self, state: State) -> None:
        """The one place where a transaction ends: INIT and START know nothing of it."""
        self.state = state
        if state is INIT or state is START:
            self.recipients = 0
            self.smtputf8 = False
            self._text = None

    def _marked(self, reply: Reply) -> Reply:
        """A reject of mail, by which its client can ask and its operator can look."""
        return reply.with_id(self.terms.session_id)

    def _answer(self, reply: Reply) -> None:
        """Sends a refusal and counts it."""
        if reply.code >= 500:
            self._strikes += ERROR_WEIGHT
        if self.rejected is not None:
            self.rejected(self._line, reply)
        self._send(reply)

    def _cut_off(self, reply: Reply, reason: str) -> None:
        """The last refusal: nothing sensible can follow."""
        self._answer(reply)
        self._close(None, reason)

    def _send(self, reply: Reply) -> None:
        self._send_octets(reply.octets)

    def _end(self, reply: Reply, reason: str) -> None:
        if self._asked is not None:
            self._farewell = (reply, reason)
        else:
            self._close(None if self.state is TLS_STARTING else reply, reason)

    def _leave_if_told(self) -> None:
        """An end that had to wait until the host had answered."""
        if self._farewell is not None:
            self._close(*self._farewell)

    def _close(self, reply: Reply | None, reason: str) -> None:
        """The last reply, if any. What is still in the buffer is thrown away."""
        if self.state is CLOSED:
            return
        if reply is not None:
            self._send(reply)
        self._enter(INIT)
        self.state = CLOSED
        self._closed = Closed(reason)
        self._asked = None
        self._go_deaf()

    def _ended(self) -> Event | None:
        return self._closed
