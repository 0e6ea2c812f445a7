"""What a session works with: the rules it began with, what all sessions share, and who the client is.

A desk is the receiver's, for as long as it lives; rules come with each configuration, and a session keeps
those of its beginning; a client is one connection's.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mta.config import Settings
from mta.config.units import IPAddress
from mta.counters import Row
from mta.hints import HintSender
from mta.identifier import Identifiers
from mta.log.log import Log
from mta.loop import Loop
from mta.policy import Policy
from mta.protocol.smtp.terms import LoginTerms, Terms
from mta.server.memory import Memory
from mta.server.smtp.hourly import Hourly
from mta.server.smtp.trace import TraceWriter
from mta.server.steering.intermission import Intermission
from mta.server.tls import ServerContext
from mta.store import Committer, Helpers, Space, Store, Usage
from mta.users.accounts import Accounts
from mta.users.books import Books
from mta.users.directory import Directory
from mta.users.guard import Guard

_SPARE_OCTETS: Final = 1 << 20
_SPARE_FILES: Final = 16
"""What must be free on the disk beyond the message itself before one is taken."""


Message = dict[str, Any]
Ask = Callable[[Message, Callable[[Message], None]], None]
"""Asks the supervisor; its answer comes later, with "status" 0 or else "text"."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What sessions begin with and keep: one configuration, made ready for use."""

    settings: Settings
    policy: Policy
    context: ssl.SSLContext | None
    own_addresses: frozenset[str]

    def __post_init__(self) -> None:
        self._binding()  # what is read off a certificate takes its time the first time

    def _binding(self) -> bytes:
        if self.settings.users.scram and isinstance(self.context, ServerContext):
            return self.context.end_point
        return b""

    def login(self, client: Client, *, required: bool) -> LoginTerms:
        """What a session with this client is told about logging in."""
        return LoginTerms(
            required=required,
            in_clear=client.address.is_loopback,
            scram=self.settings.users.scram,
            binding=self._binding(),
            nonce=secrets.token_urlsafe,
        )

    def terms(self, session_id: str, client: Client) -> Terms:
        """What a session of SMTP is told."""
        limits, service = self.settings.limits, client.service
        return Terms(
            hostname=self.settings.hostname.encode("ascii"),
            message_limit=limits.message,
            recipient_limit=limits.recipients,
            error_limit=limits.errors,
            trusted=client.trusted,
            local_domain=self.settings.local.domains[0],
            own_addresses=self.own_addresses,
            starttls=self.context is not None and service not in ("submissions", "datagram"),
            session_id=session_id,
            datagrams=service == "datagram",
            login=self._smtp_login(client),
        )

    def _smtp_login(self, client: Client) -> LoginTerms | None:
        if client.service in ("submission", "submissions"):
            return self.login(client, required=True)
        if client.service == "smtp" and self.settings.smtp.login:
            return self.login(client, required=False)
        return None


@dataclass(slots=True)
class Desk:
    """What all sessions share: the store and its threads, memory, names, counters, the log."""

    loop: Loop
    log: Log
    row: Row
    store: Store
    committer: Committer
    helpers: Helpers
    readers: Helpers
    """Threads for mail drops, so that reading them keeps nobody from writing."""
    memory: Memory
    space: Space
    identifiers: Identifiers
    trace: TraceWriter
    hints: HintSender
    accounts: Accounts
    directory: Directory
    books: Books
    usage: Usage
    hourly: Hourly
    guard: Guard
    intermission: Intermission
    settings: Settings
    """Those in force; a session has its own rules for what does not change under its feet."""
    ask: Ask

    def set_live(self, key: str, value: int, by: str, done: Callable[[str], None]) -> None:
        """Change a setting in all processes until the next reload (durations in seconds, sizes in octets).

        `by`: who wants it, as the log shows it. `done` hears "" once it is in force, or why it cannot be."""
        request = {"request": "set", "key": key, "value": value, "by": by}
        self.ask(request, lambda answer: done(answer["text"] if answer["status"] else ""))

    def has_space(self, octets: int = 0) -> bool:
        """Whether a message of this size would still fit on the disk, by what was free a moment ago."""
        return self.space.octets >= octets + _SPARE_OCTETS and self.space.inodes >= _SPARE_FILES


@dataclass(frozen=True, slots=True)
class Client:
    """The other end, as far as the kernel and the configuration tell."""

    address: IPAddress
    host: str
    """The address as text."""
    peer: str
    """Address and port, as a log shows them."""
    service: str
    trusted: bool
    outside: bool = False
    """It came by a listener that other machines may reach."""

    @classmethod
    def of(cls, address: IPAddress, port: int, service: str, trusted: bool, outside: bool = False) -> Client:
        host = str(address)
        peer = f"[{host}]:{port}" if address.version == 6 else f"{host}:{port}"
        return cls(address, host, peer, service, trusted, outside)
