"""The host of a control session: settings changed while the server runs, from this machine only.

The supervisor keeps the configuration and answers once a change is in force in every process; the session
waits for it. Whoever steers must get in when the house is full, so these sessions do not count among the
others.
"""

from __future__ import annotations

import traceback
from functools import partial
from typing import Final

from mta.config import KEYS
from mta.log import events as tell
from mta.protocol.control import ControlSession, Inquiry, Question, Setting
from mta.protocol.replies import Reply
from mta.server.connection import Transport
from mta.server.desk import Client, Desk, Message, Rules
from mta.server.service import Left, Service
from mta.server.tls import TlsFilter

NAMES: Final = ("logger", *(name for name, key in KEYS.items() if key.live))
"""What can be set: whether records of sessions are written, and every live setting."""

_PATIENCE: Final = 1800.0
"""Seconds that an operator may think."""


class ControlHost:
    """One session's host."""

    def __init__(self, desk: Desk, rules: Rules, client: Client, left: Left) -> None:
        """`left` is called once the connection is closed."""
        self._desk = desk
        self._left = left
        self.started = desk.loop.clock()
        self.client = client
        self.session_id = desk.identifiers.next()
        self.session = ControlSession(NAMES)
        self.connection: Transport | None = None

    def serve(self, connection: Transport, refusal: Reply | None) -> None:
        """Go on until the client leaves; there is no greeting."""
        self.connection = connection
        tell.connected(self._desk.log, self.session_id, self.client.service, self.client.peer)
        self.transcribe(self._desk.log.transcript)
        if refusal is not None:
            self.session.refuse()
        connection.open()

    def transcribe(self, on: bool) -> None:
        """Record every line from now on, or no longer."""
        if on == (self.session.transcript is not None):
            return
        self.session.transcript = self._transcribe if on else None
        if on:
            tell.transcript_started(self._desk.log, self.session_id, self.client.service, self.client.peer)

    def handle(self, event: Question) -> None:
        """Ask the supervisor."""
        if isinstance(event, Setting):
            by = f"{self.client.service} {self.client.peer}"
            self._desk.set_live(event.name, event.value, by, self._set)
        else:
            self._desk.ask({"request": "get", "key": event.name}, partial(self._found, event))

    def tls_established(self, tls: TlsFilter) -> None:
        """Never: this is served in the clear."""

    def disconnected(self, reason: str) -> None:
        seconds = self._desk.loop.clock() - self.started
        tell.transcript_completed(self._desk.log, self.session_id, seconds)
        tell.closed(self._desk.log, self.session_id, reason, seconds)
        self._left(self)

    def failed(self, defect: Exception) -> None:
        where = "".join(traceback.format_exception(defect))
        tell.fault(self._desk.log, f"serving session {self.session_id}", where, repr(defect))

    def _set(self, trouble: str) -> None:
        self._reply(not trouble)

    def _found(self, event: Inquiry, answer: Message) -> None:
        if answer["status"]:
            self._reply(False)
        else:
            self._reply(True, f"{event.name}={answer['value']}")

    def _reply(self, ok: bool, *lines: str) -> None:
        assert self.connection is not None
        if not self.connection.closed:
            self.session.reply(ok, *lines)
            self.connection.resume()

    def _transcribe(self, direction: str, line: bytes) -> None:
        told = tell.transcript_sent if direction == "S" else tell.transcript_received
        told(self._desk.log, self.session_id, line)


CONTROL: Final = Service(
    receive=ControlHost,
    refuse=lambda _reply: b"ERR\r\n",
    timeout=lambda _settings: _PATIENCE,
    greets=False,
    apart=True,
)
"""Live settings, on loopback."""
