"""A relay in this process: a real tree, real sockets, scripted exchangers, and turns that the test takes."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from mta.config import load
from mta.counters import Counters
from mta.identifier import Identifiers
from mta.log.log import Log
from mta.log.logfmt import Record, parse_record
from mta.loop import READ, Loop
from mta.relay.runner import Relay
from mta.store import Delivery, Domain, Envelope, Recipient, Store
from tests.protocol.exchanger import Exchanger

PATIENCE = 20.0
"""Seconds after which a test gives up waiting for a turn that brings nothing."""

CONFIGURATION = """
hostname = "mx.example.org"
application: { maildir: { path = "mail" }, socket = "mta.sock" }
local: { domains = [ "example.org" ], mailboxes = "any" }
"""

TEXT = b"Subject: tidings\r\n\r\nFirst line\r\n.dot\r\n"

_identifiers = Identifiers()


class Site:
    """Where exchangers listen: each connection is served by the next one, the last one serves the rest."""

    def __init__(self, loop: Loop, make: Callable[[], Exchanger]) -> None:
        self._loop = loop
        self._make = make
        self.exchangers: list[Exchanger] = []
        self._sockets: list[socket.socket] = []
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._listen()

    def close(self) -> None:
        """Nobody answers there any more."""
        if self._listener is not None:
            self._loop.unwatch(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for sock in self._sockets:
            self._loop.unwatch(sock.fileno())
            sock.close()
        self._sockets.clear()

    def open_again(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listen()

    @property
    def texts(self) -> list[bytes]:
        """All that was delivered."""
        return [text for exchanger in self.exchangers for text in exchanger.texts]

    def _listen(self) -> None:
        assert self._listener is not None
        self._listener.setblocking(False)
        self._loop.watch(self._listener.fileno(), self._accept)

    def _accept(self, _events: int) -> None:
        assert self._listener is not None
        sock, _ = self._listener.accept()
        exchanger = self._make()
        self.exchangers.append(exchanger)
        self._sockets.append(sock)
        self._loop.watch(sock.fileno(), lambda _events: self._serve(sock, exchanger), READ)
        self._answer(sock, exchanger, exchanger.greet())

    def _serve(self, sock: socket.socket, exchanger: Exchanger) -> None:
        try:
            octets = sock.recv(1 << 20)
        except ConnectionError:
            octets = b""
        if not octets:
            self._hang_up(sock)
        else:
            self._answer(sock, exchanger, exchanger.hear(octets))

    def _answer(self, sock: socket.socket, exchanger: Exchanger, octets: bytes) -> None:
        sock.sendall(octets)
        if exchanger.gone:
            self._hang_up(sock)

    def _hang_up(self, sock: socket.socket) -> None:
        self._loop.unwatch(sock.fileno())
        self._sockets.remove(sock)
        sock.close()


class Office:
    """The relay, and everything a supervisor and a receiver would give it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mail = folder, folder / "mail"
        self.mail.mkdir(exist_ok=True)
        (folder / "mta.conf").write_text(CONFIGURATION)
        self.loop = Loop()
        reading, writing = os.pipe2(os.O_NONBLOCK)
        self._log_fd = reading
        self.counters = Counters.create()
        self.row = self.counters.row("relay")
        self.log = Log(writing, "relay", self.row)
        self.loop.at_end_of_turn(self.log.flush)
        self._records: list[Record] = []
        self._sites: list[Site] = []
        self._store = Store(self.mail, host="mx.example.org", writer="receiver")
        self.relay = Relay(self.loop, self.log, self.row)

    def site(self, **says: Sequence[object]) -> Site:
        """Somewhere to send mail to; `says` as for an Exchanger."""
        script = {stage: list(sayings) for stage, sayings in says.items()}
        features = ("PIPELINING", "8BITMIME")
        self._sites.append(Site(self.loop, lambda: Exchanger(features, script)))  # type: ignore[arg-type]
        return self._sites[-1]

    def configure(self, *overrides: str) -> None:
        """Load the configuration, some of it overridden, and go on by it."""
        self.relay.configure(load(self.folder / "mta.conf", overrides, uid=1000), {}, None)

    def route(self, domain: str, *sites: Site, more: Sequence[str] = ()) -> None:
        """Send a domain's mail to these sites."""
        routes = ", ".join(f'"{domain} smtp://127.0.0.1:{site.port}"' for site in sites)
        self.configure(f"relay.routes=[ {routes} ]", *more)

    def letter(
        self, *addresses: str, sender: str = "s@client.example", text: bytes = TEXT, **wishes: str
    ) -> str:
        """Store a letter for recipients at one domain or several, as the receiver does; its id."""
        recipients = tuple(Recipient(a, Domain(a.partition("@")[2]), **wishes) for a in addresses)
        envelope = Envelope(_identifiers.next(), sender, time.time(), recipients)
        delivery = Delivery(envelope, b"")
        delivery.add(text, text.replace(b"\r\n", b"\n"))
        self._store.commit([delivery])
        self._store.finish()
        return envelope.id

    def until(self, ready: Callable[[], object]) -> None:
        """Take turns until it is so."""
        end = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < end, f"it never comes; {self.records()}"
            self.loop.turn(20)

    def records(self, event: str = "") -> list[Record]:
        """What has been logged under this name, or at all."""
        self.log.flush()
        with suppress(BlockingIOError):
            while octets := os.read(self._log_fd, 1 << 20):
                self._records += [parse_record(line) for line in octets.splitlines()]
        return [record for record in self._records if event in ("", record.event)]

    def names(self, folder: str) -> list[str]:
        """The names in a folder below .OTHER_SERVERS."""
        path = self.mail / ".OTHER_SERVERS" / folder
        return sorted(each.name for each in path.iterdir() if each.is_file()) if path.is_dir() else []

    def close(self) -> None:
        """Stop, as the supervisor would ask for it."""
        self.relay.stop()
        self.loop.run()
        for site in self._sites:
            site.close()
        self.loop.close()
        self.log.close()
        self._store.close()
        os.close(self._log_fd)
        os.close(self.counters.fd)
