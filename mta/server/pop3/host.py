"""The host of a POP3 session: it answers what the session tells.

A login goes to the guard (`login`); who is let in gets their mail drop, opened in a helper thread; its
messages are read ahead by `pop3_drop`; QUIT removes what was marked there. Whatever way a session ends, its
mail drop is given back.

This module must never parse what a client said nor touch a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from mta.counters import MESSAGES_SENT, OCTETS_SENT
from mta.log import events as tell
from mta.protocol import sasl
from mta.protocol.events import StartTls
from mta.protocol.pop3 import replies
from mta.protocol.pop3.events import Event, Listing, More, Retrieve, Update
from mta.protocol.pop3.replies import Reply
from mta.protocol.pop3.server import Pop3Server
from mta.protocol.pop3.terms import Pop3Terms
from mta.protocol.replies import Reply as SmtpReply
from mta.protocol.scram import Verifier
from mta.server.attendance import Attendance
from mta.server.connection import Transport
from mta.server.desk import Client, Desk, Rules
from mta.server.login import Login
from mta.server.pop3.drop import Found, OpenDrop, Piece
from mta.server.service import Left, Service
from mta.server.tls import TlsFilter
from mta.store import InUse, MailDrop, Removal
from mta.users.account import Account
from mta.users.guard import Busy, Down, Granted, Refused, Verdict


class Pop3Host(Attendance):
    """One session's host."""

    __slots__ = ("_drop", "_login", "_refusal", "_rules", "session")

    session: Pop3Server

    def __init__(self, desk: Desk, rules: Rules, client: Client, left: Left) -> None:
        """`left` is called once the connection is closed."""
        super().__init__(desk, client, left)
        self._rules = rules
        self._drop: OpenDrop | None = None
        self._refusal: SmtpReply | None = None
        self._login = Login(desk, client, self.session_id)
        self.session = Pop3Server(_terms(rules, client), tls=client.service == "pop3s")
        self.session.rejected = self._rejected

    def serve(self, connection: Transport, refusal: SmtpReply | None) -> None:
        """Greet the client, or refuse it, and go on until it leaves."""
        self._arrive(connection)
        self._refusal = refusal
        if self.client.service == "pop3s":
            connection.open(self._rules.context)
        else:
            self._greet()
            connection.open()

    def _greet(self) -> None:
        if self._refusal is None:
            self.session.open()
        else:
            self.session.refuse(self._refusal)

    # Host of a Connection

    def handle(self, event: Event) -> None:
        """Answer one event."""
        _ANSWERS[type(event)](self, event)

    def tls_established(self, tls: TlsFilter) -> None:
        tell.tls_started(self.desk.log, self.session_id, tls.version, tls.cipher)
        self._login.forget()
        if self.client.service == "pop3s":
            self._greet()

    def disconnected(self, reason: str) -> None:
        if self._drop is not None:
            self._drop.leave()
        super().disconnected(reason)

    def _answer_starttls(self, _event: StartTls) -> None:
        assert self.connection is not None
        if self._rules.context is None:
            self.session.reply(replies.NO_TLS)
        else:
            self.session.reply(replies.READY_FOR_TLS)
            self.connection.start_tls(self._rules.context)

    # the login

    def _ask_guard(self, question: sasl.Question) -> None:
        self._login.ask(question, self.session.mechanism, self._hear_guard)

    def _hear_guard(self, answer: Verdict | Verifier) -> None:
        assert self.connection is not None
        if self.connection.closed:
            return
        if isinstance(answer, Granted):
            self._open(answer.account)
            return
        if isinstance(answer, Verifier):
            self.session.verify_by(answer)
        else:
            self.session.reply(_REFUSALS[type(answer)])
        self.connection.resume()

    def _open(self, account: Account) -> None:
        job = partial(self.desk.store.open_maildrop, account.folder)
        self.desk.readers.run(job, partial(self._opened, account))

    def _opened(self, account: Account, result: MailDrop | OSError) -> None:
        assert self.connection is not None
        if isinstance(result, OSError):
            self._refuse_drop(account, result)
            return
        self._drop = OpenDrop(result, self.desk.readers, self.desk.memory, self._arrived)
        if self.connection.closed:
            self._drop.leave()
            return
        messages = len(result.sizes)
        tell.drop_opened(self.desk.log, self.session_id, account.address, messages, result.octets)
        for trouble in result.troubles:
            tell.fault(self.desk.log, "reading a mailbox", account.folder, trouble)
        self.session.admit(Listing(result.sizes, result.identities, result.octets))
        self.connection.resume()

    def _refuse_drop(self, account: Account, error: OSError) -> None:
        in_use = isinstance(error, InUse)
        if not in_use:
            tell.fault(self.desk.log, "opening a mailbox", account.folder, error)
        self._say(lambda: self.session.reply(replies.IN_USE if in_use else replies.DROP_FAULT))

    # messages

    def _retrieve(self, event: Retrieve) -> None:
        self._pass_on(self._open_drop.begin(event.position, event.lines, utf8=event.utf8))

    def _go_on(self, _event: More) -> None:
        self._pass_on(self._open_drop.go_on())

    @property
    def _open_drop(self) -> OpenDrop:
        assert self._drop is not None
        return self._drop

    def _arrived(self, found: Found) -> None:
        assert self.connection is not None
        self._pass_on(found)
        self.connection.resume()

    def _pass_on(self, found: Found | None) -> None:
        if isinstance(found, Piece):
            self._send(found)
        elif found is not None:
            self._tell_unreadable(found)

    def _send(self, piece: Piece) -> None:
        self.desk.row.add(OCTETS_SENT["pop3"], len(piece.octets))
        if piece.last:
            self.messages += 1
            self.desk.row.add(MESSAGES_SENT["pop3"])
        self.session.text(piece.octets, last=piece.last)

    def _tell_unreadable(self, error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            self.session.reply(replies.VANISHED)
        else:
            tell.fault(self.desk.log, "reading a message", self.session_id, error)
            self.session.reply(replies.UNREADABLE)

    # the end

    def _update(self, event: Update) -> None:
        self._open_drop.update(event.positions, partial(self._updated, event))

    def _updated(self, event: Update, failed: list[Removal]) -> None:
        for name, error in failed:
            tell.fault(self.desk.log, "removing a message", name, error)
        if event.positions:
            removed = len(event.positions) - len(failed)
            tell.drop_updated(self.desk.log, self.session_id, removed, len(failed))
        self._say(lambda: self.session.reply(replies.NOT_ALL_REMOVED if failed else replies.BYE))

    # the log

    def _rejected(self, command: bytes, reply: Reply) -> None:
        tell.rejected(self.desk.log, self.session_id, self.client.peer, command, reply.text)


def _terms(rules: Rules, client: Client) -> Pop3Terms:
    return Pop3Terms(
        hostname=rules.settings.hostname,
        error_limit=rules.settings.limits.errors,
        starttls=rules.context is not None,
        login=rules.login(client, required=True),
    )


_REFUSALS: Final[dict[type, Reply]] = {
    Refused: replies.WRONG_PASSWORD,
    Busy: replies.LOGIN_BUSY,
    Down: replies.LOGIN_DOWN,
}

_ANSWERS: Final[dict[type, Callable[[Pop3Host, Any], None]]] = {
    sasl.Password: Pop3Host._ask_guard,
    sasl.NeedVerifier: Pop3Host._ask_guard,
    sasl.Proven: Pop3Host._ask_guard,
    sasl.Disproved: Pop3Host._ask_guard,
    Retrieve: Pop3Host._retrieve,
    More: Pop3Host._go_on,
    Update: Pop3Host._update,
    StartTls: Pop3Host._answer_starttls,
}


POP3: Final = Service(
    receive=Pop3Host,
    refuse=lambda reply: replies.instead_of(reply).octets,
    timeout=lambda settings: settings.pop3.timeout,
    greets=False,
)
"""Mail for those who fetch it. Many clients send before they are greeted, and nobody else may be meant."""
POP3S: Final = replace(POP3, refuse=lambda _reply: b"", tls=True)
