"""Logging in at another server (RFC 4954): what to say for which mechanism.

PLAIN (RFC 4616) where it is offered, else LOGIN, which is not a standard but what some servers know.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Final, NamedTuple

INITIAL_LIMIT: Final = 500
"""Octets of an answer that still fit a command line of 512 (RFC 4954 4)."""


@dataclass(frozen=True, slots=True)
class Login:
    """A name and its password."""

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if "\0" in self.user + self.password:
            raise ValueError("a user name or a password with NUL cannot be sent")


class Exchange(NamedTuple):
    """What is said: the command's argument, then an answer to each 334."""

    argument: bytes
    answers: tuple[bytes, ...]


def exchange(login: Login, mechanisms: Set[str]) -> Exchange | None:
    """The exchange for the best of these mechanisms; None when none of them is known here."""
    user, password = login.user.encode("utf-8"), login.password.encode("utf-8")
    if "PLAIN" in mechanisms:
        answer = b64encode(b"\0%b\0%b" % (user, password))
        if len(answer) > INITIAL_LIMIT:
            return Exchange(b"PLAIN", (answer,))
        return Exchange(b"PLAIN " + answer, ())
    if "LOGIN" in mechanisms:
        return Exchange(b"LOGIN", (b64encode(user), b64encode(password)))
    return None
