"""A connection: one socket, perhaps TLS, and the session at the other end of it.

The connection moves octets and keeps time; what they mean is the session's business, and what is answered
is its host's. Whatever protocol is spoken, the turn of a connection is the same: receive, let the host answer
what the session tells, send. Three rules keep one client from harming another:

- While output waits for the peer nothing more is read, so a client that does not listen is not served.
- While its host works (`hold`) the session gets no further octets than its own bound.
- Time is a credit: a reply grants the whole time-out anew, received or sent octets only as much as they
  would take at the least decent rate. One octet a minute buys nothing.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from mta.loop import GONE, HANG_UP, READ, WRITE, Loop
from mta.protocol.events import NEED_DATA, PAUSED, Closed
from mta.server.tls import TlsError, TlsFilter

RECEIVE_MOST: Final = 65536
"""Octets taken from a socket in one turn."""

_LEAST_RATE: Final = 500
"""Octets a second; what a slower peer sends or takes does not lengthen its time."""

_LINGER: Final = 2.0
"""Seconds a refused client has to notice: closing with input unread would destroy the reply on its way."""


AnyEvent: TypeAlias = Any
"""NEED_DATA, PAUSED, Closed, or an event of the protocol, which only its host understands."""


class Session(Protocol):
    """What a connection asks of any protocol's session."""

    @property
    def wants_data(self) -> bool: ...
    @property
    def phase(self) -> str: ...
    @property
    def has_more(self) -> bool: ...
    def receive_data(self, data: bytes) -> None: ...
    def receive_eof(self) -> None: ...
    def next_event(self) -> AnyEvent: ...
    def data_to_send(self) -> bytes: ...
    def tls_started(self) -> None: ...
    def time_out(self) -> None: ...
    def shut_down(self) -> None: ...


class Host(Protocol):
    """Who answers a session's events."""

    def handle(self, event: AnyEvent) -> None:
        """One event of the session, which it may answer at once or later."""

    def tls_established(self, tls: TlsFilter) -> None:
        """The handshake is complete."""

    def disconnected(self, reason: str) -> None:
        """The connection is closed; told once, last."""

    def failed(self, defect: Exception) -> None:
        """A defect of ours showed while serving this connection, which is about to be closed."""


class Transport(Protocol):
    """What the receiver and a host ask of a connection, whatever carries its octets."""

    timeout: float
    """Seconds of silence that end the session."""
    deadline: float
    """When the time of the session is over, by the loop's clock."""
    closed: bool

    @property
    def waits_for(self) -> str:
        """Whose turn it is: "us", "client", or "reader" for a client that does not take what we say."""

    def open(self, context: ssl.SSLContext | None = None) -> None: ...
    def check_time(self, now: float) -> None: ...
    def shut_down(self) -> None: ...
    def resume(self) -> None: ...
    def hold(self) -> None: ...
    def release(self) -> None: ...
    def limit_reading(self, octets: int) -> None: ...
    def start_tls(self, context: ssl.SSLContext) -> None: ...


Connect = Callable[[Session, Host, float], Transport]
"""Puts a session and its host on a transport, with this time-out."""


