"""The SMTP server's session (RFC 5321) as a value: octets in, events out; replies in, octets out."""

from collections.abc import Callable
from dataclasses import dataclass

from mta.protocol.events import Event
from mta.protocol.replies import Reply


@dataclass(frozen=True, slots=True)
class Terms:
    """What a session is told at its start and keeps to its end, whatever is reloaded meanwhile."""

    hostname: bytes
    """Our own name, ASCII."""
    message_limit: int
    """Octets of one message, line ends as CRLF."""
    recipient_limit: int
    """Recipients of one message; more get 452."""
    error_limit: int
    """5xx replies without an accepted message between them; then 421. Five times as many empty commands (NOOP, RSET ...)."""
    trusted: bool
    """A client of `relay.from`: loose forms are taken, VRFY tells the truth, no limit on empty commands."""
    local_domain: str
    """First of `local.domains`: completes loose recipients and postmaster; our own address literal means it."""
    own_addresses: frozenset[str]
    """Addresses as `str(ipaddress.ip_address(...))` writes them."""
    starttls: bool
    """STARTTLS is offered."""
    session_id: str
    """ASCII; ends every reject."""


class SmtpServer:
    """One session. The host calls, per turn: `receive_data`, then `next_event` until NEED_DATA, PAUSED or
    Closed (answering with `reply` in between), then sends `data_to_send`."""

    __slots__ = ("terms", "helo", "extended", "tls", "trusted", "recipients", "smtputf8", "hold", "transcript", "state")

    def __init__(self, terms: Terms, *, tls: bool = False) -> None:
        """`tls`: implicit TLS, the session starts inside it (RFC 8314)."""
        self.terms = terms
        self.helo = b""
        """The name the client gave, b"" before; safe for a Received line."""
        self.extended = False
        self.tls = tls
        self.trusted = terms.trusted
        self.recipients = 0
        self.smtputf8 = False
        self.hold = 65536
        self.transcript: Callable[[str, bytes], None] | None = None

    @property
    def wants_data(self) -> bool:
        """False while so much input waits for an answer that the host should stop reading."""
        raise NotImplementedError

    @property
    def protocol(self) -> str:
        """The `with` word of Received: SMTP, ESMTP, ESMTPS, UTF8SMTP, UTF8SMTPS (RFC 3848, RFC 6531 4.3)."""
        raise NotImplementedError

    def open(self) -> None:
        """Greets with 220."""

    def refuse(self, reply: Reply) -> None:
        """Instead of `open`: this reply (554, 421) and Closed."""

    def receive_data(self, data: bytes) -> None:
        """Takes what the client sent; never fails."""

    def receive_eof(self) -> None:
        """The client sends no more; what it sent completely is still served, then Closed."""

    def next_event(self) -> Event:
        """The next event, or NEED_DATA, or PAUSED."""
        raise NotImplementedError

    def reply(self, reply: Reply) -> None:
        """Answers the event the session is paused on. Rejects get the session id here."""

    def discard(self, reply: Reply) -> None:
        """After a Text that is not the last: the host cannot keep the message (disk full). The rest is swallowed,
        then this reply is sent and Discarded told."""

    def data_to_send(self) -> bytes:
        """Takes what is to be sent; b"" when nothing is."""
        raise NotImplementedError

    def tls_started(self) -> None:
        """The handshake is done: all that the client said before is forgotten (RFC 3207 4.2)."""

    def time_out(self) -> None:
        """421 and Closed; after the pending reply when the session is paused."""

    def shut_down(self) -> None:
        """421 and Closed; after the pending reply when the session is paused."""
