"""A relay in this process: a real tree, real sockets, scripted exchangers, and turns that the test takes."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from mta.config.load import load
from mta.counters import Counters
from mta.identifier import derived
from mta.log.log import Log
from mta.log.logfmt import Record, parse_record
from mta.loop import READ, WRITE, Loop
from mta.relay.runner import Relay
from mta.store import Delivery, Domain, Entry, Envelope, Recipient, Standing, State, Status, Store
from mta.store.letters.status import read_status
from mta.store.system import System
from tests.protocol.exchanger import Does, Exchanger

PATIENCE = 20.0
"""Seconds after which a test gives up waiting for a turn that brings nothing."""

CONFIGURATION = """
hostname = "mx.example.org"
application: { maildir: { path = "mail" }, socket = "mta.sock" }
local: { domains = [ "example.org" ], mailboxes = "any" }
users: { database = "sqlite:///users.db" }
"""

TEXT = b"Subject: tidings\r\n\r\nFirst line\r\n.dot\r\n"

Saying = bytes | Does | None

_numbers = count()


class Site:
    """Where exchangers listen, a new one for each connection."""

    def __init__(
        self, loop: Loop, says: dict[str, list[Saying]], make: Callable[[], Exchanger] | None = None
    ) -> None:
        self._loop = loop
        self._says = says
        self._make = make or (lambda: Exchanger(("PIPELINING", "8BITMIME")))
        self.exchangers: list[Exchanger] = []
        self._sockets: list[socket.socket] = []
        self._unsent: dict[socket.socket, bytes] = {}
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
        exchanger.says = self._says
        self.exchangers.append(exchanger)
        self._sockets.append(sock)
        sock.setblocking(False)
        self._unsent[sock] = b""
        self._watch(sock, exchanger, READ)
        self._answer(sock, exchanger, exchanger.greet())

    def _watch(self, sock: socket.socket, exchanger: Exchanger, interest: int) -> None:
        self._loop.watch(sock.fileno(), lambda events: self._serve(sock, exchanger, events), interest)

    def _serve(self, sock: socket.socket, exchanger: Exchanger, events: int) -> None:
        try:
            octets = sock.recv(1 << 20) if events & ~WRITE else None
        except ConnectionError:
            octets = b""
        if octets == b"":
            self._hang_up(sock)
        else:
            self._answer(sock, exchanger, exchanger.hear(octets or b""))

    def _answer(self, sock: socket.socket, exchanger: Exchanger, octets: bytes) -> None:
        """Say as much as is taken now; the rest when more is."""
        octets = self._unsent[sock] + octets
        try:
            sent = sock.send(octets) if octets else 0
        except BlockingIOError:
            sent = 0
        except ConnectionError:
            sent = len(octets)
        self._unsent[sock] = octets[sent:]
        self._watch(sock, exchanger, READ | WRITE if octets[sent:] else READ)
        if exchanger.gone and not octets[sent:]:
            if exchanger.resets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._hang_up(sock)

    def _hang_up(self, sock: socket.socket) -> None:
        self._loop.unwatch(sock.fileno())
        self._sockets.remove(sock)
        sock.close()


class Picky(Exchanger):
    """Decides by recipient, and remembers for whom it has taken mail."""

    def __init__(self, fates: Mapping[str, str]) -> None:
        super().__init__(("PIPELINING",))
        self._fates = fates
        self._present: list[str] = []
        self.accepted: list[str] = []

    def _envelope(self, verb: str) -> None:
        address = self.heard[-1].partition(b"<")[2].partition(b">")[0].decode()
        if verb == "RCPT":
            self.says["RCPT"] = [_SAYINGS[self._fates.get(address, "delivered")]]
            self._present.append(address)
        else:
            self._present = []
        super()._envelope(verb)

    def _deliver(self, text: bytes) -> None:
        self.accepted += [a for a in self._present if self._fates.get(a, "delivered") == "delivered"]
        super()._deliver(text)


_SAYINGS: dict[str, Saying] = {
    "delivered": b"250 2.1.5 ok\r\n",
    "failed": b"550 5.1.1 nobody\r\n",
    "waiting": b"451 4.2.0 later\r\n",
}


class Office:
    """The relay, and everything a supervisor and a receiver would give it."""

    def __init__(self, folder: Path, hints: int | None = None, system: System | None = None) -> None:
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
        self.relay = Relay(self.loop, self.log, self.row, hints, system)

    def site(self, *features: str, **says: Sequence[Saying]) -> Site:
        """Somewhere to send mail to; `says` as for an Exchanger, one after the other over all connections."""
        make = partial(Exchanger, features or ("PIPELINING", "8BITMIME"))
        self._sites.append(Site(self.loop, {stage: list(sayings) for stage, sayings in says.items()}, make))
        return self._sites[-1]

    def picky_site(self, fates: Mapping[str, str]) -> Site:
        """One that decides by recipient: `delivered`, `failed` or `waiting`."""
        self._sites.append(Site(self.loop, {}, lambda: Picky(fates)))
        return self._sites[-1]

    def configure(self, *overrides: str) -> None:
        """Load the configuration, some of it overridden, and go on by it."""
        self.relay.configure(load(self.folder / "mta.conf", overrides, uid=1000), {}, None)

    def route(self, domain: str, *sites: Site, more: Sequence[str] = ()) -> None:
        """Send a domain's mail to these sites."""
        routes = ", ".join(f'"{domain} smtp://127.0.0.1:{site.port}"' for site in sites)
        self.configure(f"relay.routes=[ {routes} ]", *more)

    def letter(
        self,
        *addresses: str,
        sender: str = "s@client.example",
        text: bytes = TEXT,
        age: float = 0.0,
        notify: str = "",
    ) -> str:
        """Store a letter for recipients at one domain or several, as the receiver does; its id."""
        recipients = tuple(Recipient(a, Domain(a.partition("@")[2]), notify) for a in addresses)
        return self.accept(*recipients, sender=sender, text=text, age=age)

    def accept(
        self, *recipients: Recipient, sender: str = "s@client.example", text: bytes = TEXT, age: float = 0.0
    ) -> str:
        """Store a message, as the receiver does; its id."""
        born = time.time() - age
        letter = derived(born, *(each.address for each in recipients), str(next(_numbers)))
        envelope = Envelope(letter, sender, born, recipients)
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

    def buried(self, domain: str) -> bool:
        """Whether the letters of a domain are all in its error folder."""
        return bool(self.names(f"{domain}/error")) and not self.names(domain)

    def status(self, domain: str, letter: str) -> Status:
        """What is known of a letter."""
        [name] = [name for name in self.names(domain) if name.startswith(f"{letter}.status")]
        return read_status((self.mail / ".OTHER_SERVERS" / domain / name).read_bytes())

    def promise_report(self, domain: str, letter: str, kind: str = "failure") -> None:
        """Leave a letter as a relay does that dies when it has promised a report on its only recipient."""
        entry, address, now = Entry(domain, letter), f"user@{domain}", time.time()
        state, due = (State.WAITING, int(now)) if kind == "delay" else (State.FAILED, None)
        standing = Standing(state, "no-such-user", "5.1.1", "550 5.1.1 nobody", when=int(now))
        status = Status().tried({address: standing}, due).promise(entry, kind, (address,), now)
        self._store.queue.save([(entry, status)])

    def ask(self, **request: object) -> dict[str, Any]:
        """The answer to an operator's request."""
        answers: list[dict[str, Any]] = []
        self.relay.request({"child": "relay", "request": request})(answers.append)
        self.until(lambda: answers)
        return answers[0]

    def take_off(self, domain: str, letter: str) -> None:
        """Leave a letter as a relay does that dies while it sends it."""
        self._store.queue.take_off([Entry(domain, letter)])

    def mailbox(self, name: str) -> list[bytes]:
        """The new messages of a mailbox of ours."""
        return [path.read_bytes() for path in sorted(self.mail.glob(f"{name}/new/*"))]

    @property
    def accepted(self) -> list[str]:
        """For whom picky sites have taken mail."""
        return [
            a
            for site in self._sites
            for each in site.exchangers
            if isinstance(each, Picky)
            for a in each.accepted
        ]

    @property
    def sent_texts(self) -> list[bytes]:
        """All that was delivered anywhere."""
        return [text for site in self._sites for text in site.texts]

    @property
    def is_quiet(self) -> bool:
        """Nothing is left to do for now."""
        relay = self.relay
        due = relay.schedule.next_due()
        return (
            relay._may_send
            and not relay._couriers
            and relay.ledger.is_idle
            and relay.reports.is_idle
            and (due is None or due > relay._clock())
        )

    def die(self) -> None:
        """End as a killed process does: its sockets close, and nothing else happens any more."""
        for courier in self.relay._couriers:
            if courier._connection is not None and courier._connection._socket is not None:
                courier._connection._socket.close()
        self.relay._helpers.close()
        if self.relay._store is not None:
            self.relay.router.close()
            self.relay._books.close()
        self._let_go()

    def close(self) -> None:
        """Stop, as the supervisor would ask for it."""
        self.relay.stop()
        self.loop.run()
        self._let_go()

    def _let_go(self) -> None:
        for site in self._sites:
            site.close()
        self.loop.close()
        self.log.close()
        self._store.close()
        os.close(self._log_fd)
        os.close(self.counters.fd)
