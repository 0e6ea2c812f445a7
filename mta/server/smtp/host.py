"""The host of an SMTP session: it answers what the session tells.

The way of a message is one line of calls: Sender and Recipient are put to the policy (`addressing`), Data
begins a delivery, Text goes into it, the last Text commits it, and the outcome is the reply (`intake`). The
host itself is the life of the session around that.

This module must never parse what a client said nor touch a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from mta.log import events as tell
from mta.protocol.events import (
    Data,
    Discarded,
    Event,
    LoginQuestion,
    Recipient,
    Sender,
    StartTls,
    Statistic,
    Text,
    Verify,
)
from mta.protocol.replies import BAD_LOGIN, LOGGED_IN, NO_LOGIN_NOW, NO_TLS, READY_FOR_TLS, Reply
from mta.protocol.sasl import Disproved, NeedVerifier, Password, Proven
from mta.protocol.scram import Verifier
from mta.protocol.smtp.server import SmtpServer
from mta.server.attendance import Attendance
from mta.server.connection import Transport
from mta.server.desk import Client, Desk, Rules
from mta.server.login import Login
from mta.server.reasons import reason_of
from mta.server.service import Left, Service
from mta.server.smtp import xstat
from mta.server.smtp.addressing import Addressing
from mta.server.smtp.intake import Intake
from mta.server.tls import TlsFilter
from mta.users.account import Account
from mta.users.guard import Busy, Down, Granted, Refused, Verdict


class SmtpHost(Attendance):
    """One session's host."""

    __slots__ = ("_login", "_refusal", "_tls_first", "envelope", "intake", "rules", "session", "tls")

    session: SmtpServer

    def __init__(self, desk: Desk, rules: Rules, client: Client, left: Left) -> None:
        """`left` is called once the connection is closed."""
        super().__init__(desk, client, left)
        self.rules = rules
        self._refusal: Reply | None = None
        self._tls_first = client.service == "submissions"
        self.session = SmtpServer(rules.terms(self.session_id, client), tls=self._tls_first)
        self.session.rejected = self._rejected
        self.tls: TlsFilter | None = None
        self._login = Login(desk, client, self.session_id)
        self.envelope = Addressing(self)
        self.intake = Intake(self)

    def serve(self, connection: Transport, refusal: Reply | None) -> None:
        """Greet the client, or refuse it, and go on until it leaves."""
        self._arrive(connection)
        self._refusal = refusal
        if self._tls_first:
            connection.open(self.rules.context)
        else:
            self._greet()
            connection.open()

    def _greet(self) -> None:
        if self._refusal is None:
            self.session.open()
        else:
            self.session.refuse(self._refusal)

    @property
    def account(self) -> Account | None:
        """Who has logged in."""
        return self._login.account if self.session.user else None

    # Host of a Connection

    def handle(self, event: Event) -> None:
        """Answer one event."""
        _ANSWERS[type(event)](self, event)

    def tls_established(self, tls: TlsFilter) -> None:
        self.tls = tls
        tell.tls_started(self.desk.log, self.session_id, tls.version, tls.cipher)
        self._login.forget()
        if self._tls_first:
            self._greet()

    def disconnected(self, reason: str) -> None:
        self.intake.leave()
        super().disconnected(reason)

    def _answer_sender(self, event: Sender) -> None:
        self.intake.abandon()
        self.envelope.begin(event)

    def _answer_data(self, _event: Data) -> None:
        self.session.reply(self.envelope.close() or self.intake.begin())

    def _rejected(self, command: bytes, reply: Reply) -> None:
        self.desk.row.add(reason_of(reply))
        tell.rejected(self.desk.log, self.session_id, self.client.peer, command, reply.text)

    def _answer_starttls(self, _event: StartTls) -> None:
        assert self.connection is not None
        if self.rules.context is None:
            self.session.reply(NO_TLS)
        else:
            self.session.reply(READY_FOR_TLS)
            self.connection.start_tls(self.rules.context)

    def _answer_login(self, question: LoginQuestion) -> None:
        assert self.session.login is not None
        self._login.ask(question, self.session.login.mechanism, self._hear_guard)

    def _hear_guard(self, answer: Verdict | Verifier) -> None:
        assert self.connection is not None
        if self.connection.closed:
            return
        if isinstance(answer, Verifier):
            self.session.verify_by(answer)
        else:
            self.session.reply(_VERDICTS[type(answer)])
        self.connection.resume()


_ANSWERS: Final[dict[type, Callable[[SmtpHost, Any], None]]] = {
    Sender: SmtpHost._answer_sender,
    Recipient: lambda host, event: host.envelope.add(event),
    Data: SmtpHost._answer_data,
    Text: lambda host, event: host.intake.take(event),
    Discarded: lambda host, _event: host.intake.abandon(),
    Verify: lambda host, event: host.envelope.verify(event),
    Statistic: lambda host, event: host.session.reply(xstat.answer(event, host.desk.row.grid)),
    StartTls: SmtpHost._answer_starttls,
    **dict.fromkeys((Password, NeedVerifier, Proven, Disproved), SmtpHost._answer_login),
}

_VERDICTS: Final[dict[type, Reply]] = {
    Granted: LOGGED_IN,
    Refused: BAD_LOGIN,
    Busy: NO_LOGIN_NOW,
    Down: NO_LOGIN_NOW,
}

SMTP: Final = Service(
    receive=SmtpHost,
    refuse=lambda reply: reply.octets,
    timeout=lambda settings: settings.limits.timeout,
)
"""Mail from other servers."""
SUBMISSION: Final = SMTP
"""Mail from users, who log in first (RFC 6409)."""
SUBMISSIONS: Final = replace(SMTP, refuse=lambda _reply: b"", tls=True, greets=False)
"""The same under TLS from the first octet (RFC 8314 3.3); who is not let in reads nothing."""
