"""The server's side of SASL (RFC 4422) as a value: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and its -PLUS form
(RFC 5802, RFC 7677) with the channel binding tls-server-end-point (RFC 5929).

One Exchange is one AUTH command of SMTP (RFC 4954) or POP3 (RFC 5034), from its initial response to the
host's verdict. The session gives it lines as they came, in base64, and gets steps:

    Challenge                                    send it (`334 `, `+ `), then give what comes to `answer`
    Password, NeedVerifier, Proven, Disproved    ask the host: the session is paused
    Fault                                        the exchange is over; a session has its own words for it

Password, Proven and Disproved are questions for a verdict: whether this user may log in. When it is yes, the
session calls `granted`, which gives one last Challenge (the server's own proof, whose answer is empty) or
DONE. To NeedVerifier the host answers with a Verifier, true or invented, which goes into `verify_by`.

Each mechanism is a conversation, written down as one: it yields what is to be said or asked and is sent what
came back. None of them knows accounts, replies, or what is kept of a password.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import Error, a2b_base64
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias

from mta.protocol.scram import BINDING, ClientFirst, Proving, Unfit, Verifier, read_first, saslprep

PLUS: Final = "SCRAM-SHA-256-PLUS"
SCRAM: Final = "SCRAM-SHA-256"
LINE_LIMIT: Final = 12288
"""Octets of an answer without its CRLF (RFC 4954 4)."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge, in base64; b"" is an empty one. It may hold what must not be shown in a transcript."""

    line: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Password:
    """May this user log in, with this password?"""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NeedVerifier:
    """What is kept for SCRAM of this user's password?"""

    user: str


@dataclass(frozen=True, slots=True)
class Proven:
    """This user has proven to know the password: may they log in?"""

    user: str


@dataclass(frozen=True, slots=True)
class Disproved:
    """Somebody tried to log in as this user and did not know the password: the verdict must be a refusal."""

    user: str


class Fault(Enum):
    """Why an exchange ended without a question."""

    CANCELLED = "cancelled"
    TOO_LONG = "answer too long"
    NOT_BASE64 = "not base64"
    MALFORMED = "not what this mechanism says"
    OTHER_IDENTITY = "acting for another user"


class Done(Enum):
    """Nothing more to say: the user is logged in."""

    DONE = "done"


DONE: Final = Done.DONE

Question: TypeAlias = Password | NeedVerifier | Proven | Disproved
"""What the host is asked; Password, Proven and Disproved want a verdict, NeedVerifier a Verifier."""
Step: TypeAlias = Challenge | Question | Fault | Done


def offered(*, scram: bool, binding: bytes) -> tuple[str, ...]:
    """The mechanisms to offer, best first. `scram`: there are verifiers; `binding`: the hash of our end point
    where TLS is in use, else b""."""
    bound = (PLUS,) if binding else ()
    return (*bound, SCRAM, "PLAIN", "LOGIN") if scram else ("PLAIN", "LOGIN")


class Exchange:
    """One AUTH command with the mechanism `name`, one of those `offered`."""

    __slots__ = ("_talk", "name", "user")

    def __init__(self, name: str, offered: Sequence[str], nonce: str, binding: bytes = b"") -> None:
        """`nonce`: printable ASCII without a comma, never used before. `binding`: as for `offered`."""
        self.name = name
        self.user = ""
        """Whom the client claims to be, once it has said so."""
        self._talk = _MECHANISMS[name](Circumstances(name == PLUS, PLUS in offered, nonce, binding))

    def begin(self, initial: bytes | None) -> Step:
        """`initial`: the initial response as it came, `=` for an empty one; None when there was none."""
        step = self._go_on(None)
        if initial is None:
            return step
        return self.answer(b"" if initial == b"=" else initial)

    def answer(self, line: bytes) -> Step:
        """The client's answer to a Challenge, as it came."""
        if line == b"*":
            return Fault.CANCELLED
        if len(line) > LINE_LIMIT:
            return Fault.TOO_LONG
        octets = _decoded(line)
        return Fault.NOT_BASE64 if octets is None else self._go_on(octets)

    def verify_by(self, verifier: Verifier) -> Step:
        """The host's answer to NeedVerifier."""
        return self._go_on(verifier)

    def granted(self) -> Step:
        """The host's verdict was yes: a last Challenge, or DONE."""
        return self._go_on(None)

    def _go_on(self, word: bytes | Verifier | None) -> Step:
        try:
            step = self._talk.send(word)
        except StopIteration:
            return DONE
        except _Broken as broken:
            return broken.fault
        if not isinstance(step, Challenge):
            self.user = step.user
        return step


