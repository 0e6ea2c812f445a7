"""The server's side of SASL (RFC 4422) as a value: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and its -PLUS form
(RFC 5802, RFC 7677) with the channel binding tls-server-end-point (RFC 5929).

One Exchange is one AUTH command of SMTP (RFC 4954) or POP3 (RFC 5034), from its initial response to the
host's verdict. The session gives it lines as they came, in base64, and gets steps:

    Challenge                                            send it (`334 `, `+ `), then give the answer to `answer`
    Password, NeedVerifier, Proven, Disproved            ask the host: the session is paused
    Fault                                                the exchange is over, in the session's words

Password, Proven and Disproved are questions for a verdict: whether this user may log in. When it is yes, the
session calls `granted`, which gives one last Challenge (the server's own proof, whose answer is empty) or
Done. To NeedVerifier the host answers with a Verifier, true or invented, which goes into `verify_by`.

It never knows accounts, replies, or what is kept of a password.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from mta.protocol.scram import Verifier

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


Question: TypeAlias = Password | NeedVerifier | Proven | Disproved
"""What the host is asked; Password, Proven and Disproved want a verdict, NeedVerifier a Verifier."""
Step: TypeAlias = Challenge | Question | Fault


def offered(*, scram: bool, binding: bytes) -> tuple[str, ...]:
    """The mechanisms to offer, best first. `scram`: there are verifiers; `binding`: the end point's hash where
    TLS is in use, else b""."""
    bound = (PLUS,) if binding else ()
    return (*bound, SCRAM, "PLAIN", "LOGIN") if scram else ("PLAIN", "LOGIN")


class Exchange:
    """One AUTH command with the mechanism `name`, one of those `offered`.

    `nonce`: printable ASCII without a comma, never used before. `binding`: as for `offered`."""

    def __init__(self, name: str, offered: Sequence[str], nonce: str, binding: bytes = b"") -> None:
        self.name = name
        self.user = ""
        """Whom the client claims to be, once it has said so."""

    def begin(self, initial: bytes | None) -> Step:
        """`initial`: the initial response as it came, `=` for an empty one; None when there was none."""
        raise NotImplementedError

    def answer(self, line: bytes) -> Step:
        """The client's answer to a Challenge, as it came."""
        raise NotImplementedError

    def verify_by(self, verifier: Verifier) -> Step:
        """The host's answer to NeedVerifier."""
        raise NotImplementedError

    def granted(self) -> Challenge | Done:
        """The host's verdict was yes. Behind a last Challenge only an empty answer is right: its `answer` is
        Done."""
        raise NotImplementedError