class Connection:
    """One client. `open` starts it; it ends by itself."""

    __slots__ = (
        "_closing", "_deaf", "_gone", "_held", "_host", "_interest", "_loop", "_paused", "_receive_size",
        "_session", "_socket", "_tls", "_unsent", "closed", "deadline", "timeout",
    )  # fmt: skip

    def __init__(self, loop: Loop, sock: socket.socket, session: Session, host: Host, timeout: float) -> None:
        """`sock`: connected and not blocking. `timeout`: seconds of silence that end the session."""
        self._loop = loop
        self._socket = sock
        self._session = session
        self._host = host
        self._tls: TlsFilter | None = None
        self._unsent = b""
        self._interest = READ
        self._receive_size = RECEIVE_MOST
        self._held = False
        self._paused = False
        self._deaf = False
        self._closing = ""
        self.timeout = timeout
        self.deadline = loop.clock() + timeout
        self.closed = False

    # what the receiver does with it

    @property
    def waits_for(self) -> str:
        """Whose turn it is: "us", "client", or "reader" for a client that does not take what we say."""
        if self._held or self._paused:
            return "us"
        return "reader" if self._unsent else "client"

    def open(self, context: ssl.SSLContext | None = None) -> None:
        """Start serving; with a context, under TLS from the first octet."""
        if context is not None:
            self._tls = TlsFilter(context)
        self._loop.add(self._socket.fileno(), self._ready)
        self.resume()

    def check_time(self, now: float) -> None:
        """End the session when its time is over. Our own delays are not held against the client; that it does
        not take what is sent is no delay of ours."""
        shaking_hands = self._tls is not None and not self._tls.established
        if self._held or (self._paused and self._interest != WRITE and not shaking_hands):
            self._grant()
        elif now < self.deadline:
            return
        elif self._closing or self._unsent or shaking_hands:
            self._close(self._closing or "timeout")
        else:
            self._session.time_out()
            self.resume()

    def shut_down(self) -> None:
        """The server stops: 421 as soon as a pending reply is out, then close."""
        self._session.shut_down()
        self.resume()

    # what a host does with it

    def resume(self) -> None:
        """Go on after the host answered a session that was waiting for it."""
        if self._loop.resting:
            self._loop.put_off(self.resume)
        elif not self.closed:
            self._guarded(self._turn)

    def hold(self) -> None:
        """Serve nothing more until `release`: the host is busy with what it got."""
        self._held = True

    def release(self) -> None:
        """End `hold`."""
        self._held = False
        self.resume()

    def await_hang_up(self, told: Callable[[], None] | None) -> None:
        """While the loop rests: tell when the peer hangs up; None: no longer."""
        if told is None:
            self._loop.unwatch(self._socket.fileno())
        else:
            self._loop.watch(self._socket.fileno(), lambda _events: told(), HANG_UP)

    def limit_reading(self, octets: int) -> None:
        """Take no more than so many octets from the socket in one turn."""
        self._receive_size = octets

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Send what the session has said so far in the clear, and everything else under TLS."""
        self._unsent += self._session.data_to_send()
        self._tls = TlsFilter(context)

    # turns

    def _ready(self, events: int) -> None:
        if not self.closed:  # by a neighbour's handler in this very turn
            self._guarded(self._serve, events)

    def _guarded(self, serve: Callable[..., None], *arguments: int) -> None:
        try:
            serve(*arguments)
        except Exception as defect:  # noqa: BLE001 - a defect of ours must cost one session, never all of them
            self._host.failed(defect)
            self._close("internal error")

    def _serve(self, events: int) -> None:
        if events & WRITE:
            self._send(b"")
            if self._unsent or self.closed:
                return
        if events & READ:
            self._receive()
        elif events & GONE:
            self._close("connection lost")
        elif events & WRITE:
            self._turn()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(self._receive_size)
        except BlockingIOError:
            return
        except OSError as error:
            self._close(error.strerror or "connection lost")
            return
        if self._closing:
            self._drain(data)
            return
        self._earn(len(data))
        if not data:
            self._deaf = True
            self._session.receive_eof()
            self._turn()
        elif self._tls is None:
            self._session.receive_data(data)
            self._turn()
        else:
            self._decrypt(self._tls, data)

    def _decrypt(self, tls: TlsFilter, data: bytes) -> None:
        fresh = not tls.established
        try:
            plain = tls.receive(data)
        except TlsError as error:
            self._send(tls.to_wire())
            self._close(f"TLS: {error}")
            return
        if fresh and tls.established:
            self._session.tls_started()
            self._host.tls_established(tls)
        if plain:
            self._session.receive_data(plain)
        self._turn()

    def _turn(self) -> None:
        """Let the host answer what the session has to tell, then send what the session has to say."""
        session, handle = self._session, self._host.handle
        self._paused = False
        while not self._held:
            event = session.next_event()
            if event is NEED_DATA:
                break
            if event is PAUSED:
                self._paused = True
                break
            if type(event) is Closed:
                self._closing = event.reason
                break
            handle(event)
            if self.closed:
                return
        self._send(session.data_to_send())
        if not self.closed:
            self._settle()

    def _settle(self) -> None:
        """After a turn: close if it was the last, else wait for what can happen next."""
        if self._closing and not self._unsent:
            self._finish()
            return
        if self._unsent or self._session.has_more:
            interest = WRITE
        elif self._deaf or self._held or not self._session.wants_data:
            interest = 0
        else:
            interest = READ
        if interest != self._interest:
            self._interest = interest
            self._loop.modify(self._socket.fileno(), interest)

    def _send(self, octets: bytes) -> None:
        """Send as much as the peer takes; the rest waits in `_unsent`."""
        if octets:
            self._grant()
        try:
            if self._tls or self._unsent:
                octets = self._unsent + self._encrypted(octets)
            if not octets:
                return
            sent = self._socket.send(octets)
        except BlockingIOError:
            sent = 0
        except (OSError, TlsError) as error:
            self._close(f"connection lost: {error}")
            return
        self._unsent = octets[sent:]
        if self._unsent:
            self._earn(sent)

    def _encrypted(self, octets: bytes) -> bytes:
        if self._tls is None:
            return octets
        if octets and self._tls.established:
            self._tls.send(octets)
        return self._tls.to_wire()

    # time

    def _grant(self) -> None:
        self.deadline = self._loop.clock() + self.timeout

    def _earn(self, octets: int) -> None:
        self.deadline = min(self._loop.clock() + self.timeout, self.deadline + octets / _LEAST_RATE)

    # the end

    def _finish(self) -> None:
        """Everything is said. A client that was cut short gets a moment to read why."""
        if self._deaf or self._closing == "quit":
            self._close(self._closing)
            return
        if self._tls is not None:
            self._tls.close()
            self._send(b"")
        if not self.closed:
            self._linger()

    def _linger(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._close(error.strerror or "connection lost")
            return
        self._receive_size = RECEIVE_MOST
        self.deadline = self._loop.clock() + _LINGER
        self._interest = READ
        self._loop.modify(self._socket.fileno(), READ)

    def _drain(self, data: bytes) -> None:
        if not data:
            self._close(self._closing)

    def _close(self, reason: str) -> None:
        if self.closed:
            return
        self.closed = True
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        self._host.disconnected(reason)
