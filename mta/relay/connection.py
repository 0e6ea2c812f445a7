"""A connection to an exchanger: one socket, perhaps TLS, and the client session at our end of it.

It connects, moves octets and keeps time; what they mean is the session's business, and which mail is sent is
its host's. Unlike a server it goes on reading while it cannot send: who answers early has something to say
that may make the rest needless.

Time is counted by step: whoever does not take the next one within the session's patience is given up. Our
own delays, while a letter is read or recorded, are not held against the other side.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, TypeAlias

from mta.loop import GONE, READ, WRITE, Loop
from mta.protocol.client.events import ClientEvent, Closed, Decided, Failed, Refused, StartTls, WantText
from mta.protocol.client.session import SmtpClient
from mta.protocol.events import NEED_DATA, PAUSED
from mta.relay.outcome import Reason
from mta.relay.routing.routes import Hop
from mta.tls import CertificateError, TlsError, TlsFilter

RECEIVE_MOST: Final = 65536
"""Octets taken from a socket in one turn."""
CONNECT_SECONDS: Final = 30.0
"""How long a connection may take to be made; the kernel itself would try for minutes."""

_REASONS: Final = {
    errno.ECONNREFUSED: Reason.CONNECTION_REFUSED,
    errno.ECONNRESET: Reason.CONNECTION_REFUSED,
    errno.ETIMEDOUT: Reason.CONNECT_TIMED_OUT,
    errno.EMFILE: Reason.LOCAL_FAULT,
    errno.ENFILE: Reason.LOCAL_FAULT,
    errno.ENOBUFS: Reason.LOCAL_FAULT,
    errno.ENOMEM: Reason.LOCAL_FAULT,
}


class Unreached(NamedTuple):
    """No connection came about."""

    reason: Reason
    detail: str


Cause: TypeAlias = Refused | Failed | Unreached | None
"""Why a connection ended; None: we said QUIT."""


class Host(Protocol):
    """Who gives the mails."""

    def handle(self, event: ClientEvent) -> None:
        """Ready, WantText or Decided; the first two may be answered later, followed by `resume`."""

    def ended(self, cause: Cause) -> None:
        """The connection is closed; told once, last."""


class Connection:
    """One connection. `open` starts it; it ends by itself."""

    __slots__ = (
        "_began", "_context", "_hop", "_host", "_interest", "_loop", "_owed", "_progress", "_serve",
        "_socket", "_tls", "_turning", "_unsent", "_wants_text", "bad_certificate", "closed",
        "connect_seconds", "deadline", "session",
    )  # fmt: skip

    def __init__(
        self, loop: Loop, hop: Hop, context: ssl.SSLContext, session: SmtpClient, host: Host
    ) -> None:
        self._loop = loop
        self._hop = hop
        self._context = context
        self._host = host
        self._socket: socket.socket | None = None
        self._serve: Callable[[int], None] = self._connected
        self._tls: TlsFilter | None = None
        self._unsent = b""
        self._interest = 0
        self._wants_text = False
        self._owed = False
        self._turning = False
        self._progress = -1
        self._began = loop.clock()
        self.session = session
        self.deadline = self._began + CONNECT_SECONDS
        self.connect_seconds = 0.0
        self.bad_certificate = ""
        """What was wrong with the certificate they showed."""
        self.closed = False

    @property
    def tls(self) -> str:
        """`TLSv1.3`; empty in clear."""
        return self._tls.version if self._tls else ""

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return self._loop.clock() - self._began

    # what a courier does with it

    def open(self) -> None:
        """Begin to connect. The host is told of a failure later, never before this returns."""
        address = self._hop.address
        try:
            family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
            self._socket = sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            number = sock.connect_ex((str(address), self._hop.port))
        except OSError as error:
            number = error.errno or errno.EIO
        if number not in (0, errno.EINPROGRESS):
            self._loop.post(lambda: self._unreached(number))
            return
        self._interest = WRITE
        self._loop.add(sock.fileno(), self._ready, WRITE)

    def resume(self) -> None:
        """Go on after the host answered; in the middle of a turn that goes on by itself."""
        if not (self.closed or self._turning):
            self._turn()

    def check_time(self, now: float) -> None:
        """End a session that takes too long."""
        if self.closed or self._owed or now < self.deadline:
            return
        if self._serve == self._connected:
            self._unreached(errno.ETIMEDOUT)
        else:
            self.session.time_out()
            self._turn()

    def abandon(self, detail: str) -> None:
        """Close at once, in the middle of whatever is under way."""
        if self.closed:
            return
        if self._serve == self._connected:
            self._close(Unreached(Reason.INTERRUPTED, detail))
        else:
            self.session.abandon(detail)
            self._turn()

    # connecting

    def _ready(self, events: int) -> None:
        if not self.closed:  # by a neighbour's handler in this very turn
            self._serve(events)

    def _connected(self, _events: int) -> None:
        assert self._socket is not None
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._unreached(number)
            return
        self.connect_seconds = self._loop.clock() - self._began
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._serve = self._converse
        if self.session.terms.tls == "implicit":
            self._start_tls()
        else:
            self.session.open()
        self._turn()

    def _unreached(self, number: int) -> None:
        if not self.closed:
            self._close(Unreached(_REASONS.get(number, Reason.UNREACHABLE), os.strerror(number).lower()))

    # turns

    def _converse(self, events: int) -> None:
        if events & WRITE:
            self._send(b"")
        if events & (READ | GONE) and not self.closed:
            self._receive()
        if not self.closed:
            self._turn()

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            octets = self._socket.recv(RECEIVE_MOST)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if not octets:
            self.session.receive_eof()
        elif self._tls is None:
            self.session.receive_data(octets)
        else:
            self._decrypt(self._tls, octets)

    def _lose(self, error: OSError) -> None:
        self._unsent = b""
        self.session.receive_eof((error.strerror or "connection lost").lower())

    def _turn(self) -> None:
        """Let the host answer what the session has to tell, and send what the session has to say, until there
        is neither."""
        self._turning = True
        try:
            self._exchange()
        finally:
            self._turning = False

    def _exchange(self) -> None:
        session = self.session
        while True:
            event = session.next_event()
            if event is NEED_DATA or event is PAUSED:
                octets = session.data_to_send()
                if octets:
                    self._send(octets)
                if self.closed or not octets:
                    break
            elif type(event) is Closed:
                self._part(event.cause)
                return
            else:
                self._tell(event)
        if not self.closed:
            self._settle(owed=event is PAUSED)

    def _tell(self, event: ClientEvent) -> None:
        if type(event) is StartTls:
            self._start_tls()
        elif type(event) is WantText and self._unsent:
            self._wants_text = True
        else:
            if type(event) is Decided:
                self._wants_text = False
            self._host.handle(event)

    def _settle(self, *, owed: bool) -> None:
        """After a turn: wait for what can happen next."""
        shaking_hands = self._tls is not None and not self._tls.established
        self._owed = owed and not self._unsent and not shaking_hands
        if self.session.progress != self._progress or self._owed:
            self._progress = self.session.progress
            self.deadline = self._loop.clock() + self.session.patience
        interest = READ | WRITE if self._unsent else READ
        if interest != self._interest:
            assert self._socket is not None
            self._interest = interest
            self._loop.modify(self._socket.fileno(), interest)

    def _send(self, octets: bytes) -> None:
        """Send as much as the other side takes; the rest waits in `_unsent`."""
        assert self._socket is not None
        try:
            if self._tls or self._unsent:
                octets = self._unsent + self._encrypted(octets)
            sent = self._socket.send(octets) if octets else 0
        except BlockingIOError:
            sent = 0
        except TlsError as error:
            self._unsent = b""
            self.session.receive_eof(str(error))
            return
        except OSError as error:
            self._lose(error)
            return
        self._unsent = octets[sent:]
        if self._wants_text and not self._unsent:
            self._wants_text = False
            self._host.handle(WantText())

    def _encrypted(self, octets: bytes) -> bytes:
        if self._tls is None:
            return octets
        if octets and self._tls.established:
            self._tls.send(octets)
        return self._tls.to_wire()

    # TLS

    def _start_tls(self) -> None:
        self._tls = TlsFilter(self._context, self._hop.name)
        self._decrypt(self._tls, b"")

    def _decrypt(self, tls: TlsFilter, octets: bytes) -> None:
        fresh = not tls.established
        try:
            plain = tls.receive(octets)
        except TlsError as error:
            self._broken(error, fresh=fresh)
            return
        self._send(b"")
        if fresh and tls.established:
            self._shaken_hands()
        if plain:
            self.session.receive_data(plain)

    def _shaken_hands(self) -> None:
        if self.session.terms.tls == "implicit":
            self.session.open()
        else:
            self.session.tls_started()

    def _broken(self, error: TlsError, *, fresh: bool) -> None:
        self._send(b"")  # the alert that says why
        if isinstance(error, CertificateError):
            self.bad_certificate = str(error)
        if fresh:
            self.session.tls_failed(str(error))
        else:
            self.session.receive_eof(str(error))

    # the end

    def _part(self, cause: Refused | Failed | None) -> None:
        """Say what the session still wants said, as far as that goes at once."""
        octets = self.session.data_to_send()
        if octets:
            self._send(octets)
        self._close(cause)

    def _close(self, cause: Cause) -> None:
        if self.closed:
            return
        self.closed = True
        if self._socket is not None:
            if self._interest:
                self._loop.remove(self._socket.fileno())
            self._socket.close()
        self._host.ended(cause)
