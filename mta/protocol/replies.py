"""The catalogue of replies (RFC 5321 4.2, RFC 2034, RFC 3463).

A Reply is a value: code, enhanced code, text. Its octets are made once, so that a reply of the catalogue
costs nothing when it is sent. Whatever a text contains (an address, a name the client gave), what leaves
is printable ASCII in lines of at most 512 octets: no reply can be made to look like two.
"""

from __future__ import annotations

from typing import Final

TEXT_LIMIT: Final = 440
"""Characters of one line; leaves room for the codes and the session within 512 octets (RFC 5321
4.5.3.1.5)."""


def printable(text: str) -> str:
    """`text` as one line of printable ASCII that fits a reply; anything else shows as an escape."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in text)
    return text[:TEXT_LIMIT]


class Reply:
    """One reply, of one line or several. Equal when its octets are."""

    __slots__ = ("code", "octets")

    def __init__(self, code: int, enhanced: str, *lines: str) -> None:
        """`enhanced` is empty where RFC 2034 wants none (220 greeting, EHLO, 354)."""
        self.code = code
        prefix = f" {enhanced} " if enhanced else " "
        if len(lines) == 1:
            self.octets = f"{code}{prefix}{printable(lines[0])}\r\n".encode("ascii")
        else:
            self.octets = _several(code, prefix[1:], lines)

    @property
    def text(self) -> str:
        """The reply as a log shows it: without the last line end, lines parted by a blank and a slash."""
        return self.octets[:-2].decode("ascii").replace("\r\n", " / ")

    def with_id(self, session_id: str) -> Reply:
        """The same reply, its last line ending in ` (session ID)`, by which an operator finds it in the
        log."""
        marked = Reply.__new__(Reply)
        marked.code = self.code
        marked.octets = b"%b (session %b)\r\n" % (self.octets[:-2], session_id.encode("ascii"))
        return marked

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reply) and other.octets == self.octets

    def __hash__(self) -> int:
        return hash(self.octets)

    def __repr__(self) -> str:
        return f"Reply({self.text!r})"


def _several(code: int, enhanced: str, lines: tuple[str, ...]) -> bytes:
    """Same code on every line, a hyphen after all but the last (RFC 5321 4.2.1)."""
    *first, last = (enhanced + printable(line) for line in lines)
    return "".join([f"{code}-{line}\r\n" for line in first] + [f"{code} {last}\r\n"]).encode("ascii")


class Refusal(Exception):
    """Raised by a check of a command: the reply that refuses it."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


# What the host says most.
SENDER_OK: Final = Reply(250, "2.1.0", "sender ok")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "recipient ok")
GO_AHEAD: Final = Reply(354, "", "send the message, end with a line that holds only a dot")
READY_FOR_TLS: Final = Reply(220, "2.0.0", "ready to start TLS")
NO_TLS: Final = Reply(454, "4.7.0", "TLS is not available for the moment")
NO_SUCH_USER: Final = Reply(550, "5.1.1", "no such mailbox here")
RELAY_DENIED: Final = Reply(550, "5.7.1", "relaying denied")
LOCAL_FAULT: Final = Reply(451, "4.3.0", "local error, try again later")
NO_SPACE: Final = Reply(452, "4.3.1", "not enough space, try again later")
LOGGED_IN: Final = Reply(235, "2.7.0", "logged in")
BAD_LOGIN: Final = Reply(535, "5.7.8", "user name or password is wrong")
NO_LOGIN_NOW: Final = Reply(454, "4.7.0", "logging in is not possible for the moment, try again later")
TOO_MANY_CONNECTIONS: Final = Reply(421, "4.7.0", "too many connections, try again later")
BANNED: Final = Reply(554, "5.7.1", "you are not served here")
SPOKE_TOO_SOON: Final = Reply(554, "5.5.1", "you spoke before the greeting")


def queued(identifier: str) -> Reply:
    """250 to the final dot: the message is durable under this id."""
    return Reply(250, "2.0.0", "queued as " + identifier)


# What the session says by itself.
OK: Final = Reply(250, "2.0.0", "ok")
CHUNK_OK: Final = Reply(250, "2.0.0", "chunk received")
BYE: Final = Reply(221, "2.0.0", "bye")
CANNOT_VERIFY: Final = Reply(252, "2.1.5", "cannot verify, but will take mail and try")
TIMED_OUT: Final = Reply(421, "4.4.2", "timed out waiting for you, closing")
SHUTTING_DOWN: Final = Reply(421, "4.3.2", "shutting down, try again later")
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "too many errors or empty commands, closing")
LINE_TOO_LONG: Final = Reply(500, "5.5.2", "line too long")
BAD_OCTETS: Final = Reply(500, "5.5.2", "control character, or CR or LF alone, in a command")
NOT_A_COMMAND: Final = Reply(500, "5.5.2", "not a command")
UNKNOWN_PRIVATE: Final = Reply(500, "5.5.1", "unknown command")
UNKNOWN: Final = Reply(502, "5.5.1", "command not implemented")
WRONG_PROTOCOL: Final = Reply(554, "5.5.1", "this is SMTP, closing")
OUT_OF_STEP: Final = Reply(554, "5.5.1", "input behind a command that needs its reply first, closing")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "too many recipients, send the rest in another message")
FOREIGN_LITERAL: Final = Reply(550, "5.1.2", "this address literal is not ours")
NO_PARAMETERS: Final = Reply(555, "5.5.4", "parameters need EHLO")
NON_ASCII: Final = Reply(553, "5.6.7", "address is not ASCII and SMTPUTF8 was not given")
TOO_BIG: Final = Reply(552, "5.3.4", "message too big")
BARE_LINE_END: Final = Reply(554, "5.6.0", "CR or LF alone in the message; lines end in CRLF")
LOOP: Final = Reply(554, "5.4.6", "too many Received lines, this is a loop")
ALREADY_TLS: Final = Reply(503, "5.5.1", "TLS is already in use")
NOT_EXTENDED: Final = Reply(503, "5.5.1", "say EHLO first")
NO_SUCH_HELP: Final = Reply(504, "5.5.4", "no help on that; syntax: HELP [verb]")

# Logging in (RFC 4954 4).
LOGIN_FIRST: Final = Reply(530, "5.7.0", "log in first")
TLS_FIRST: Final = Reply(530, "5.7.0", "say STARTTLS and log in first")
NO_CLEAR_LOGIN: Final = Reply(538, "5.7.11", "logging in needs TLS")
ALREADY_LOGGED_IN: Final = Reply(503, "5.5.1", "you are logged in already")
NO_SUCH_MECHANISM: Final = Reply(504, "5.5.4", "this mechanism is not offered here")
AUTH_CANCELLED: Final = Reply(501, "5.7.0", "cancelled")
ANSWER_TOO_LONG: Final = Reply(500, "5.5.6", "answer too long")
NOT_BASE64: Final = Reply(501, "5.5.2", "this is not base64")
WRONG_ANSWER: Final = Reply(501, "5.5.2", "this is not what the mechanism says")
TOO_MANY_LOGINS: Final = Reply(421, "4.7.0", "too many failed logins, closing")
