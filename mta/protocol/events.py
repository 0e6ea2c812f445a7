"""What an SMTP server session tells its host.

Sender, Recipient, Data, Verify, Statistic, StartTls and a Text that is the last one pause the session until
the host calls `reply()`; so do the questions of a login, but for NeedVerifier, to which it says
`verify_by()`. Text that is not the last, Discarded and Closed want no reply.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias

from mta.protocol.address import Address
from mta.protocol.replies import Reply
from mta.protocol.sasl import Disproved, NeedVerifier, Password, Proven


class Signal(Enum):
    """Nothing to report: more octets are needed, or an answer of the host is."""

    NEED_DATA = "need data"
    PAUSED = "paused"


NEED_DATA: Final = Signal.NEED_DATA
PAUSED: Final = Signal.PAUSED


class Sender(NamedTuple):
    """MAIL: may a message with this reverse-path begin? Accept with any 2xx."""

    path: Address
    """NULL_PATH for `<>`."""
    size: int | None
    """Octets announced by SIZE=, line ends as CRLF (RFC 1870); None when not told. Never over the limit."""
    body: Literal["7BIT", "8BITMIME"]
    smtputf8: bool
    ret: str = ""
    """`FULL` or `HDRS` (RFC 3461 4.3); empty when not given, as all that follow."""
    envid: str = ""
    """As sent: xtext (RFC 3461 4.4), at most 100 characters."""


class Recipient(NamedTuple):
    """RCPT: will this forward-path be served? Accept with any 2xx. Never a foreign address literal."""

    address: Address
    notify: str = ""
    """`NEVER`, or some of `SUCCESS,FAILURE,DELAY` (RFC 3461 4.1)."""
    orcpt: str = ""
    """As sent, `rfc822;xtext` (RFC 3461 4.2); ASCII, at most 500 characters."""


class Data(NamedTuple):
    """DATA or the first BDAT: may the text come? Accept with GO_AHEAD (354); for BDAT it is not sent."""

    chunked: bool


class Text(NamedTuple):
    """A piece of the message: dots unstuffed, every line end a pair.

    `last` means that the message is complete and correct: the host replies when all of it is durable, or
    refuses it."""

    crlf: bytes
    """With CRLF line ends, as SIZE counts them."""
    lf: bytes
    """The same with LF line ends, as a Maildir stores it."""
    last: bool


class Discarded(NamedTuple):
    """The text was swallowed to its end and refused with this reply, which is already on its way: abort the
    delivery. There may have been no Text before it."""

    reply: Reply


class Verify(NamedTuple):
    """VRFY of a trusted client: answer 250 with the mailbox, or 550."""

    address: Address


class Statistic(NamedTuple):
    """XSTAT of a trusted client: answer 250 with the number."""

    name: str
    """One of `STATISTICS` of the verb: TOTAL, CURRENT, BYTES, MAILS."""


class StartTls(NamedTuple):
    """STARTTLS: reply READY_FOR_TLS (220), send it, switch, call `tls_started()`; or reply 454."""


class Closed(NamedTuple):
    """The end: send what is to be sent and close. An open transaction is void. Told again when asked
    again."""

    reason: str


LoginQuestion: TypeAlias = Password | NeedVerifier | Proven | Disproved
"""AUTH: may this user log in? Accept with 235; 535 counts as a failure, 454 does not."""
Question: TypeAlias = Sender | Recipient | Data | Text | Verify | Statistic | StartTls | LoginQuestion
"""What wants a reply (a Text only when it is the last)."""
Event: TypeAlias = Question | Discarded | Closed | Signal
