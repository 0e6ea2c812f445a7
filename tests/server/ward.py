"""A receiver for hostile peers: its clock can be put forward, and what a peer has left behind shows."""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
from contextlib import suppress
from pathlib import Path

from tests.server.receiver import Client, House

TEXT = b"Subject: x\r\n\r\nhello\r\n"
LARGE = b"Subject: large\r\n\r\n" + (b"y" * 76 + b"\r\n") * 4000
"""More than is held in memory: it goes to disk as it comes."""

_FAR_TOO_LONG = 1000.0
"""Seconds that are longer than any patience of the server."""


class Ward(House):
    """A house whose clients are strangers, unless its settings say otherwise."""

    def __init__(self, folder: Path, context: ssl.SSLContext | None = None, *settings: str) -> None:
        self._ahead = 0.0
        super().__init__(folder, context)
        self._settings = ("relay.from=[]", *settings)
        self.configure(*self._settings)
        clock = self.loop.clock
        self.loop.clock = lambda: clock() + self._ahead

    def go_on_by(self, *settings: str) -> None:
        """From now on these settings too."""
        self.configure(*self._settings, *settings)

    def peer(self) -> Peer:
        """A client that has only just connected."""
        self._clients.append(Peer(self, socket.create_connection(self.listener.getsockname())))
        made = self._clients[-1]
        assert isinstance(made, Peer)
        return made

    def greeted(self) -> Peer:
        """A client that has been greeted."""
        peer = self.peer()
        peer.expect(b"220 ")
        return peer

    def put_forward(self, seconds: float) -> None:
        """So much time passes, and what was due in it is done."""
        self._ahead += seconds
        ticks = self.receiver._ticks
        self.until(lambda: self.receiver._ticks > ticks)

    def wait_until_alone(self) -> None:
        """All sessions are over: those that do not end by themselves by their time."""
        while self.receiver._sessions:
            self.put_forward(_FAR_TOO_LONG)
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.until(lambda: not self.leftovers())

    def logged(self) -> bytes:
        """What has been logged since this was last asked, as it would be written to a file."""
        self.log.flush()
        octets = b""
        while select.select([self._log_fd], [], [], 0)[0]:
            octets += os.read(self._log_fd, 1 << 20)
        return octets

    def tree(self) -> set[str]:
        """All there is in the test's own folder, which is larger than the tree of the mail, but for the
        database, whose files come and go by rules of its own."""
        paths = (path for path in self.folder.rglob("*") if not path.name.startswith("users.db"))
        return {str(path.relative_to(self.folder)) for path in paths}

    def descriptors(self) -> tuple[int, int]:
        """How many are open in the receiver and in the committer."""
        desk = self.receiver._desk
        assert desk is not None
        return _open_in(os.getpid()), _open_in(desk.committer._process.pid)


class Peer(Client):
    """A client that may do what no client should, and is told by nobody that it failed."""

    def pour(self, octets: bytes) -> None:
        """Send until the server takes no more, or all is sent."""
        self.sock.setblocking(False)
        refusals = 0
        with suppress(ConnectionError):
            while octets and refusals < 20:
                try:
                    octets = octets[self.sock.send(octets) :]
                    refusals = 0
                except BlockingIOError:
                    refusals += 1
                self.house.loop.turn(1)

    def drip(self, octets: bytes, seconds: float) -> None:
        """Send them one by one, with so much time between."""
        assert isinstance(self.house, Ward)
        for octet in octets:
            with suppress(ConnectionError):
                self.sock.send(bytes([octet]))
            self.house.put_forward(seconds)

    def reset(self) -> None:
        """Vanish with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def end_of_talk(self) -> list[bytes]:
        """The lines that have arrived until now; none when the peer has hung up itself."""
        with suppress(OSError):
            self.sock.setblocking(False)
            while octets := self.sock.recv(1 << 20):
                self.received += octets
        return self.received.split(b"\r\n")


def _open_in(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
