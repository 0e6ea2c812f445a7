"""The process that serves metrics.listen: it has the shared memory, its listeners, and nothing else.

Connections are those of the mail services, so that slow and stubborn clients meet the same patience there.
"""

from __future__ import annotations

import socket
import ssl
import traceback
from collections.abc import Mapping
from typing import Any, Final

from mta.config import Snapshot
from mta.config.units import IPAddress
from mta.counters import Row
from mta.log import events as tell
from mta.log.log import Log
from mta.loop import Loop
from mta.metrics.exposition import Exposition
from mta.metrics.health import Health
from mta.metrics.http import Answer, HttpSession, Request
from mta.policy import client_address
from mta.server.connection import Connection
from mta.server.listener import Admission, Listener
from mta.server.tls import TlsFilter

_CLOCK: Final = 1.0
"""Seconds between looks at the processes, and at deadlines."""
_TIMEOUT: Final = 10.0
_MOST: Final = 100
_MOST_OF_ONE: Final = 20
"""Connections at the same time, in all and of one client."""

Listeners = Mapping[tuple[str, str], socket.socket]


class Metrics:
    """A role of `mta.daemon.child`."""

    def __init__(self, loop: Loop, log: Log, row: Row) -> None:
        self._loop = loop
        self._log = log
        self._exposition = Exposition(row.grid)
        self._health = Health(row.grid, loop.clock())
        self._admission = Admission(_MOST, _MOST_OF_ONE)
        self._listeners: dict[tuple[str, str], Listener] = {}
        self._visits: set[_Visit] = set()
        self._tick()

    def configure(self, snapshot: Snapshot, listeners: Listeners, context: ssl.SSLContext | None) -> None:
        """Serve exactly these listeners."""
        self._log.configure(snapshot.settings.application.debug, transcript_file=False)
        for key in self._listeners.keys() - listeners.keys():
            self._listeners.pop(key).close()
        for key in listeners.keys() - self._listeners.keys():
            self._listeners[key] = Listener(self._loop, listeners[key], self._accepted, self._no_room)

    def request(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"status": 1, "text": "the metrics process answers no requests"}

    def reopen(self) -> None:
        """It has no files."""

    def stop(self) -> None:
        """Close everything; a scraper comes again."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        for visit in list(self._visits):
            visit.connection.shut_down()
        self._loop.stop()

    def answer(self, request: Request) -> Answer:
        """The page that is asked for."""
        if request.path == "/metrics":
            return self._exposition.page(request.accept)
        if request.path == "/health":
            return self._health.page(self._loop.clock())
        return Answer(404, b"/metrics and /health are here\n")

    def failed(self, defect: Exception) -> None:
        """A defect of ours cost a connection."""
        where = "".join(traceback.format_exception(defect))
        tell.fault(self._log, "serving metrics", where, repr(defect))

    def left(self, visit: _Visit) -> None:
        """A connection is closed."""
        self._visits.discard(visit)
        self._admission.leave(visit.address)

    def _accepted(self, sock: socket.socket, peer: tuple[Any, ...]) -> None:
        address = client_address(peer[0])
        if self._admission.admit(address, trusted=False) is not None:
            sock.close()
            return
        visit = _Visit(self, self._loop, sock, address)
        self._visits.add(visit)
        visit.connection.open()

    def _no_room(self, error: OSError) -> None:
        tell.fault(self._log, "accepting connections", "resting for a second", error)

    def _tick(self) -> None:
        now = self._loop.clock()
        self._health.look(now)
        for visit in [each for each in self._visits if each.connection.deadline <= now]:
            visit.connection.check_time(now)
        self._loop.call_later(_CLOCK, self._tick)


class _Visit:
    """The host of one connection."""

    def __init__(self, metrics: Metrics, loop: Loop, sock: socket.socket, address: IPAddress) -> None:
        self.address = address
        self._metrics = metrics
        self._session = HttpSession()
        self.connection = Connection(loop, sock, self._session, self, _TIMEOUT)

    def handle(self, event: Request) -> None:
        self._session.reply(self._metrics.answer(event))

    def tls_established(self, tls: TlsFilter) -> None:
        """Never: this is served in the clear."""

    def disconnected(self, reason: str) -> None:
        self._metrics.left(self)

    def failed(self, defect: Exception) -> None:
        self._metrics.failed(defect)
