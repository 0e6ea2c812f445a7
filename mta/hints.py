"""Hints: the receiver tells the relay of new letters, so that they leave at once.

A hint is worth nothing but time: the tree is the truth, and a letter that nobody spoke of is found there. So
sending never waits, and what cannot be sent is forgotten. Each packet holds whole lines, `domain/id`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final

_MOST_OCTETS: Final = 32768
_MOST_PACKETS: Final = 16
"""Taken in one turn."""
BUFFER: Final = 4 << 20
"""Octets wished for between the two; less will do."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a line, whole packets only, closed on exec: (to read, to write)."""
    reading, writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (reading, writing):
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    return reading, writing


class HintSender:
    """The receiver's end. `flush` at the end of each turn."""

    def __init__(self, sock: socket.socket | None) -> None:
        """None: nobody listens."""
        self._socket = sock
        self._lines: list[bytes] = []
        self._octets = 0

    def add(self, domain: str, letter: str) -> None:
        """A letter for this domain is stored."""
        line = f"{domain}/{letter}\n".encode("ascii")
        self._lines.append(line)
        self._octets += len(line)
        if self._octets > _MOST_OCTETS - 512:
            self.flush()

    def flush(self) -> None:
        """Tell what there is, or forget it."""
        if not self._lines:
            return
        packet = b"".join(self._lines)
        self._lines.clear()
        self._octets = 0
        if self._socket is None:
            return
        try:
            self._socket.send(packet, socket.MSG_DONTWAIT)
        except OSError:
            return  # full, or nobody listens: the relay looks for itself


def receive(sock: socket.socket) -> Iterator[tuple[str, str]]:
    """Domain and id of the letters told of, some of them if there are many."""
    for _ in range(_MOST_PACKETS):
        try:
            packet = sock.recv(_MOST_OCTETS, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not packet:
            return
        for line in packet.decode("ascii").splitlines():
            domain, _, letter = line.partition("/")
            yield domain, letter
