"""What carries a session over UDP: a datagram in, a datagram out.

An Exchange gives its session one line at a time; what the session says until it wants the next one is the
reply, and its datagram the acknowledgement, be it empty. While the session or its host is busy, datagrams
wait.

It knows neither the socket nor other sessions.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable
from typing import Final

from mta.loop import Loop
from mta.protocol.datagram import Again, Line, Numbers, is_line, is_opening
from mta.protocol.events import NEED_DATA, PAUSED, Closed
from mta.protocol.replies import Reply
from mta.protocol.smtp.server import SmtpServer
from mta.protocol.smtp.states import DATA_RECEIVING
from mta.server.connection import Host

NO_LINE: Final = Reply(500, "5.5.2", "a datagram is one line that ends in CRLF")

_MOST_WAITING: Final = 65536
"""Octets of datagrams that wait while a session is busy."""


class Exchange:
    """Carries one session: a datagram in, a datagram out. A Transport."""

    __slots__ = (
        "_busy", "_closing", "_ended", "_greeting", "_held", "_host", "_line", "_loop", "_send", "_session",
        "_waiting", "closed", "deadline", "numbers", "timeout",
    )  # fmt: skip

    def __init__(
        self,
        loop: Loop,
        send: Callable[[bytes], None],
        ended: Callable[[], None],
        numbers: Numbers,
        session: SmtpServer,
        host: Host,
        timeout: float,
    ) -> None:
        """`ended` is called once the session is over, before its host hears of it."""
        self._loop = loop
        self._send = send
        self._ended = ended
        self._session = session
        self._host = host
        self._line: Line | None = None
        """The line that is being served."""
        self._waiting: deque[bytes] = deque()
        self._greeting = b""
        """What the opening was answered with, as long as nothing has followed it."""
        self._busy = False
        self._held = False
        self._closing = ""
        self.numbers = numbers
        self.timeout = timeout
        self.deadline = loop.clock() + timeout
        self.closed = False

    # what the listener does with it

    def receive(self, datagram: bytes) -> None:
        """Serve it, or keep it while the session is busy; what does not fit then is as good as lost."""
        if sum(map(len, self._waiting)) + len(datagram) <= _MOST_WAITING:
            self._waiting.append(datagram)
            self._guarded(self._serve)

    def greet_again(self) -> None:
        """The opening has been repeated."""
        if self._greeting:
            self._send(self._greeting)

    def abandon(self) -> None:
        """The peer has begun anew and knows nothing of this session."""
        self._close("lost")

    # what the receiver and the host do with it

    def open(self, context: ssl.SSLContext | None = None) -> None:
        """Greet."""
        assert context is None
        self.resume()

    def check_time(self, now: float) -> None:
        """End the session when its time is over. Our own delays are not held against the client."""
        if self._busy:
            self._grant()
        elif now >= self.deadline:
            self._session.time_out()
            self.resume()

    @property
    def waits_for(self) -> str:
        return "us" if self._held else "client"

    def shut_down(self) -> None:
        self._session.shut_down()
        self.resume()

    def resume(self) -> None:
        if self._loop.resting:
            self._loop.put_off(self.resume)
        elif not self.closed:
            self._guarded(self._go_on)

    def hold(self) -> None:
        self._held = True

    def release(self) -> None:
        self._held = False
        self.resume()

    def limit_reading(self, octets: int) -> None:
        """One datagram is little enough."""

    def start_tls(self, context: ssl.SSLContext) -> None:
        raise RuntimeError("a session in datagrams is not offered TLS")

    # turns

    def _guarded(self, serve: Callable[[], None]) -> None:
        try:
            serve()
        except Exception as defect:  # noqa: BLE001 - a defect of ours must cost one session, never all of them
            self._host.failed(defect)
            self._close("internal error")

    def _go_on(self) -> None:
        self._turn()
        self._serve()

    def _serve(self) -> None:
        while self._waiting and not self._busy and not self.closed:
            self._take(self._waiting.popleft())

    def _take(self, datagram: bytes) -> None:
        text = self._session.state is DATA_RECEIVING
        if self._greeting and is_opening(datagram):
            self.greet_again()
        elif is_line(datagram):
            self._sort(self.numbers.receive(datagram, text=text))
        elif not text:
            self._send(NO_LINE.octets)

    def _sort(self, taken: Line | Again | None) -> None:
        if isinstance(taken, Again):
            self._send(taken.datagram)
        elif taken is not None:
            self._greeting = b""
            self._line = taken
            self._grant()
            self._session.receive_data(taken.octets)
            self._turn()

    def _turn(self) -> None:
        """Let the host answer what the session has to tell; once it wants more, what it says is the reply."""
        self._busy = not self._has_settled()
        if self._busy or self.closed:
            return
        self._answer(self._session.data_to_send())
        if self._closing:
            self._close(self._closing)

    def _has_settled(self) -> bool:
        while not self._held and not self.closed:
            event = self._session.next_event()
            if event is NEED_DATA or event is PAUSED:
                return event is NEED_DATA
            if isinstance(event, Closed):
                self._closing = event.reason
                return True
            self._host.handle(event)
        return False

    def _answer(self, reply: bytes) -> None:
        """Inside a text the session says nothing, and the datagram is empty."""
        line, self._line = self._line, None
        if line is not None:
            self._send(self.numbers.answered(line, reply))
        elif reply:
            self._greeting = reply
            self._send(reply)

    def _grant(self) -> None:
        self.deadline = self._loop.clock() + self.timeout

    def _close(self, reason: str) -> None:
        if not self.closed:
            self.closed = True
            self._ended()
            self._host.disconnected(reason)