# the mechanisms


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What SCRAM has to know of its surroundings."""

    plus: bool
    """The client chose the form that is bound to the channel,"""
    plus_offered: bool
    """or could have."""
    nonce: str
    binding: bytes


class _Broken(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


Talk: TypeAlias = Generator[Challenge | Question, Any, None]
"""A Challenge is sent octets, NeedVerifier a Verifier, a question for a verdict None if it is yes."""


def _plain(_circumstances: Circumstances) -> Talk:
    message: bytes = yield Challenge(b"")
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise _Broken(Fault.MALFORMED)
    authzid, user, password = map(_text, parts)
    _check_identity(authzid, user)
    yield Password(_name(user), password)


def _login(_circumstances: Circumstances) -> Talk:
    """No standard: two questions (draft-murchison-sasl-login)."""
    user: bytes = yield Challenge(b64encode(b"Username:"))
    name = _name(_text(user))
    password: bytes = yield Challenge(b64encode(b"Password:"))
    yield Password(name, _text(password))


def _scram(circumstances: Circumstances) -> Talk:
    try:
        message: bytes = yield Challenge(b"")
        first = read_first(message)
        _check_binding(first, circumstances)
        _check_identity(first.authzid, first.user)
        user = _name(first.user)
        verifier: Verifier = yield NeedVerifier(user)
        binding = circumstances.binding if circumstances.plus else b""
        proving = Proving(first, verifier, circumstances.nonce, binding)
        final: bytes = yield Challenge(b64encode(proving.challenge))
        proven = proving.proves(final)
    except Unfit as unfit:
        raise _Broken(Fault.MALFORMED) from unfit
    yield Proven(user) if proven else Disproved(user)
    nothing: bytes = yield Challenge(b64encode(proving.signature()))
    if nothing:
        raise _Broken(Fault.MALFORMED)


_MECHANISMS: Final[Mapping[str, Callable[[Circumstances], Talk]]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    SCRAM: _scram,
    PLUS: _scram,
}


def _check_binding(first: ClientFirst, circumstances: Circumstances) -> None:
    """RFC 5802 6: a client that thinks that we know no bindings, when we offered one, was lied to."""
    if circumstances.plus:
        fits = first.binding == BINDING
    else:
        fits = first.flag == "n" or (first.flag == "y" and not circumstances.plus_offered)
    if not fits:
        raise _Broken(Fault.MALFORMED)


def _check_identity(authzid: str, user: str) -> None:
    """Nobody acts for others here."""
    if authzid not in ("", user):
        raise _Broken(Fault.OTHER_IDENTITY)


def _decoded(line: bytes) -> bytes | None:
    """None for what is not base64 as it is written in one way only (RFC 4648 3.3)."""
    if len(line) % 4:
        return None
    try:
        return a2b_base64(line, strict_mode=True)
    except Error:
        return None


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Broken(Fault.MALFORMED) from error


def _name(text: str) -> str:
    try:
        name = saslprep(text)
    except ValueError as error:
        raise _Broken(Fault.MALFORMED) from error
    if not name:
        raise _Broken(Fault.MALFORMED)
    return name
