"""How `mta send` reaches a server: over TCP, or in datagrams as mta-protocols(7) has them. Blocking.

Either way there are lines and replies. What differs is how they are kept from getting lost: TCP does it by
itself; over UDP each line carries a number and is repeated until its answer comes, be it an empty one.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final, Protocol

Record = Callable[[str, bytes], None]
"""Told "C" for what was sent and "S" for what was received, and the octets."""

PATIENCE: Final = 300.0
"""Seconds to wait for a reply over TCP (RFC 5321 4.5.3.2)."""

REPEATS: Final = 5
PAUSE: Final = 2.0
"""A datagram without an answer is sent again so often, so many seconds apart."""

_PADDED: Final = 512
"""Octets of an opening, so that a server may answer it with a cookie; no reply to it may be longer."""
_LONGEST: Final = 65536
_COOKIE: Final = re.compile(rb"220 .* cookie=([!-~]+)\r\n")
_SESSION_ENDED: Final = b"421"


class Lost(Exception):
    """The server cannot be reached, or not any more; the text says how that showed."""


class Transport(Protocol):
    """A server at the other end."""

    local_port: int
    record: Record
    """Told whatever is sent and received."""

    def greet(self) -> bytes:
        """Begin, and return the greeting. Raises Lost, like all that follow."""

    def ask(self, line: bytes) -> bytes:
        """Send a line, given without its end, and return the whole reply."""

    def tell(self, line: bytes) -> None:
        """Send a line of a text, which has no reply."""

    def close(self) -> None: ...


def is_whole(reply: bytes) -> bool:
    """Whether all lines of a reply are there (RFC 5321 4.2.1)."""
    return any(line[3:4] != b"-" for line in reply.split(b"\r\n")[:-1])


class Tcp:
    """One connection."""

    def __init__(self, host: str, port: int) -> None:
        """Connects. Raises OSError."""
        self._socket = socket.create_connection((host, port), timeout=PATIENCE)
        self.record: Record = _nowhere
        self._unsent: list[bytes] = []
        self.local_port = int(self._socket.getsockname()[1])

    def greet(self) -> bytes:
        return self._reply()

    def ask(self, line: bytes) -> bytes:
        self.tell(line)
        octets = b"".join(self._unsent)
        self._unsent.clear()
        self.record("C", octets)
        try:
            self._socket.sendall(octets)
        except OSError as error:
            return self._last_words(error)
        return self._reply()

    def tell(self, line: bytes) -> None:
        self._unsent.append(line + b"\r\n")

    def close(self) -> None:
        self._socket.close()

    def _last_words(self, error: OSError) -> bytes:
        """Who hangs up on us may have said why."""
        try:
            return self._reply()
        except Lost:
            raise Lost(f"connection lost: {error.strerror or error}") from error

    def _reply(self) -> bytes:
        reply = b""
        while not is_whole(reply):
            if len(reply) > _LONGEST:
                raise Lost("a reply without end")
            try:
                octets = self._socket.recv(4096)
            except OSError as error:
                raise Lost(f"no reply: {error.strerror or error}") from error
            if not octets:
                raise Lost("the server has closed the connection")
            self.record("S", octets)
            reply += octets
        return reply


class Udp:
    """One session in datagrams."""

    def __init__(self, host: str, port: int) -> None:
        """Raises OSError when the host has no address."""
        self._places = [place for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)]
        self.record: Record = _nowhere
        self._number = 0
        self._connect()

    def greet(self) -> bytes:
        opening = b" " * (_PADDED - 2) + b"\r\n"
        greeting = self._exchange(opening, _is_reply)
        found = _COOKIE.match(greeting)
        if found is None:
            return greeting
        # Our opening may have been repeated, and with it the question for the cookie.
        return self._exchange(
            b"COOKIE %b\r\n" % found[1], lambda reply: _is_reply(reply) and not _COOKIE.match(reply)
        )

    def ask(self, line: bytes) -> bytes:
        self._number += 1
        prefix = b"%d " % self._number
        reply = self._exchange(
            prefix + line + b"\r\n", lambda reply: reply.startswith((prefix, _SESSION_ENDED))
        )
        return reply.removeprefix(prefix)

    def tell(self, line: bytes) -> None:
        reply = self.ask(line)
        if reply:
            raise Lost(f"a reply inside the text: {reply.decode('ascii', 'replace').strip()}")

    def close(self) -> None:
        self._socket.close()

    def _connect(self) -> None:
        """To the next address of the host."""
        place = self._places.pop(0)
        self._socket = socket.socket(
            socket.AF_INET6 if ":" in str(place[0]) else socket.AF_INET, socket.SOCK_DGRAM
        )
        self._socket.connect(place)
        self.local_port = int(self._socket.getsockname()[1])

    def _exchange(self, datagram: bytes, answers: Callable[[bytes], bool]) -> bytes:
        """Send until there is an answer to it; whatever else comes is late, or not for us."""
        for _ in range(1 + REPEATS):
            reply = self._once(datagram, answers)
            if reply is not None:
                self._places = []
                return reply
        raise Lost(f"no answer after {REPEATS} repetitions")

    def _once(self, datagram: bytes, answers: Callable[[bytes], bool]) -> bytes | None:
        until = monotonic() + PAUSE
        self._send(datagram)
        while (rest := until - monotonic()) > 0:
            self._socket.settimeout(rest)
            try:
                reply = self._socket.recv(_LONGEST)
            except TimeoutError:
                break
            except ConnectionRefusedError:
                self._try_elsewhere(datagram)
                continue
            self.record("S", reply)
            if answers(reply):
                return reply
        return None

    def _send(self, datagram: bytes) -> None:
        self.record("C", datagram)
        with suppress(ConnectionRefusedError):  # of the datagram before
            self._socket.send(datagram)

    def _try_elsewhere(self, datagram: bytes) -> None:
        """Nobody listens there; as long as nobody has answered at all, the host may have another address."""
        if self._places:
            self._socket.close()
            self._connect()
            self._send(datagram)


def _nowhere(_who: str, _octets: bytes) -> None:
    """Before somebody records."""


def _is_reply(datagram: bytes) -> bool:
    return datagram[:3].isdigit()
