"""What an SMTP client session tells its host, and what the host gives it to send.

The session tells facts, the fates of recipients among them: a reply that came at some stage, or the fault
for which none could come. Whether a fact means "try later" or "never" is not its business; `relay.outcome`
judges it.

Ready, WantText and StartTls wait for the host: `send()` or `quit()`, `text()`, `tls_started()`. Decided and
Closed want no answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, TypeAlias

from mta.protocol.client.answers import Answer
from mta.protocol.client.features import Features
from mta.protocol.events import Signal


class Stage(StrEnum):
    """Where in the dialogue something happened; the value is how a log shows it."""

    GREETING = "greeting"
    EHLO = "EHLO"
    HELO = "HELO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    READY = "between mails"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    TEXT = "text"
    """Under way: nothing was said yet that could make the other side deliver."""
    END = "end of text"
    """All of the text is sent, and that it was all."""
    RSET = "RSET"
    QUIT = "QUIT"


class Fault(StrEnum):
    """Why there is no reply to judge; the value is how a log shows it."""

    LOST = "connection lost"
    TIMED_OUT = "timed out"
    MALFORMED = "not a reply of SMTP"
    OUT_OF_STEP = "reply out of step"
    INJECTED = "octets in clear behind STARTTLS"
    NO_TLS = "TLS is required and not offered"
    TLS_FAILED = "TLS handshake failed"
    NO_LOGIN = "cannot log in"
    ABANDONED = "abandoned by us"
    TOO_MANY_RECIPIENTS = "too many recipients for one transaction"
    TOO_BIG = "message is bigger than announced as the limit"
    NO_8BITMIME = "8BITMIME is not offered"
    NO_SMTPUTF8 = "SMTPUTF8 is not offered"
    BAD_SENDER = "the sender's address or parameters cannot be sent"
    BAD_RECIPIENT = "the recipient's address or parameters cannot be sent"


class Accepted(NamedTuple):
    """The other side has taken the message for this recipient."""

    reply: Answer


class Refused(NamedTuple):
    """The other side said 4yz or 5yz."""

    stage: Stage
    reply: Answer


class Failed(NamedTuple):
    """Something else came between."""

    stage: Stage
    fault: Fault
    detail: str = ""
    """More words, for a log."""
    reply: Answer | None = None
    """The reply that showed it, if one did."""
    ambiguous: bool = False
    """The end of the text was sent and its reply never came: the message may be delivered all the same."""


Fate: TypeAlias = Accepted | Refused | Failed


@dataclass(frozen=True, slots=True)
class Forward:
    """One recipient of a Mail. Parameters as RFC 3461 4 writes them, xtext included; empty when not given."""

    address: str
    """Forward-path without brackets, quoted where it must be."""
    notify: str = ""
    """`NEVER`, or some of `SUCCESS,FAILURE,DELAY`."""
    orcpt: str = ""
    """`rfc822;user@example.org`; ASCII, as the server session hands it on."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One transaction: an envelope, and what must be known of the text before it is sent."""

    sender: str
    """Reverse-path without brackets; empty for `<>`."""
    recipients: tuple[Forward, ...]
    size: int
    """Octets of the text, line ends as CRLF (RFC 1870)."""
    eightbit: bool = False
    """The text holds octets above 127. Whoever converts the text to seven bits does so between Ready, which
    tells whether it is needed, and `send()`."""
    smtputf8: bool = False
    """The header of the text holds UTF-8 (RFC 6531); addresses are looked at here."""
    ret: Literal["", "FULL", "HDRS"] = ""
    envid: str = ""
    """xtext."""


class Ready(NamedTuple):
    """Between mails: `send()` one, or `quit()`."""

    features: Features


class WantText(NamedTuple):
    """Give the next piece by `text()`, once what is to be sent has been sent."""


class Decided(NamedTuple):
    """The mail's fate, one for each recipient in order; `text()` is not wanted any more. Ready follows, or
    what becomes of the mail that was given early, or Closed."""

    fates: tuple[Fate, ...]


class StartTls(NamedTuple):
    """Send what is to be sent, switch to TLS, call `tls_started()` or `tls_failed()`."""


class Closed(NamedTuple):
    """The end: send what is to be sent and close. Told again when asked again."""

    cause: Refused | Failed | None
    """None: we said QUIT, and the rest does not matter."""


ClientEvent: TypeAlias = Ready | WantText | Decided | StartTls | Closed | Signal
