"""The receiver: the role that takes mail. Wiring only.

It holds the listeners, the sessions and the store with its threads, gives new sessions the rules of the
latest configuration, and ends in order: no new sessions, commits finished, everybody told 421.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from mta.config import Settings, Snapshot
from mta.counters import CONNECTIONS_CURRENT, CONNECTIONS_TOTAL, REFUSED, Row
from mta.hints import HintSender
from mta.identifier import Identifiers
from mta.log import events as tell
from mta.log.log import Log
from mta.loop import Loop
from mta.policy import Policy, client_address
from mta.protocol.replies import BANNED, NO_TLS, SPOKE_TOO_SOON, Reply
from mta.server.connection import Connect, Connection, Transport
from mta.server.datagram.listener import DatagramListener
from mta.server.desk import Ask, Client, Desk, Message, Rules
from mta.server.listener import Admission, Listener
from mta.server.memory import Memory
from mta.server.service import Guest
from mta.server.services import SERVICES
from mta.server.smtp.hourly import Hourly
from mta.server.smtp.trace import TraceWriter
from mta.server.steering import roster
from mta.server.steering.intermission import Intermission
from mta.server.tally import CommitTally
from mta.store import Committer, Helpers, Recovery, Space, Store, Unfinished, Usage
from mta.users.accounts import Accounts
from mta.users.books import Books
from mta.users.database import Database
from mta.users.directory import Directory
from mta.users.guard import Guard

_HELPERS: Final = 4
_CLOCK: Final = 1.0
"""Seconds between looks at deadlines and at the free space."""
_REFRESH: Final = 30
"""So many of them between looks for folders that came or went by hand."""
_MOST_APART: Final = 50
"""Sessions that are not counted among the others."""
_PATIENCE: Final = 10.0
"""Seconds that clients have to take their 421 when the server stops."""

ListenerKey = tuple[str, str]
"""(service, address) as the configuration writes them."""
Listeners = Mapping[ListenerKey, socket.socket]


class Receiver:
    """A role of `mta.daemon.child`."""

    def __init__(self, loop: Loop, log: Log, row: Row, hints: int | None = None) -> None:
        """`hints`: the descriptor on which to tell the relay of new letters."""
        self._loop = loop
        self._log = log
        self._row = row
        self._admission = Admission()
        self._apart = Admission(_MOST_APART, _MOST_APART)
        self._memory = Memory(0)
        self._commits = CommitTally(loop, row)
        self._listeners: dict[ListenerKey, Listener | DatagramListener] = {}
        self._sessions: dict[Transport, Guest] = {}
        self._rules: Rules | None = None
        self._desk: Desk | None = None
        self._ask: Ask = _ask_nobody
        self._intermission = Intermission(loop, self._rest, self._go_on)
        self._hints = HintSender(None if hints is None else socket.socket(fileno=hints))
        self._ticks = 0
        self._stopping = False

    # what the supervisor says

    def may_ask(self, ask: Ask) -> None:
        """How to ask the supervisor something; told before anything else."""
        self._ask = ask

    def configure(
        self,
        snapshot: Snapshot,
        listeners: Listeners,
        context: ssl.SSLContext | None,
    ) -> None:
        """Go on by this configuration. Raises OSError when the tree cannot be used."""
        settings = snapshot.settings
        if self._desk is None:
            self._desk = self._open(settings)
        self._desk.settings = settings
        self._rules = Rules(settings, Policy.of(settings), context, _own_addresses(listeners))
        self._desk.guard.configure(settings.local.domains, scram=settings.users.scram)
        hourly = self._desk.hourly
        hourly.messages, hourly.recipients = settings.users.messages, settings.users.recipients
        self._admission.limit = settings.limits.connections
        self._admission.per_client = settings.limits.per_client
        self._memory.limit(settings.limits.memory)
        application = settings.application
        self._log.configure(application.debug, application.log.transcript is not None)
        for connection, host in self._sessions.items():
            connection.timeout = SERVICES[host.client.service].timeout(settings)
            host.transcribe(self._log.transcript)
        self._listen(listeners)

    def request(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer the local socket."""
        guests, count, now = self._sessions.values(), len(self._sessions), self._loop.clock()
        return roster.answer(guests, count, now, request["request"])

    def stop(self) -> None:
        """No new sessions; every client gets its pending reply and 421; then the loop ends."""
        if self._stopping:
            return
        self._stopping = True
        self._intermission.end()
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        if self._desk is not None:
            self._desk.guard.hurry()
        for connection in list(self._sessions):
            connection.shut_down()
        self._loop.call_later(_PATIENCE, self._end)
        self._loop.at_end_of_turn(self._end_if_empty)
        self._loop.post(self._end_if_empty)  # with nobody to wait for, there may be no turn to end

    # the start

    def _open(self, settings: Settings) -> Desk:
        maildir, host = settings.application.maildir, settings.hostname
        committer = Committer(
            self._loop,
            maildir.path,
            host=host,
            sync=maildir.sync,
            report=self._unfinished,
            committed=self._commits.committed,
        )
        store = Store(maildir.path, host=host, sync=maildir.sync, commits=False)
        self._tell_recovery(committer.recovery)
        desk = self._furnished(settings, store, committer)
        self._loop.at_end_of_turn(self._hints.flush)
        desk.helpers.run(store.clean, self._cleaned)
        self._loop.call_later(_CLOCK, self._tick)
        return desk

    def _furnished(self, settings: Settings, store: Store, committer: Committer) -> Desk:
        helpers = Helpers(_HELPERS, self._loop.post)
        accounts = Accounts(Database(settings.users.database))
        directory = Directory(self._loop, accounts, self._no_database)
        return Desk(
            loop=self._loop,
            log=self._log,
            row=self._row,
            store=store,
            committer=committer,
            helpers=helpers,
            readers=Helpers(_HELPERS, self._loop.post),
            memory=self._memory,
            space=store.free(),
            identifiers=Identifiers(),
            trace=TraceWriter(),
            hints=self._hints,
            accounts=accounts,
            directory=directory,
            books=Books(directory, accounts),
            usage=Usage(store.used, helpers),
            hourly=Hourly(self._loop.clock),
            guard=Guard(self._loop, accounts, directory, self._log),
            intermission=self._intermission,
            settings=settings,
            ask=self._ask,
        )

    def _tell_recovery(self, recovery: Recovery) -> None:
        if recovery.finished:
            tell.recovered(self._log, "messages linked to all their places", len(recovery.finished))
        for broken in recovery.broken:
            tell.set_aside(self._log, broken.id, broken.text)
        self._unfinished(recovery.unfinished)

    def _no_database(self, text: str) -> None:
        tell.fault(self._log, "asking the database", "users.database", text)

    def _cleaned(self, result: int | OSError) -> None:
        if isinstance(result, OSError):
            tell.fault(self._log, "removing leftovers", "tmp", result)
        elif result:
            tell.recovered(self._log, "leftovers removed", result)

    def _unfinished(self, messages: Sequence[Unfinished]) -> None:
        for message in messages:
            tell.fault(self._log, "linking an accepted message", message.id, message.text)

    # connections

    def _listen(self, wanted: Listeners) -> None:
        for key in self._listeners.keys() - wanted.keys():
            self._listeners.pop(key).close()
        for key in wanted.keys() - self._listeners.keys():
            if key[0] in SERVICES and not self._stopping:
                self._listeners[key] = self._listener(key[0], wanted[key])
                if self._intermission.lasts:
                    self._listeners[key].pause()

    def _listener(self, service: str, sock: socket.socket) -> Listener | DatagramListener:
        if sock.type == socket.SOCK_DGRAM:
            return DatagramListener(self._loop, sock, self._rules_in_force, partial(self._begin, service))
        outside = not client_address(sock.getsockname()[0]).is_loopback
        return Listener(self._loop, sock, partial(self._accepted, service, outside), self._no_room)

    def _rules_in_force(self) -> Rules:
        assert self._rules is not None
        return self._rules

    def _no_room(self, error: OSError) -> None:
        tell.fault(self._log, "accepting connections", "resting for a second", error)

    def _accepted(self, name: str, outside: bool, sock: socket.socket, peer: tuple[Any, ...]) -> None:
        service = SERVICES[name]
        objection = SPOKE_TOO_SOON if service.greets and _speaks(sock) else None
        connect = partial(Connection, self._loop, sock)
        refusal = self._begin(name, peer, connect, objection, outside)
        if refusal is not None:
            _refuse(sock, service.refuse(refusal))

    def _begin(
        self,
        name: str,
        peer: tuple[Any, ...],
        connect: Connect,
        objection: Reply | None = None,
        outside: bool = False,
    ) -> Reply | None:
        """Serve one more client of this service, or return the refusal. `outside`: see Client."""
        assert self._rules is not None
        assert self._desk is not None
        address = client_address(peer[0])
        client = Client.of(address, peer[1], name, self._rules.policy.trusts(address), outside)
        service = SERVICES[name]
        banned = BANNED if self._desk.directory.ban_of(address) is not None else None
        bare = NO_TLS if service.tls and self._rules.context is None else None
        refusal = banned or bare or self._admission_to(name).admit(address, client.trusted)
        if refusal is not None:
            self._row.add(REFUSED[name])
            tell.refused(self._log, name, client.peer, refusal.text)
            return refusal
        host = service.receive(self._desk, self._rules, client, self._left)
        connection = connect(host.session, host, service.timeout(self._rules.settings))
        self._sessions[connection] = host
        self._row.add(CONNECTIONS_TOTAL[name])
        self._row.add(CONNECTIONS_CURRENT[name])
        host.serve(connection, objection)
        return None

    def _left(self, host: Guest) -> None:
        assert host.connection is not None
        del self._sessions[host.connection]
        self._row.sub(CONNECTIONS_CURRENT[host.client.service])
        self._admission_to(host.client.service).leave(host.client.address)

    def _admission_to(self, service: str) -> Admission:
        return self._apart if SERVICES[service].apart else self._admission

    # time

    def _rest(self) -> None:
        """An intermission begins."""
        for listener in self._listeners.values():
            listener.pause()

    def _go_on(self, seconds: float) -> None:
        """It is over; its time counts for nobody."""
        for connection in self._sessions:
            connection.deadline += seconds
        for listener in self._listeners.values():
            listener.resume()

    def _tick(self) -> None:
        if self._desk is None:
            return  # it has ended in this very turn
        self._commits.tick(self._desk.committer.waiting)
        now = self._loop.clock()
        if not self._intermission.lasts:
            for connection in [each for each in self._sessions if each.deadline <= now]:
                connection.check_time(now)
        if not self._stopping:
            self._desk.helpers.run(self._desk.store.free, self._measured)
            self._ticks += 1
            if self._ticks % _REFRESH == 0:
                self._desk.helpers.run(self._desk.store.refresh, self._refreshed)
        self._loop.call_later(_CLOCK, self._tick)

    def _measured(self, result: Space | OSError) -> None:
        assert self._desk is not None
        if isinstance(result, OSError):
            tell.fault(self._log, "measuring the free space", "the maildir", result)
        else:
            self._desk.space = result

    def _refreshed(self, result: OSError | None) -> None:
        if isinstance(result, OSError):
            tell.fault(self._log, "looking for new folders", "the maildir", result)

    # the end

    def _end_if_empty(self) -> None:
        if not self._sessions:
            self._end()

    def _end(self) -> None:
        """Sessions that are left have had their time; what was submitted is committed all the same."""
        if self._desk is not None:
            self._desk.guard.close()
            self._desk.directory.close()
            self._desk.committer.close()
            self._desk.helpers.close()
            self._desk.readers.close()
            self._desk.store.close()
            self._desk = None
        self._loop.stop()


def _refuse(sock: socket.socket, octets: bytes) -> None:
    """One reply into the empty buffer of a new socket, which cannot block, and good-bye."""
    with sock:
        try:
            sock.send(octets)
        except OSError:
            return  # it has left already, and there is nothing more to say


def _ask_nobody(_request: Message, answer: Callable[[Message], None]) -> None:
    answer({"status": 75, "text": "there is no supervisor"})


def _speaks(sock: socket.socket) -> bool:
    """Whether the client has not waited for the greeting (RFC 5321 4.3.1)."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def _own_addresses(listeners: Listeners) -> frozenset[str]:
    """The addresses we listen on, by which a recipient may name us (RFC 5321 4.1.3)."""
    return frozenset(str(client_address(sock.getsockname()[0])) for sock in listeners.values())
