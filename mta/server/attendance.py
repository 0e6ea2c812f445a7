"""What every host of a session does besides answering it: the session has a name, a beginning and an end, and
the log hears of them; and of each line, while a transcript is wanted.

A protocol's host derives from this and adds what its session asks. It never knows what is said.
"""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from mta.log import events as tell
from mta.protocol.replies import Reply
from mta.protocol.wire import Transcript
from mta.server.connection import AnyEvent, Session, Transport
from mta.server.desk import Client, Desk
from mta.server.service import Left
from mta.server.tls import TlsFilter


class Recordable(Session, Protocol):
    """A session that tells its lines to whom it is asked to."""

    transcript: Transcript | None


class Attendance(ABC):
    """One session's host, as far as all protocols are alike; the session and the connection belong to it."""

    __slots__ = ("_left", "client", "connection", "desk", "messages", "session_id", "started")

    session: Recordable

    def __init__(self, desk: Desk, client: Client, left: Left) -> None:
        """`left` is called once the connection is closed."""
        self._left = left
        self.desk = desk
        self.client = client
        self.session_id = desk.identifiers.next()
        self.started = desk.loop.clock()
        self.connection: Transport | None = None
        self.messages = 0
        """Accepted, or fetched."""

    @abstractmethod
    def serve(self, connection: Transport, refusal: Reply | None) -> None:
        """Greet the client, or refuse it, and go on until it leaves."""

    @abstractmethod
    def handle(self, event: AnyEvent) -> None:
        """Answer one event."""

    @abstractmethod
    def tls_established(self, tls: TlsFilter) -> None:
        """The handshake is complete."""

    def _arrive(self, connection: Transport) -> None:
        """The session begins, on this connection."""
        self.connection = connection
        tell.connected(self.desk.log, self.session_id, self.client.service, self.client.peer)
        self.transcribe(self.desk.log.transcript)

    def transcribe(self, on: bool) -> None:
        """Record every line from now on, or no longer."""
        if on == (self.session.transcript is not None):
            return
        self.session.transcript = self._transcribe if on else None
        if on:
            tell.transcript_started(self.desk.log, self.session_id, self.client.service, self.client.peer)

    def disconnected(self, reason: str) -> None:
        """The connection is closed; told once, last."""
        seconds = self.desk.loop.clock() - self.started
        tell.transcript_completed(self.desk.log, self.session_id, seconds)
        tell.closed(self.desk.log, self.session_id, reason, seconds, self.messages)
        self._left(self)

    def failed(self, defect: Exception) -> None:
        """A defect of ours showed while serving this session."""
        where = "".join(traceback.format_exception(defect))
        tell.fault(self.desk.log, f"serving session {self.session_id}", where, repr(defect))

    def _say(self, say: Callable[[], None]) -> None:
        """Answer a question that took its time, unless the client has left meanwhile, and go on."""
        assert self.connection is not None
        if not self.connection.closed:
            say()
            self.connection.resume()

    def _transcribe(self, direction: str, line: bytes) -> None:
        told = tell.transcript_sent if direction == "S" else tell.transcript_received
        told(self.desk.log, self.session_id, line)
