"""The terms of an SMTP session: all that it knows of its surroundings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoginTerms:
    """What a session is told about logging in."""

    required: bool
    """Before any message (RFC 6409 4.3)."""
    in_clear: bool
    """Without TLS too: the client is on loopback."""
    scram: bool
    """SCRAM is offered: there are verifiers."""
    binding: bytes
    """The hash of our certificate, to bind SCRAM to TLS (tls-server-end-point, RFC 5929 4); b"" for none."""
    nonce: Callable[[], str]
    """Printable ASCII without a comma, another one each time and not to be guessed."""


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
    """Refused commands (5xx) without an accepted message between them, then 421; five times as many idle ones
    (NOOP, RSET ...)."""
    trusted: bool
    """A client of `relay.from`: loose forms are taken, VRFY tells the truth, idle commands are not
    counted."""
    local_domain: str
    """First of `local.domains`, as A-labels: completes recipients without a domain, and our own address
    literal means it."""
    own_addresses: frozenset[str]
    """As `str(ipaddress.ip_address(...))` writes them."""
    starttls: bool
    """STARTTLS is offered."""
    session_id: str
    """ASCII; ends every reject."""
    datagrams: bool = False
    """Lines come one by one, each in a datagram: nothing that needs a stream is offered."""
    login: LoginTerms | None = None
    """None: nobody can log in here."""
