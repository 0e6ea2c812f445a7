"""A receiver in this process: real sockets, a real tree, a real committer, and turns that the test takes."""

from __future__ import annotations

import os
import select
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from mta.config.load import load
from mta.counters import Counters
from mta.log.log import Log
from mta.log.logfmt import Record, parse_record
from mta.loop import Loop
from mta.server.receiver import Receiver

PATIENCE = 20.0
"""Seconds after which a test gives up waiting for a turn that brings nothing."""

CONFIGURATION = """
hostname = "mx.example.org"
application: { maildir: { path = "mail" }, socket = "mta.sock" }
local: { domains = [ "example.org" ], mailboxes = "any" }
users: { database = "sqlite:///users.db" }
"""

KEY = ("smtp", "127.0.0.1:0")


class House:
    """The receiver and everything a supervisor would give it."""

    def __init__(self, folder: Path, context: ssl.SSLContext | None = None, *, service: str = KEY[0]) -> None:
        self.folder, self.mail = folder, folder / "mail"
        self._key = (service, KEY[1])
        self.mail.mkdir(exist_ok=True)
        self.context = context
        (folder / "mta.conf").write_text(CONFIGURATION)
        self.loop = Loop()
        reading, writing = os.pipe2(os.O_NONBLOCK)
        self._log_fd = reading
        self.counters = Counters.create()
        row = self.counters.row("receiver")
        self.log = Log(writing, "receiver", row)
        self.loop.at_end_of_turn(self.log.flush)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.receiver = Receiver(self.loop, self.log, row)
        self._records: list[Record] = []
        self._clients: list[Client] = []
        self.configure()

    def configure(self, *overrides: str) -> None:
        """Load the configuration, some of it overridden, and go on by it."""
        snapshot = load(self.folder / "mta.conf", overrides, uid=1000)
        self.receiver.configure(snapshot, {self._key: self.listener}, self.context)

    def connect(self) -> Client:
        """A client that has only just connected."""
        self._clients.append(Client(self, socket.create_connection(self.listener.getsockname())))
        return self._clients[-1]

    def client(self) -> Client:
        """A client that has been greeted."""
        client = self.connect()
        client.expect(b"220 ")
        return client

    def until(self, ready: Callable[[], object]) -> None:
        """Take turns until it is so."""
        end = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < end, "it never comes"
            self.loop.turn(20)

    def let_time_run_out(self) -> None:
        """All sessions have been silent for too long."""
        for connection in list(self.receiver._sessions):
            connection.deadline = 0.0
            connection.check_time(self.loop.clock())

    def records(self, event: str) -> list[Record]:
        """What has been logged under this name."""
        self.log.flush()
        while select.select([self._log_fd], [], [], 0)[0] and (octets := os.read(self._log_fd, 1 << 20)):
            self._records += [parse_record(line) for line in octets.splitlines()]
        return [record for record in self._records if record.event == event]

    def files(self, folder: str) -> list[Path]:
        """The files in a folder of the tree."""
        return sorted(self.mail.glob(f"{folder}/*"))

    def leftovers(self) -> list[Path]:
        """What is being written, or was left behind."""
        return [*self.mail.glob("*/tmp/*"), *self.mail.glob(".OTHER_SERVERS/.tmp/*")]

    def close(self) -> None:
        """Stop, as the supervisor would ask for it."""
        for client in self._clients:
            client.close()
        self.receiver.stop()
        self.loop.run()
        self.listener.close()
        self.loop.close()
        self.log.close()
        os.close(self._log_fd)
        os.close(self.counters.fd)


class Client:
    """The other end of a connection."""

    def __init__(self, house: House, sock: socket.socket) -> None:
        self.house = house
        self.sock = sock
        self.received = b""

    def say(self, octets: bytes, reply: bytes) -> bytes:
        """Send, and wait for a reply that begins like this; returns all of it."""
        self.send(octets)
        return self.expect(reply)

    def send(self, octets: bytes) -> None:
        """Send, however long it is: the server reads along."""
        self.sock.setblocking(False)
        while octets:
            try:
                octets = octets[self.sock.send(octets) :]
            except BlockingIOError:
                self.house.loop.turn(1)

    def expect(self, reply: bytes) -> bytes:
        """The next reply, which begins like this."""
        self.house.until(self._has_reply)
        lines = self.received.split(b"\r\n")
        count = next(number for number, line in enumerate(lines) if line[3:4] == b" ") + 1
        whole, self.received = b"\r\n".join(lines[:count]), b"\r\n".join(lines[count:])
        assert whole.startswith(reply), whole
        return whole

    def expect_end(self) -> None:
        """The server closes."""
        self.house.until(self._has_ended)

    def envelope(self, *recipients: bytes) -> None:
        """EHLO, MAIL, RCPT."""
        self.say(b"EHLO client.example\r\n", b"250")
        self.say(b"MAIL FROM:<s@client.example>\r\n", b"250 ")
        for recipient in recipients:
            self.say(b"RCPT TO:<%s>\r\n" % recipient, b"250 ")

    def deliver(self, text: bytes, *recipients: bytes) -> bytes:
        """One message, to the reply after its dot."""
        self.envelope(*recipients)
        self.say(b"DATA\r\n", b"354 ")
        return self.say(text + b".\r\n", b"")

    def close(self) -> None:
        self.sock.close()

    def _has_reply(self) -> bool:
        while select.select([self.sock], [], [], 0)[0] and (octets := self.sock.recv(1 << 16)):
            self.received += octets
        lines = self.received.split(b"\r\n")[:-1]
        return any(line[3:4] == b" " for line in lines)

    def _has_ended(self) -> bool:
        return bool(select.select([self.sock], [], [], 0)[0]) and self.sock.recv(1 << 16) == b""
