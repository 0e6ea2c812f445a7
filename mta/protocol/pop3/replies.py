"""The replies of POP3 (RFC 1939 3, RFC 2449 8): a status, perhaps a response code, a text for people.

A Reply is a value whose octets are made once. Whatever its text contains, what leaves is one line of
printable ASCII of at most 512 octets, so that no name can make one reply look like two.
"""

from __future__ import annotations

from typing import Final

from mta.protocol import replies
from mta.protocol.replies import printable


class Reply:
    """`+OK text` or `-ERR [CODE] text`. Equal when its octets are."""

    __slots__ = ("octets", "ok")

    def __init__(self, ok: bool, text: str, code: str = "") -> None:
        """`code`: a response code without its brackets (RFC 2449 8, RFC 3206, RFC 6856 2), or empty."""
        self.ok = ok
        status = "+OK" if ok else "-ERR"
        marked = f"{status} [{code}]" if code else status
        self.octets = f"{marked} {printable(text)}".rstrip().encode("ascii") + b"\r\n"

    @property
    def text(self) -> str:
        """As a log shows it."""
        return self.octets[:-2].decode("ascii")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reply) and other.octets == self.octets

    def __hash__(self) -> int:
        return hash(self.octets)

    def __repr__(self) -> str:
        return f"Reply({self.text!r})"


class Refusal(Exception):
    """Raised by a check of a command: the reply that refuses it."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


def ok(text: str) -> Reply:
    return Reply(True, text)


def err(text: str, code: str = "") -> Reply:
    return Reply(False, text, code)


def instead_of(reply: replies.Reply) -> Reply:
    """A refusal that the server says in the words of SMTP, with a code that tells whether to come again."""
    text = reply.text.lstrip("0123456789. ")
    return err(text, "SYS/TEMP" if reply.code < 500 else "SYS/PERM")


# What the host says most.
READY_FOR_TLS: Final = ok("ready to start TLS")
NO_TLS: Final = err("TLS is not available for the moment", "SYS/TEMP")
WRONG_PASSWORD: Final = err("user or password is wrong", "AUTH")
LOGIN_BUSY: Final = err("too many logins for the moment, try again later", "SYS/TEMP")
LOGIN_DOWN: Final = err("logins cannot be checked for the moment, try again later", "SYS/TEMP")
IN_USE: Final = err("the mail drop is in use by another session", "IN-USE")
DROP_FAULT: Final = err("the mail drop cannot be opened for the moment", "SYS/TEMP")
UNREADABLE: Final = err("this message cannot be read", "SYS/PERM")
VANISHED: Final = err("this message was removed by another program")
NOT_ALL_REMOVED: Final = err("some messages could not be removed", "SYS/TEMP")
BYE: Final = ok("bye")

# What the session says by itself.
NOTHING: Final = ok("")
SHUTTING_DOWN: Final = err("shutting down, try again later", "SYS/TEMP")
TOO_MANY_ERRORS: Final = err("too many errors or idle commands, closing")
LINE_TOO_LONG: Final = err("line too long")
BAD_OCTETS: Final = err("control character, or CR or LF alone, or octets that are not UTF-8, in a command")
UNKNOWN: Final = err("unknown command")
WRONG_PROTOCOL: Final = err("this is POP3, closing")
OUT_OF_STEP: Final = err("input behind a command that needs its reply first, closing")
ALREADY_TLS: Final = err("TLS is already in use")
NEEDS_TLS: Final = err("passwords in clear are not taken here, start TLS first", "SYS/PERM")
NO_MECHANISM: Final = err("this mechanism is not offered")
NOT_BASE64: Final = err("this is not base64")
NOT_UNDERSTOOD: Final = err("this is not what the mechanism says")
CANCELLED: Final = err("login cancelled")
NO_LANGUAGE: Final = err("this language is not spoken here")
