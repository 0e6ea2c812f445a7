"""A network that loses, repeats and delays datagrams, the same way each time: a relay between UDP sockets.

What happens to a datagram depends on its number in its direction alone. One that is held back leaves after
the next one, so that they change places.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

PASS, LOSE, REPEAT, HOLD = "pass", "lose", "repeat", "hold"

Send = Callable[[bytes], object]


class Direction:
    """One way through the network, with what happens to its datagrams, again from the beginning."""

    def __init__(self, fates: list[str], send: Send) -> None:
        self._fates = cycle(fates)
        self._send = send
        self._held: list[bytes] = []

    def take(self, datagram: bytes) -> None:
        fate = next(self._fates)
        if fate == HOLD:
            self._held.append(datagram)
            return
        if fate != LOSE:
            self._send(datagram)
        if fate == REPEAT:
            self._send(datagram)
        held, self._held = self._held, []
        for each in held:
            self._send(each)


class LossyNetwork:
    """Between a server and its clients, each of which has an address of its own towards the server."""

    def __init__(self, server: tuple[str, int], there: list[str], back: list[str]) -> None:
        self._server = server
        self._there = there
        self._back = back
        self._selector = selectors.DefaultSelector()
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self._selector.register(self._front, selectors.EVENT_READ, self._from_client)
        self._stop, self._stopped = socket.socketpair()
        self._selector.register(self._stopped, selectors.EVENT_READ, None)
        self._ways: dict[tuple[str, int], Direction] = {}
        self._sockets: list[socket.socket] = [self._front, self._stop, self._stopped]
        self.port = int(self._front.getsockname()[1])

    @contextmanager
    def running(self) -> Iterator[LossyNetwork]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            self._stop.send(b"x")
            thread.join()
            self._selector.close()
            for each in self._sockets:
                each.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data()

    def _from_client(self) -> None:
        datagram, client = self._front.recvfrom(65536)
        if client not in self._ways:
            self._ways[client] = self._way_for(client)
        self._ways[client].take(datagram)

    def _way_for(self, client: tuple[str, int]) -> Direction:
        behind = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        behind.connect(self._server)
        self._sockets.append(behind)
        back = Direction(self._back, lambda datagram: self._front.sendto(datagram, client))
        self._selector.register(behind, selectors.EVENT_READ, lambda: back.take(behind.recv(65536)))
        return Direction(self._there, behind.send)


def fates(pattern: str) -> list[str]:
    """`.` passes, `x` is lost, `2` is repeated, `<` lets the next one go first."""
    meaning = {".": PASS, "x": LOSE, "2": REPEAT, "<": HOLD}
    return [meaning[each] for each in pattern]
