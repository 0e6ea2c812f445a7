"""The host of a control session: settings changed while the server runs, from this machine only.

The supervisor keeps the configuration and answers once a change is in force in every process; the session
waits for it. Whoever steers must get in when the house is full, so these sessions do not count among the
others.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from mta.config import KEYS
from mta.protocol.control import ControlSession, Inquiry, Question, Setting
from mta.protocol.replies import Reply
from mta.server.attendance import Attendance
from mta.server.connection import Transport
from mta.server.desk import Client, Desk, Message, Rules
from mta.server.service import Left, Service
from mta.server.tls import TlsFilter

NAMES: Final = ("logger", *(name for name, key in KEYS.items() if key.live))
"""What can be set: whether records of sessions are written, and every live setting."""

_PATIENCE: Final = 1800.0
"""Seconds that an operator may think."""


class ControlHost(Attendance):
    """One session's host."""

    __slots__ = ("session",)

    session: ControlSession

    def __init__(self, desk: Desk, _rules: Rules, client: Client, left: Left) -> None:
        """`left` is called once the connection is closed."""
        super().__init__(desk, client, left)
        self.session = ControlSession(NAMES)

    def serve(self, connection: Transport, refusal: Reply | None) -> None:
        """Go on until the client leaves; there is no greeting."""
        self._arrive(connection)
        if refusal is not None:
            self.session.refuse()
        connection.open()

    def handle(self, event: Question) -> None:
        """Ask the supervisor."""
        if isinstance(event, Setting):
            by = f"{self.client.service} {self.client.peer}"
            self.desk.set_live(event.name, event.value, by, self._set)
        else:
            self.desk.ask({"request": "get", "key": event.name}, partial(self._found, event))

    def tls_established(self, tls: TlsFilter) -> None:
        """Never: this is served in the clear."""

    def _set(self, trouble: str) -> None:
        self._reply(not trouble)

    def _found(self, event: Inquiry, answer: Message) -> None:
        if answer["status"]:
            self._reply(False)
        else:
            self._reply(True, f"{event.name}={answer['value']}")

    def _reply(self, ok: bool, *lines: str) -> None:
        self._say(lambda: self.session.reply(ok, *lines))


CONTROL: Final = Service(
    receive=ControlHost,
    refuse=lambda _reply: b"ERR\r\n",
    timeout=lambda _settings: _PATIENCE,
    greets=False,
    apart=True,
)
"""Live settings, on loopback."""
