"""A receiver that is administered: users with roles, an administration port, and a supervisor that obeys."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from mta.config import ConfigError
from mta.config.load import load
from mta.users.account import Role
from mta.users.accounts import Accounts
from mta.users.passwords import Secrets, make_secrets
from mta.users.penalties import Penalties
from tests.server.receiver import KEY, House

MANAGEMENT = ("management", "127.0.0.1:0")
DOMAINS = "local.domains=example.org,second.example"

USERS = {
    "admin": Role.ADMINISTRATOR,
    "olga": Role.OPERATOR,
    "bob": Role.USER,
    "zoe@second.example": Role.USER,
}
"""The password of each is NAME-password."""


@cache
def _secrets(password: str) -> Secrets:
    return make_secrets(password, scram=False)


def populate(accounts: Accounts) -> None:
    """Everybody moves in."""
    for user, role in USERS.items():
        name, _, domain = user.partition("@")
        accounts.add(name, domain or "example.org", _secrets(f"{name}-password"), role=role)


class Office(House):
    """`outside`: the administration port is listened on at all addresses. Refusals come without delay."""

    def __init__(
        self, folder: Path, *overrides: str, context: ssl.SSLContext | None = None, outside: bool = False
    ) -> None:
        self.management = socket.create_server(("0.0.0.0" if outside else "127.0.0.1", 0))
        self._overrides = (DOMAINS, *overrides)
        self._secretaries: list[Secretary] = []
        super().__init__(folder, context)
        self.desk = self.receiver._desk
        assert self.desk is not None
        self.desk.ask = self._obey
        self.desk.guard._penalties = Penalties(self.loop, (0.0,))
        populate(self.desk.accounts)

    def configure(self, *overrides: str) -> None:
        """Load the configuration, some of it overridden, and go on by it."""
        snapshot = load(self.folder / "mta.conf", (*self._overrides, *overrides), uid=1000)
        self.receiver.configure(snapshot, {KEY: self.listener, MANAGEMENT: self.management}, self.context)

    def _obey(self, request: dict[str, Any], answer: Callable[[dict[str, Any]], None]) -> None:
        try:
            self._overrides = (*self._overrides, f"{request['key']}={request['value']}")
            self.configure()
            told: dict[str, Any] = {"status": 0}
        except ConfigError as error:
            self._overrides = self._overrides[:-1]
            told = {"status": 1, "text": str(error)}
        self.loop.post(lambda: answer(told))

    def secretary(self, user: str = "") -> Secretary:
        """A client of the administration port; logged in, when it is told as whom."""
        place = ("127.0.0.1", self.management.getsockname()[1])
        self._secretaries.append(Secretary(self, socket.create_connection(place)))
        made = self._secretaries[-1]
        if user:
            made.expect("+OK Management server ready")
            made.say(f"USER {user}", "+OK USER")
            made.say(f"PASS {user.partition('@')[0]}-password", "+OK PASS")
        return made

    def close(self) -> None:
        for each in self._secretaries:
            each.sock.close()
        super().close()
        self.management.close()


class Secretary:
    """The other end of an administration session: lines out, lines in."""

    def __init__(self, office: Office, sock: socket.socket) -> None:
        self.office = office
        self.sock = sock
        self.ended = False
        self._received = b""

    def send(self, octets: bytes) -> None:
        self.sock.sendall(octets)

    def say(self, line: str, *replies: str) -> None:
        """Send a line; these lines come back."""
        self.send(f"{line}\r\n".encode())
        for reply in replies:
            self.expect(reply)

    def expect(self, reply: str) -> None:
        assert self.line() == reply

    def line(self) -> str:
        """The next line, as soon as it is there."""
        self.office.until(lambda: self._take() or self.ended)
        line, end, self._received = self._received.partition(b"\r\n")
        assert end, line
        return line.decode()

    def has_line(self) -> bool:
        """Whether one is there already."""
        return self._take()

    def expect_end(self) -> None:
        """Nothing more comes, and the server closes."""
        self.office.until(lambda: self._take() or self.ended)
        assert self._received == b""

    def _take(self) -> bool:
        while not self.ended and select.select([self.sock], [], [], 0)[0]:
            octets = self.sock.recv(1 << 16)
            self.ended = not octets
            self._received += octets
        return b"\r\n" in self._received
