"""The host of an administration session: numbers from the counters, users through the clerk, settings through
the supervisor, logins by the guard.

These sessions do not count among the others, since who raises a limit has to get in when it is reached. What
was ordered is logged, without passwords. This module must never know the wording of the protocol's refusals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from mta.counters import CONNECTIONS_CURRENT, CONNECTIONS_TOTAL, OCTETS_ACCEPTED, OCTETS_SENT, SERVICES
from mta.log import events as tell
from mta.protocol.management.session import ManagementSession, Question
from mta.protocol.management.verbs import (
    AddUser,
    ChangePassword,
    DeleteUser,
    Limit,
    Pause,
    Rank,
    Report,
    ResetPassword,
)
from mta.protocol.replies import BANNED, Reply
from mta.protocol.sasl import Password
from mta.protocol.scram import Verifier
from mta.server.attendance import Attendance
from mta.server.connection import Connection, Transport
from mta.server.desk import Client, Desk, Rules
from mta.server.login import Login
from mta.server.service import Left, Service
from mta.server.steering.clerk import Answer, Clerk, UserOrder
from mta.server.tls import TlsFilter
from mta.users.account import Role
from mta.users.guard import Busy, Down, Granted, Verdict

_PATIENCE: Final = 1800.0
"""Seconds that an administrator may think."""

_COUNTED: Final = tuple(name for name in SERVICES if name not in ("management", "control"))
"""The services whose connections and octets are told: those of mail."""

_RANKS: Final[Mapping[Role, Rank]] = {
    Role.USER: Rank.USER,
    Role.OPERATOR: Rank.OPERATOR,
    Role.ADMINISTRATOR: Rank.ADMINISTRATOR,
}

_LIMITS: Final[Mapping[str, tuple[str, Answer]]] = {
    "MAX_CONNEC": ("limits.connections", Answer(True, "MAX_CONNEC CHANGED")),
    "MAX_USERS": ("limits.users", Answer(True, "MAX_USERS", ("MAX USERS CHANGED SUCCESSFULLY",))),
}
"""The setting behind each, and the reply once it is in force."""


class ManagementHost(Attendance):
    """One session's host."""

    __slots__ = ("_login", "_rules", "session")

    session: ManagementSession

    def __init__(self, desk: Desk, rules: Rules, client: Client, left: Left) -> None:
        """`left` is called once the connection is closed."""
        super().__init__(desk, client, left)
        self._rules = rules
        self.session = ManagementSession()
        self._login = Login(desk, client, self.session_id)

    def serve(self, connection: Transport, refusal: Reply | None) -> None:
        """Greet the client and go on until it leaves; from outside loopback under TLS."""
        self._arrive(connection)
        if refusal is not None or (self.client.outside and self._rules.context is None):
            self.session.refuse("NOT NOW")
        elif self.client.outside:
            connection.open(self._rules.context)
            return
        else:
            self.session.open()
        connection.open()

    # Host of a Connection

    def handle(self, event: Question) -> None:
        """Answer one question."""
        _ANSWERS[type(event)](self, event)

    def tls_established(self, tls: TlsFilter) -> None:
        tell.tls_started(self.desk.log, self.session_id, tls.version, tls.cipher)
        self.session.open()

    # logins

    def _log_in(self, event: Password) -> None:
        self._login.ask(event, "PASS", self._judged)

    def _judged(self, verdict: Verdict | Verifier) -> None:
        if isinstance(verdict, Granted):
            self._say(lambda: self.session.admit(_RANKS[verdict.account.role]))
        elif isinstance(verdict, Busy | Down):
            self._say(lambda: self.session.decline("TRY AGAIN LATER"))
        else:
            self._say(lambda: self.session.deny("LOGIN FAILED"))

    # numbers

    def _report(self, event: Report) -> None:
        if event.name == "USERS":
            self._work(lambda clerk: clerk.users())
        elif event.name == "STATUS":
            self._work(lambda clerk: clerk.count(self._status, event.name))
        else:
            self.session.reply(event.name, *_NUMBERS[event.name](self))

    def _historic(self) -> tuple[str, ...]:
        return (f"HISTORIC CONNECTIONS = {self.desk.row.grid.sum(CONNECTIONS_TOTAL, *_COUNTED)}",)

    def _live(self) -> tuple[str, ...]:
        return (f"LIVE CONNECTIONS = {self.desk.row.grid.sum(CONNECTIONS_CURRENT, *_COUNTED)}",)

    def _octets(self) -> tuple[str, ...]:
        grid = self.desk.row.grid
        return f"BYTES SENT = {grid.sum(OCTETS_SENT)}", f"BYTES RECEIVED = {grid.total(OCTETS_ACCEPTED)}"

    def _status(self, users: int) -> tuple[str, ...]:
        limits = self.desk.settings.limits
        return (
            *self._octets(),
            *self._live(),
            *self._historic(),
            f"TOTAL USERS = {users}",
            f"MAX USERS = {limits.users}",
            f"MAX CONNECTIONS = {limits.connections}",
        )

    # limits

    def _limit(self, event: Limit) -> None:
        if event.name == "MAX_USERS":
            self._work(lambda clerk: clerk.has_at_most(event.number), partial(self._limit_users, event))
        else:
            self._set(event)

    def _limit_users(self, event: Limit, answer: Answer) -> None:
        if answer.ok:
            self._set(event)
        else:
            self._answer(answer)

    def _set(self, event: Limit) -> None:
        key, done = _LIMITS[event.name]
        by = f"{self.client.service} {self.client.peer}"
        self.desk.set_live(
            key,
            event.number,
            by,
            lambda trouble: self._answer(Answer(False, f"OUT OF RANGE: {trouble}") if trouble else done),
        )

    # a rest

    def _pause(self, event: Pause) -> None:
        assert isinstance(self.connection, Connection)
        done = partial(self._answer, Answer(True, "TIMEOUT COMPLETED"))
        if self.desk.intermission.begin(event.seconds, self.connection, done):
            self._tell(f"TIMEOUT {event.seconds}")
        else:
            self.session.decline("TRY AGAIN LATER")

    # users

    def _order(self, event: UserOrder) -> None:
        self._work(lambda clerk: clerk.perform(event), partial(self._ordered, event.user))

    def _ordered(self, user: str, answer: Answer) -> None:
        if answer.ok:
            self._tell(f"{answer.text} {user}")
        self._answer(answer)

    def _change_password(self, event: ChangePassword) -> None:
        """Who guesses at the old one waits, and is logged, as at a login."""
        account = self._login.account
        assert account is not None
        question = Password(account.address, event.old)
        self._login.ask(question, "CHANGE_PASSWORD", partial(self._knows_old, event.new))

    def _knows_old(self, new: str, verdict: Verdict | Verifier) -> None:
        if isinstance(verdict, Granted):
            account = verdict.account
            self._work(lambda clerk: clerk.change(account, new), partial(self._ordered, account.address))
        elif isinstance(verdict, Busy | Down):
            self._answer(Answer(False, "TRY AGAIN LATER"))
        else:
            self._answer(Answer(False, "WRONG PASSWORD"))

    # answers

    def _work(self, work: Callable[[Clerk], Answer], done: Callable[[Answer], None] | None = None) -> None:
        """Let the clerk do it in a thread, then answer."""
        clerk = Clerk(self.desk.accounts, self.desk.settings)
        told = done or self._answer

        def finished(result: Answer | OSError) -> None:
            told(Answer(False, f"TRY AGAIN LATER: {result}") if isinstance(result, OSError) else result)

        self.desk.helpers.run(lambda: clerk.answer(lambda: work(clerk)), finished)

    def _answer(self, answer: Answer) -> None:
        if answer.ok:
            self._say(lambda: self.session.reply(answer.text, *answer.lines))
        else:
            self._say(lambda: self.session.decline(answer.text))

    def _tell(self, order: str) -> None:
        account = self._login.account
        assert account is not None
        tell.administered(self.desk.log, self.session_id, self.client.peer, account.address, order)


_NUMBERS: Final[Mapping[str, Callable[[ManagementHost], tuple[str, ...]]]] = {
    "HISTORIC_CONNEC": ManagementHost._historic,
    "LIVE_CONNEC": ManagementHost._live,
    "BYTES_TRANS": ManagementHost._octets,
}

_ANSWERS: Final[Mapping[type, Callable[[ManagementHost, Any], None]]] = {
    Password: ManagementHost._log_in,
    Report: ManagementHost._report,
    Limit: ManagementHost._limit,
    Pause: ManagementHost._pause,
    ChangePassword: ManagementHost._change_password,
    **dict.fromkeys((AddUser, DeleteUser, ResetPassword), ManagementHost._order),
}

MANAGEMENT: Final = Service(
    receive=ManagementHost,
    refuse=lambda reply: b"-ERR NOT PERMITTED\r\n" if reply is BANNED else b"-ERR TOO MANY CONNECTIONS\r\n",
    timeout=lambda _settings: _PATIENCE,
    greets=False,
    apart=True,
)
"""Administration, for those with a role."""
