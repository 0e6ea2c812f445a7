"""A service manager that listens for sd_notify(3)."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.instance import PATIENCE


class Manager:
    """The service manager's end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(PATIENCE)

    def hear(self) -> dict[str, str]:
        """The next datagram."""
        lines = self.socket.recv(4096).decode().splitlines()
        return {key: value for key, _, value in (line.partition("=") for line in lines)}

    def hear_until(self, key: str) -> dict[str, str]:
        """The next datagram with this key."""
        while key not in (heard := self.hear()):
            pass
        return heard

    def waiting(self) -> list[bytes]:
        """All datagrams that are there already."""
        self.socket.setblocking(False)
        heard = []
        try:
            while True:
                heard.append(self.socket.recv(4096))
        except BlockingIOError:
            return heard
        finally:
            self.socket.settimeout(PATIENCE)
