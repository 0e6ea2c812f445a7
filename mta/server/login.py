"""The host's half of a login, the same for every protocol: a session's question goes to the guard, its
verdict comes back, and both ways of it are counted and logged, without any secret.

A host makes one for each session, hands it the questions of `mta.protocol.sasl`, and answers its session in
its protocol's words. It never knows replies.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from mta.counters import LOGINS_FAILED, LOGINS_OK
from mta.log import events as tell
from mta.protocol.sasl import NeedVerifier, Password, Proven, Question
from mta.protocol.scram import Verifier
from mta.server.desk import Client, Desk
from mta.users.account import Account
from mta.users.guard import Busy, Down, Granted, Verdict

Answer: TypeAlias = Callable[[Verdict | Verifier], None]


class Login:
    """The logins of one session."""

    __slots__ = ("_client", "_desk", "_session_id", "account")

    def __init__(self, desk: Desk, client: Client, session_id: str) -> None:
        self._desk = desk
        self._client = client
        self._session_id = session_id
        self.account: Account | None = None
        """Whom the guard has let in."""

    def ask(self, question: Question, mechanism: str, answer: Answer) -> None:
        """Put a question to the guard; `answer` gets its Verdict, or the Verifier that NeedVerifier asks for.

        `mechanism`: for the log, as the client named it (`PLAIN`, `USER`)."""
        guard, client, user = self._desk.guard, self._client.address, question.user
        told = partial(self._told, user, mechanism, answer)
        if isinstance(question, Password):
            guard.check(user, question.password, client, told)
        elif isinstance(question, NeedVerifier):
            guard.verifier(user, client, told)
        else:
            guard.admit(user, client, isinstance(question, Proven), told)

    def forget(self) -> None:
        """What was said before TLS counts no more (RFC 3207 4.2)."""
        self.account = None

    def _told(self, user: str, mechanism: str, answer: Answer, outcome: Verdict | Verifier) -> None:
        log, session_id, peer = self._desk.log, self._session_id, self._client.peer
        if isinstance(outcome, Granted):
            self.account = outcome.account
            self._desk.row.add(LOGINS_OK)
            tell.logged_in(log, session_id, peer, outcome.account.address, mechanism)
        elif not isinstance(outcome, Verifier):
            self._desk.row.add(LOGINS_FAILED)
            tell.login_failed(log, session_id, peer, user, mechanism, _reason(outcome))
        answer(outcome)


def _reason(outcome: Verdict) -> str:
    if isinstance(outcome, Busy):
        return "too many at once"
    if isinstance(outcome, Down):
        return f"database: {outcome.text}"
    return outcome.why if not isinstance(outcome, Granted) else ""
