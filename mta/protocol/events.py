"""What an SMTP server session tells its host.

Sender, Recipient, Data, Verify, StartTls and a Text that is the last one pause the session until the host
calls `reply()`. Text that is not the last, Discarded and Closed want no reply.
"""

from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias

from mta.protocol.address import Address
from mta.protocol.replies import Reply


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
    """Octets announced by SIZE=, line ends as CRLF (RFC 1870); None when not told. Within the limit."""
    body: Literal["7BIT", "8BITMIME"]
    smtputf8: bool


class Recipient(NamedTuple):
    """RCPT: will this forward-path be served? Never a foreign address literal, never over the limit."""

    address: Address


class Data(NamedTuple):
    """DATA or the first BDAT: may the text come? Accept with GO_AHEAD (354), BDAT too (it is not sent then)."""

    chunked: bool


class Text(NamedTuple):
    """A piece of the message, dots unstuffed, every line end a pair.

    `last`: the text is complete; the host replies when all of it is durable, or refuses it."""

    crlf: bytes
    """As on the wire: CRLF line ends. What SIZE counts."""
    lf: bytes
    """The same with LF line ends, as it is stored in a Maildir."""
    last: bool


class Discarded(NamedTuple):
    """The text was swallowed to its end and refused with this reply, which is already on its way. Abort the delivery."""

    reply: Reply


class Verify(NamedTuple):
    """VRFY of a trusted client: 250 with the mailbox, or 550."""

    address: Address


class StartTls(NamedTuple):
    """STARTTLS: accept with READY_FOR_TLS (220), send it, switch, call `tls_started()`; or 454."""


class Closed(NamedTuple):
    """The end: send what is to be sent and close. An open transaction is cancelled. Told again if asked again."""

    reason: str


Event: TypeAlias = Sender | Recipient | Data | Text | Discarded | Verify | StartTls | Closed | Signal
