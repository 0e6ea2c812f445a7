"""The host's half of a login, the same for every protocol: a session's question goes to the guard, its verdict
comes back, and both ways of it are logged, without any secret.

A host makes one for each session, hands it the questions of `mta.protocol.sasl`, and answers its session in
its protocol's words. It never knows replies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mta.protocol.sasl import Question
from mta.protocol.scram import Verifier
from mta.server.desk import Client, Desk
from mta.users.guard import Verdict

if TYPE_CHECKING:
    from mta.users.account import Account

Answer = Callable[[Verdict | Verifier], None]


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
        raise NotImplementedError

    def forget(self) -> None:
        """What was said before TLS counts no more (RFC 3207 4.2)."""
        self.account = None
