"""The relay: the role that sends letters on. Wiring only.

At the start it opens the tree, defers what was in flight when the last relay died, reads the names of all
letters, and finishes what their statuses promise; only then is the first letter sent. From then on the
schedule says what is to be done, couriers do it, the ledger writes down what came of it.

New letters are told by the receiver; whatever else happens in the tree is seen within half a minute.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import ceil
from random import Random
from typing import Any, Final

from mta import hints
from mta.config import Settings, Snapshot
from mta.config.units import Unfit
from mta.counters import QUEUE_LETTERS, RELAY_CONNECTIONS_CURRENT, RELAY_CONNECTIONS_TOTAL, Row
from mta.identifier import Identifiers
from mta.log import events as tell
from mta.log.log import Log
from mta.loop import Loop, Timer
from mta.policy import Policy
from mta.relay.clock import SteadyClock
from mta.relay.contexts import Contexts
from mta.relay.courier import MOST_LETTERS, Courier, Desk
from mta.relay.ledger import Ledger
from mta.relay.letters import Letter
from mta.relay.outcome import Reason, TryLater
from mta.relay.pace import later
from mta.relay.parcels import Loaded, Parcel
from mta.relay.reporting.books import LateBooks
from mta.relay.reporting.reports import Reports
from mta.relay.requests.desk import Message, QueueDesk
from mta.relay.requests.errand import run_beside
from mta.relay.routing.own import own
from mta.relay.routing.router import Router, Routing
from mta.relay.routing.targets import BadCredentials, read_credentials
from mta.relay.schedule import Attempt, Found, Overdue, Rules, Schedule
from mta.relay.trip import NOWHERE
from mta.store import CONFIRMATIONS, Entry, Helpers, Store
from mta.store.system import System

_HELPERS: Final = 3
_CLOCK: Final = 1.0
"""Seconds between looks at time-outs."""
_RESCAN: Final = 30
"""So many of them between looks for letters that came or went by hand."""
_SPARE_SECONDS: Final = 60
"""How long the file of a letter that has left is kept for another."""
_EXPIRE: Final = 3600
"""So many of them between looks for letters in error/ that are old enough."""
_MOST_COURIERS: Final = 400
"""Connections at once, to all domains together."""
_PATIENCE: Final = 8.0
"""Seconds that sessions have to finish the letter they are sending when the relay stops."""
_LAST_WORDS: Final = 3.0
"""Seconds for what is abandoned then to be written down."""

Later = Callable[[Callable[[Message], None]], None]
Listeners = Mapping[tuple[str, str], socket.socket]


class Relay:
    """A role of `mta.daemon.child`."""

    def __init__(
        self, loop: Loop, log: Log, row: Row, hints: int | None = None, system: System | None = None
    ) -> None:
        """`hints`: the descriptor on which the receiver tells of new letters; `system`: for the store."""
        self._loop = loop
        self._log = log
        self._row = row
        self._hints = None if hints is None else socket.socket(fileno=hints)
        self._clock = SteadyClock()
        self._random = Random()
        self._helpers = Helpers(_HELPERS, loop.post)
        self._couriers: set[Courier] = set()
        self._system = system
        self._settings: Settings | None = None
        self._store: Store | None = None
        self._timer: Timer | None = None
        self._unfinished = 0
        self._settled = False
        self._scanned = False
        self._early: list[str] = []
        """Letters among the confirmations that were hinted at before the scan was through."""
        self._scanning = False
        self._stopping = False
        self._ended = False
        self._ticks = 0

    # what the supervisor says

    def configure(self, snapshot: Snapshot, _listeners: Listeners, _context: ssl.SSLContext | None) -> None:
        """Go on by this configuration. Raises OSError when the tree cannot be used."""
        settings = self._settings = snapshot.settings
        routing = self._routing(settings)
        first = self._store is None
        if first:
            self._open(settings, routing)
        self.schedule.configure(Rules.of(settings), self._clock())
        self.router.configure(routing)
        self._queue_desk.enabled = settings.relay.enabled
        self.ledger.keeps_errors = settings.relay.keep_errors > 0
        self.reports.configure(settings.hostname, Policy.of(settings), settings.relay.expire)
        self._desk.hostname = settings.hostname.encode("ascii")
        self._log.configure(settings.application.debug, settings.application.log.transcript is not None)
        if first:
            self._begin()
        self._pursue()

    def request(self, request: dict[str, Any]) -> Later:
        """Answer the local socket: what an operator wants of the queue."""
        return partial(run_beside, self._queue_desk.answer(request["request"]), self._helpers)

    def reopen(self) -> None:
        """There are no files of its own."""

    def stop(self) -> None:
        """Take no further letter; what is being sent may be finished; what was sent is written down."""
        if self._stopping:
            return
        self._stopping = True
        for courier in list(self._couriers):
            courier.stop()
        self._loop.call_later(_PATIENCE, self._abandon)
        self._loop.call_later(_PATIENCE + _LAST_WORDS, self._end)
        self._loop.at_end_of_turn(self._end_if_idle)
        self._loop.post(self._end_if_idle)  # with nothing to wait for, there may be no turn to end

    # the start

    def _routing(self, settings: Settings) -> Routing:
        try:
            return Routing.of(settings, own(settings), read_credentials(settings.relay.credentials))
        except (BadCredentials, Unfit) as error:
            raise OSError(str(error)) from error

    def _open(self, settings: Settings, routing: Routing) -> None:
        loop, log, clock = self._loop, self._log, self._clock
        loop.at_end_of_turn(self._pursue)  # before those below, who then hand on what it began
        maildir = settings.application.maildir
        self._store = store = Store(
            maildir.path, host=settings.hostname, sync=maildir.sync, writer="relay", system=self._system
        )
        self._queue = store.queue
        self.schedule = Schedule(Rules.of(settings), self._random)
        self.router = Router(routing, loop.post, loop.clock, self._random)
        self._books = LateBooks(loop, self._helpers, settings.users.database, self._no_database)
        self.reports = Reports(loop, log, clock, store, self._helpers, self._books, self._arrive)
        self.ledger = Ledger(
            loop, log, self._row, clock, self.schedule, self._queue, self._helpers, self.reports
        )
        self._queue_desk = QueueDesk(self.schedule, self._queue, clock, self)
        self._desk = Desk(
            loop=loop,
            clock=clock,
            helpers=self._helpers,
            schedule=self.schedule,
            router=self.router,
            books=self.ledger,
            contexts=Contexts(),
            identifiers=Identifiers(),
            log=log,
            hostname=b"",
        )

    def _begin(self) -> None:
        assert self._store is not None
        assert self._settings is not None
        if self._hints is not None:
            self._loop.watch(self._hints.fileno(), self._hinted)
        self._helpers.run(self._store.clean, self._cleaned)
        retry = tuple(self._settings.relay.retry)
        recover = partial(
            self._queue.recover, lambda count: ceil(self._clock() + later(retry, count, self._random))
        )
        self._helpers.run(recover, self._recovered)
        self._loop.call_later(_CLOCK, self._tick)

    def _no_database(self, text: str) -> None:
        tell.fault(self._log, "asking the database", "users.database", text)

    def _cleaned(self, result: int | OSError) -> None:
        if isinstance(result, OSError):
            tell.fault(self._log, "removing leftovers", "tmp", result)

    def _recovered(self, saved: Sequence[Entry | OSError] | OSError) -> None:
        if isinstance(saved, OSError):
            tell.fault(self._log, "deferring what was in flight", ".flight", saved)
        elif saved:
            tell.recovered(self._log, "letters in flight deferred", len(saved))
        self._scan(self._queue.scan())

    # what an operator wants

    def resume(self, entry: Entry) -> None:
        """Finish what the status of this letter promises."""
        self.ledger.resume(entry, _nothing)

    def forget(self, domain: str) -> None:
        """Look its exchangers up anew."""
        self.router.forget(domain)

    def rescan(self) -> None:
        """Look for letters that came or went by hand."""
        if self._scanned and not self._scanning:
            self._scan(self._queue.rescan())

    # letters come

    def _scan(self, slices: Iterator[list[Entry]]) -> None:
        """Read the names slice by slice, so that nothing else has to wait for all of them."""
        self._scanning = True
        self._helpers.run(lambda: next(slices, None), partial(self._seen, slices))

    def _seen(self, slices: Iterator[list[Entry]], found: list[Entry] | OSError | None) -> None:
        if isinstance(found, OSError):
            tell.fault(self._log, "looking for letters", ".OTHER_SERVERS", found)
        elif found is not None:
            self._load(found)
            self._scan(slices)
            return
        self._scanning = False
        self._scanned = True
        early, self._early = self._early, []
        for letter in early:
            self.ledger.confirm(Entry(CONFIRMATIONS.name, letter))

    def _load(self, entries: Sequence[Entry]) -> None:
        now = self._clock()
        by_domain: dict[str, list[Found]] = {}
        for entry in entries:
            if entry.id in self.reports.withheld:
                continue
            if entry.is_unfinished:
                self._resume(entry)
            elif entry.domain == CONFIRMATIONS.name:
                self.ledger.confirm(entry)
            else:
                found = Found(entry.id, entry.due or 0, entry.serial)
                by_domain.setdefault(entry.domain, []).append(found)
        for domain, letters in by_domain.items():
            self.schedule.load(domain, letters, now)
        for entry in entries:
            if entry.is_held:
                self.schedule.hold(entry.domain, entry.id)

    def _resume(self, entry: Entry) -> None:
        """Only at the start: later on, the ledger knows what it has begun."""
        if self._scanned:
            return
        self._unfinished += 1
        self.ledger.resume(entry, self._resumed)

    def _resumed(self) -> None:
        self._unfinished -= 1

    def _hinted(self, _events: int) -> None:
        assert self._hints is not None
        for domain, letter in hints.receive(self._hints):
            self._arrive(domain, letter)

    def _arrive(self, domain: str, letter: str) -> None:
        if domain != CONFIRMATIONS.name:
            self.schedule.arrive(domain, letter, self._clock())
        elif self._scanned:
            self.ledger.confirm(Entry(domain, letter))
        else:
            self._early.append(letter)  # a report on it may be under way: only the scan can tell

    # letters go

    @property
    def _may_send(self) -> bool:
        assert self._settings is not None
        return self._is_settled() and not self._stopping and self._settings.relay.enabled

    def _is_settled(self) -> bool:
        """All that statuses promised when we started is finished, or waits for nothing but a digest."""
        if self._scanned and not self._settled:
            self._settled = not self._unfinished or (self.ledger.is_idle and self.reports.is_idle)
        return self._settled

    def _pursue(self) -> None:
        """At the end of each turn: do what is due, and wake up for what will be."""
        if not self._may_send:
            return
        while len(self._couriers) < _MOST_COURIERS:
            work = self.schedule.take(self._clock(), MOST_LETTERS)
            if work is None:
                break
            if isinstance(work, Attempt):
                self._send(work)
            else:
                self._judge(work)
        self._wake_up()

    def _send(self, attempt: Attempt) -> None:
        courier = Courier(self._desk, attempt.domain, self._returned)
        self._couriers.add(courier)
        self._row.add(RELAY_CONNECTIONS_TOTAL)
        self._row.add(RELAY_CONNECTIONS_CURRENT)
        courier.start(attempt.letters)

    def _returned(self, courier: Courier) -> None:
        self._couriers.discard(courier)
        self._row.sub(RELAY_CONNECTIONS_CURRENT)

    def _judge(self, overdue: Overdue) -> None:
        """Nobody tries these one by one; what their domain's last attempt came to is what they came to."""
        self.ledger.load(overdue.domain, overdue.letters, partial(self._judged, overdue.domain))

    def _judged(self, domain: str, letter: Letter, loaded: Loaded) -> None:
        if not isinstance(loaded, Parcel):
            self.ledger.unreadable(domain, letter, loaded)
            return
        loaded.close()
        outcome = TryLater(_reason(self.schedule.error(domain)), detail="as for the whole domain")
        self.ledger.record(loaded, [outcome] * len(loaded.recipients), NOWHERE, _nothing)

    def _wake_up(self) -> None:
        due = self.schedule.next_due()
        if due is None or len(self._couriers) >= _MOST_COURIERS:
            return
        when = self._clock.monotonic(due)
        if self._timer is None or self._timer.action is None or when < self._timer.when:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(when, _nothing)  # the end of that turn is what it is for

    # time

    def _tick(self) -> None:
        if self._ended:
            return
        self._ticks += 1
        now = self._loop.clock()
        for courier in list(self._couriers):
            courier.check_time(now)
        self.reports.tick(self._clock())
        self._row.set(QUEUE_LETTERS, len(self.schedule))
        if self._ticks % _RESCAN == 0:
            self.rescan()
            self._helpers.run(lambda: self._queue.expire_spares(time.time() - _SPARE_SECONDS), self._expired)
        if self._ticks % _EXPIRE == 0:
            self._helpers.run(self._expire, self._expired)
        self._loop.call_later(_CLOCK, self._tick)

    def _expire(self) -> int:
        """In a helper thread."""
        assert self._settings is not None
        before = self._clock() - self._settings.relay.keep_errors
        return sum(self._queue.expire(domain, before) for domain in self._queue.domains())

    def _expired(self, result: int | OSError) -> None:
        if isinstance(result, OSError):
            tell.fault(self._log, "removing old letters", "error/ or .spare", result)

    # the end

    def _abandon(self) -> None:
        for courier in list(self._couriers):
            courier.abandon()

    def _end_if_idle(self) -> None:
        if not self._couriers and (self._store is None or (self.ledger.is_idle and self.reports.is_idle)):
            self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._store is not None:
            self.router.close()
            self.ledger.close()
            self._books.close()
            self.reports.close()
            self._helpers.close()
            self._store.close()
        if self._hints is not None:
            self._loop.unwatch(self._hints.fileno())
            self._hints.close()
        self._loop.stop()


def _reason(word: str) -> Reason:
    with suppress(KeyError):
        return Reason.of(word)
    return Reason.EXPIRED


def _nothing() -> None:
    """What is done when there is nothing to do."""
