"""What a service is to the receiver: how its sessions are made, how it refuses one, how long one may be idle.

Each protocol declares its services next to its host, and `services` lists them by the name of their section
in the configuration. To serve another protocol is to add a host and a line there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mta.config import Settings
from mta.protocol.replies import Reply
from mta.server.connection import Host, Session, Transport
from mta.server.desk import Client, Desk, Rules


class Guest(Host, Protocol):
    """The host of one session, as the receiver knows it."""

    client: Client
    connection: Transport | None
    session_id: str
    started: float
    """By the loop's clock."""

    @property
    def session(self) -> Session: ...

    def serve(self, connection: Transport, refusal: Reply | None) -> None:
        """Greet the client, or refuse it, and go on until it leaves."""

    def transcribe(self, on: bool) -> None:
        """Record every line from now on, or no longer."""


Left = Callable[[Guest], None]
"""Told once a guest's connection is closed."""


@dataclass(frozen=True, slots=True)
class Service:
    """What is served at the listeners of one section."""

    receive: Callable[[Desk, Rules, Client, Left], Guest]
    """Makes the host of a new session."""
    refuse: Callable[[Reply], bytes]
    """What a client reads that is not let in."""
    timeout: Callable[[Settings], float]
    """Seconds that a session may be idle."""
    tls: bool = False
    """Under TLS from the first octet."""
    greets: bool = True
    """A client that speaks before it is greeted is refused (RFC 5321 4.3.1)."""
    apart: bool = False
    """Not counted in the limits of connections: whoever raises them must get in when they are reached."""
