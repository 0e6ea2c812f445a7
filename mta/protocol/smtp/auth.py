"""AUTH in a session of SMTP (RFC 4954): when it may come, what is said to each step of the exchange.

The mechanisms are in `sasl`; here their steps become replies. 334 asks the client on, 235 lets it in, all
others end the exchange. Wrong passwords are counted: the last one a session may have is answered with 421.

An Authentication is one session's, from its first AUTH to the end, or to TLS, behind which it begins anew
(RFC 3207 4.2). What it says is sent by the session.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from mta.protocol import replies
from mta.protocol.replies import Refusal, Reply
from mta.protocol.sasl import DONE, Challenge, Exchange, Fault, Question, Step, offered
from mta.protocol.scram import Verifier

if TYPE_CHECKING:
    from mta.protocol.smtp.server import SmtpServer

SYNTAX: Final = "AUTH mechanism [initial response in base64]"
FAILURES: Final = 3
"""Failed logins of one session; the last one ends it."""

_argument = re.compile(rb"([A-Za-z0-9_-]{1,20})(?: +(\S+))?").fullmatch

_WRONG: Final[Mapping[Fault, Reply]] = {
    Fault.CANCELLED: replies.AUTH_CANCELLED,
    Fault.TOO_LONG: replies.ANSWER_TOO_LONG,
    Fault.NOT_BASE64: replies.NOT_BASE64,
    Fault.MALFORMED: replies.WRONG_ANSWER,
    Fault.OTHER_IDENTITY: replies.BAD_LOGIN,
}


def mechanisms(session: SmtpServer) -> tuple[str, ...]:
    """What may be used now, best first: nothing where a password could be overheard."""
    terms = session.terms.login
    if terms is None or not (session.tls or terms.in_clear):
        return ()
    return offered(scram=terms.scram, binding=terms.binding if session.tls else b"")


def keyword(session: SmtpServer) -> str:
    """The line of EHLO."""
    names = mechanisms(session)
    return " ".join(("AUTH", *names)) if names else ""


def require_login(session: SmtpServer) -> None:
    """Before a message. Raises Refusal."""
    terms = session.terms.login
    if terms is not None and terms.required and not session.user:
        raise Refusal(replies.LOGIN_FIRST if mechanisms(session) else replies.TLS_FIRST)


def begin(session: SmtpServer, argument: bytes) -> Reply | Question:
    """The effect of AUTH. Raises Refusal."""
    if not session.extended:
        raise Refusal(replies.NOT_EXTENDED)
    if session.user:
        raise Refusal(replies.ALREADY_LOGGED_IN)
    found = _argument(argument)
    if found is None:
        raise Refusal(Reply(501, "5.5.4", f"syntax: {SYNTAX}"))
    exchange = _exchange(session, found[1].decode("ascii").upper())
    session.login = session.login or Authentication()
    return session.login.begin(exchange, found[2])


def _exchange(session: SmtpServer, name: str) -> Exchange:
    """By this mechanism. Raises Refusal where it may not be used."""
    names, terms = mechanisms(session), session.terms.login
    if not names or terms is None:
        raise Refusal(replies.NO_CLEAR_LOGIN)
    if name not in names:
        raise Refusal(replies.NO_SUCH_MECHANISM)
    return Exchange(name, names, terms.nonce(), terms.binding)


class Authentication:
    """The logins of one session, tried and granted."""

    __slots__ = ("_exchange", "_failures", "_welcome")

    def __init__(self) -> None:
        self._exchange: Exchange | None = None
        self._failures = 0
        self._welcome: Reply | None = None
        """What the host said to a user who has yet to hear our own proof."""

    @property
    def user(self) -> str:
        """Whom the client claims to be."""
        return self._exchange.user if self._exchange else ""

    @property
    def mechanism(self) -> str:
        return self._exchange.name if self._exchange else ""

    def begin(self, exchange: Exchange, initial: bytes | None) -> Reply | Question:
        self._exchange = exchange
        return self._say(exchange.begin(initial))

    def answer(self, line: bytes) -> Reply | Question:
        """The client's answer to 334."""
        return self._say(self._under_way.answer(line))

    def verify_by(self, verifier: Verifier) -> Reply | Question:
        """The host's answer to NeedVerifier."""
        return self._say(self._under_way.verify_by(verifier))

    def settle(self, verdict: Reply) -> Reply | Question:
        """The host's verdict: 235, or what refuses."""
        if verdict.code < 400:
            self._welcome = verdict
            return self._say(self._under_way.granted())
        return self._refused(verdict)

    @property
    def _under_way(self) -> Exchange:
        assert self._exchange is not None
        return self._exchange

    def _say(self, step: Step) -> Reply | Question:
        if isinstance(step, Challenge):
            return Reply(334, "", step.line.decode("ascii"))
        if isinstance(step, Fault):
            return self._refused(_WRONG[step])
        if step is DONE:
            assert self._welcome is not None
            return self._welcome
        return step

    def _refused(self, reply: Reply) -> Reply:
        if reply.code == 535:
            self._failures += 1
        self._exchange = self._welcome = None
        return reply if self._failures < FAILURES else replies.TOO_MANY_LOGINS
