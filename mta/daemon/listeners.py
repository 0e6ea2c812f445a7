"""Listening sockets, by service and address as the configuration names them.

The supervisor binds them and keeps them, so that no child's death closes a port: clients wait in the
kernel's queue until the next child takes over. A change is all or nothing: new ones are bound before old
ones are closed, and one that cannot be bound leaves everything as it was.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Mapping, Sequence

from mta.config.units import Endpoint, parse_endpoint
from mta.daemon.errors import CONFIGURATION, NOT_PERMITTED, TEMPORARY, CannotStart

ListenerKey = tuple[str, str]
"""(service, address) as the configuration writes them: ("smtp", "127.0.0.1:2525")."""

_BACKLOG = 1024
_DATAGRAM_SERVICES = frozenset({"datagram"})


class Listeners:
    """All listeners in force. `activated` are (service, socket) pairs of the service manager, used where
    they fit."""

    def __init__(self, activated: Sequence[tuple[str, socket.socket]] = ()) -> None:
        self.sockets: dict[ListenerKey, socket.socket] = {}
        self._activated = list(activated)

    def change(self, wanted: Iterable[ListenerKey]) -> None:
        """Have exactly these. Raises CannotStart, with nothing changed, when one cannot be had."""
        moving = {_place(key): each for key, each in self.sockets.items()}
        fresh: dict[ListenerKey, socket.socket] = {}
        after: dict[ListenerKey, socket.socket] = {}
        try:
            for key in wanted:
                # An address that moves to another service keeps its socket: it could not be bound twice.
                have = self.sockets.get(key) or moving.get(_place(key))
                if have is None:
                    have = fresh[key] = self._handed_over(key) or bind(key)
                after[key] = have
        except CannotStart:
            _close(fresh.values())
            raise
        kept = set(after.values())
        _close(each for each in self.sockets.values() if each not in kept)
        self.sockets = after

    def unclaimed(self) -> list[tuple[str, str]]:
        """Close the activated sockets that no listener has claimed; returns (service, address) of each."""
        rest = [(service, spelled(each.getsockname())) for service, each in self._activated]
        _close(each for _, each in self._activated)
        self._activated = []
        return rest

    def bound(self) -> list[dict[str, str]]:
        """What is listened on: service, address as configured, and where that really is (port 0 has
        become one)."""
        return [
            {"service": service, "address": address, "bound": spelled(each.getsockname())}
            for (service, address), each in self.sockets.items()
        ]

    def _handed_over(self, key: ListenerKey) -> socket.socket | None:
        service, address = key
        for each in self._activated:
            if each[0] == service and spelled(each[1].getsockname()) == address:
                self._activated.remove(each)
                return each[1]
        return None


def bind(key: ListenerKey) -> socket.socket:
    """A new listener, not blocking. Raises CannotStart with what is in the way."""
    service, address = key
    try:
        return _bound(parse_endpoint(address), _kind(service))
    except OSError as error:
        status, hint = _HINTS.get(error.errno or 0, (CONFIGURATION, "name another address"))
        text = f"{service}.listen: {address}: {os.strerror(error.errno or 0)}; {hint}"
        raise CannotStart(status, text) from error


_HINTS: Mapping[int, tuple[int, str]] = {
    errno.EADDRINUSE: (TEMPORARY, "stop the server that has it, or name another port"),
    errno.EADDRNOTAVAIL: (TEMPORARY, "this machine has no such address now"),
    errno.EACCES: (NOT_PERMITTED, "ports below 1024 need root or CAP_NET_BIND_SERVICE"),
    errno.EMFILE: (TEMPORARY, "raise the limit of open files"),
    errno.ENFILE: (TEMPORARY, "the machine has too many open files"),
}


def _kind(service: str) -> socket.SocketKind:
    return socket.SOCK_DGRAM if service in _DATAGRAM_SERVICES else socket.SOCK_STREAM


def _bound(place: Endpoint, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listener = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        if kind == socket.SOCK_STREAM:
            # Connections of our predecessor that still wait out their end do not keep us from starting.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "[::]" and "0.0.0.0" are two listeners, whatever the system's default says.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((place.host, place.port))
        if kind == socket.SOCK_STREAM:
            listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def spelled(place: Sequence[object]) -> str:
    """The address of a socket as the configuration would write it."""
    return str(Endpoint(str(place[0]), int(str(place[1]))))


def _place(key: ListenerKey) -> tuple[socket.SocketKind, str]:
    """What two listeners cannot share: the kind of socket, and the address."""
    service, address = key
    return _kind(service), address


def _close(sockets: Iterable[socket.socket]) -> None:
    for each in sockets:
        each.close()
