"""A listener: takes connections as they come, and how many are let in.

When the machine has no descriptor left for another connection, the listener rests for a moment instead of
being called again at once for ever; the clients wait in the kernel's queue and the sessions under way go on.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from mta.config.units import IPAddress
from mta.loop import Loop
from mta.protocol.replies import TOO_MANY_CONNECTIONS, Reply

_ONE_TURN: Final = 64
"""Connections taken in one turn; the others wait for the next, so that sessions are not starved."""

_REST: Final = 1.0
"""Seconds without accepting after the machine had no room."""

_NO_ROOM: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Accepted = Callable[[socket.socket, Any], None]


class Listener:
    """One listening socket of one service."""

    def __init__(
        self, loop: Loop, sock: socket.socket, accepted: Accepted, no_room: Callable[[OSError], None]
    ) -> None:
        """`accepted(socket, peer)` gets each connection, not blocking; `no_room(error)` is told of the
        first rest, and again only after a connection could be taken."""
        self._loop = loop
        self._socket = sock
        self._accepted = accepted
        self._no_room = no_room
        self._open = True
        self._full = False
        self._paused = False
        # Inherited by every connection: replies are whole and must not wait for an acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Take no more; the socket itself belongs to the supervisor."""
        self._open = False
        self._loop.unwatch(self._socket.fileno())

    def pause(self) -> None:
        """Let clients wait in the kernel's queue."""
        self._paused = True
        self._loop.unwatch(self._socket.fileno())

    def resume(self) -> None:
        """Take them again."""
        self._paused = False
        self._listen()

    def _listen(self) -> None:
        if self._open and not self._paused:
            self._loop.watch(self._socket.fileno(), self._ready)

    def _ready(self, _events: int) -> None:
        for _ in range(_ONE_TURN):
            try:
                connection, peer = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._rest(error)
                    return
                continue  # the peer gave up before its turn came (accept(2), "Error handling")
            self._full = False
            connection.setblocking(False)
            self._accepted(connection, peer)

    def _rest(self, error: OSError) -> None:
        self._loop.unwatch(self._socket.fileno())
        self._loop.call_later(_REST, self._listen)
        if not self._full:
            self._full = True
            self._no_room(error)


class Admission:
    """How many connections there may be, in all and of one client."""

    __slots__ = ("_by_client", "current", "limit", "per_client")

    def __init__(self, limit: int = 0, per_client: int = 0) -> None:
        self.limit = limit
        self.per_client = per_client
        self.current = 0
        self._by_client: Counter[int] = Counter()

    def admit(self, client: IPAddress, trusted: bool) -> Reply | None:
        """Count one more connection, or return the refusal.

        Trusted clients have no limit of their own, and the last part of all places is kept for them: a flood
        from outside does not stop our own people."""
        places = self.limit if trusted else self.limit - self.limit // 20
        if self.current >= places:
            return TOO_MANY_CONNECTIONS
        if not trusted and self._by_client[household(client)] >= self.per_client:
            return TOO_MANY_CONNECTIONS
        self.current += 1
        self._by_client[household(client)] += 1
        return None

    def leave(self, client: IPAddress) -> None:
        """One admitted connection of this client is closed."""
        self.current -= 1
        key = household(client)
        self._by_client[key] -= 1
        if not self._by_client[key]:
            del self._by_client[key]


def household(client: IPAddress) -> int:
    """Who counts as one client: an IPv4 address, or the 2^64 IPv6 addresses that one customer is given."""
    if isinstance(client, ipaddress.IPv4Address):
        return int(client)
    return -1 - (int(client) >> 64)
