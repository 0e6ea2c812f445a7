"""A receiver that is served datagrams, and peers at addresses of the loopback network."""

from __future__ import annotations

import select
import socket
from pathlib import Path

from mta.config.load import load
from tests.server.receiver import KEY, House

DATAGRAM = ("datagram", "127.0.0.1:0")


class DatagramHouse(House):
    """Where 127.0.0.1 is trusted, and the rest of 127.0.0.0/8 are strangers."""

    def __init__(self, folder: Path, *overrides: str, at: str = "127.0.0.1") -> None:
        """`at`: where it listens."""
        self.datagrams = _socket_at(at, 0)
        self._overrides = overrides
        self._peers: list[Peer] = []
        super().__init__(folder)

    def configure(self, *overrides: str) -> None:
        """Load the configuration, some of it overridden, and go on by it."""
        trusted = "datagram.trusted=127.0.0.1"
        snapshot = load(self.folder / "mta.conf", (trusted, *self._overrides, *overrides), uid=1000)
        sockets = {KEY: self.listener, DATAGRAM: self.datagrams}
        self.receiver.configure(snapshot, sockets, self.context)

    @property
    def place(self) -> tuple[str, int]:
        """Where to send to."""
        host, port = self.datagrams.getsockname()[:2]
        return str(host), int(port)

    def peer(self, address: str = "127.0.0.1", port: int = 0) -> Peer:
        """Somebody who sends from there."""
        self._peers.append(Peer(self, address, port))
        return self._peers[-1]

    def stranger(self) -> Peer:
        return self.peer("127.0.0.2")

    @property
    def sessions(self) -> int:
        return len(self.receiver._sessions)

    def close(self) -> None:
        for peer in self._peers:
            peer.sock.close()
        super().close()
        self.datagrams.close()


def _socket_at(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, port))
    return made


class Peer:
    """A socket of its own address, counting octets."""

    def __init__(self, house: DatagramHouse, address: str, port: int) -> None:
        self.house = house
        self.sock = _socket_at(address, port)
        self.sock.settimeout(5)
        self.sent = 0
        self.received = 0

    def send(self, datagram: bytes) -> None:
        """Send it, to whom we are connected if to anybody, and let the server take it."""
        self.sent += self._transmit(datagram)
        for _ in range(3):
            self.house.loop.turn(5)

    def _transmit(self, datagram: bytes) -> int:
        try:
            self.sock.getpeername()
        except OSError:
            return self.sock.sendto(datagram, self.house.place)
        return self.sock.send(datagram)

    def hear(self) -> bytes | None:
        """The next datagram that is here already, None without one."""
        if not select.select([self.sock], [], [], 0)[0]:
            return None
        datagram = self.sock.recv(65536)
        self.received += len(datagram)
        return datagram

    def ask(self, datagram: bytes) -> bytes:
        """Send it, and wait for an answer."""
        self.send(datagram)
        self.house.until(lambda: select.select([self.sock], [], [], 0)[0])
        answer = self.hear()
        assert answer is not None
        return answer

    def ask_in_vain(self, datagram: bytes) -> None:
        """Send it; nothing comes back."""
        self.send(datagram)
        answer = self.hear()
        assert answer is None, answer

    def say(self, *lines: bytes) -> list[bytes]:
        """Lines, each when the one before has been answered; returns the answers."""
        return [self.ask(line + b"\r\n") for line in lines]

    def open(self) -> Peer:
        """Begin a session, with a cookie when one is asked for."""
        greeting = self.ask(b" " * 200 + b"\r\n")
        assert greeting.startswith(b"220 "), greeting
        if b"cookie=" in greeting:
            cookie = greeting.rpartition(b"=")[2]
            assert self.ask(b"COOKIE " + cookie).startswith(b"220 ")
        return self
