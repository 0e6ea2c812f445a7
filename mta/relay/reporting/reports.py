"""Reports on their way: from the promise in a letter's status to a message that is committed.

What a report says is built from the letter and its status alone, so that it can be made again after a crash;
its identifier stands in the status, and what exists under it is done. A sender who gets many of them gets
the rest in one digest an hour; until then those letters wait, marked as not reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from mta.log import events as tell
from mta.log.log import Log
from mta.loop import Loop
from mta.policy import POSTMASTER, Asker, Goal, Policy
from mta.protocol.address import Address, parse_path
from mta.protocol.replies import Reply
from mta.relay.clock import SteadyClock
from mta.relay.lanes import Lane
from mta.relay.reporting.books import LateBooks
from mta.relay.reporting.limiter import Digest, Limiter
from mta.relay.reporting.original import MESSAGE_LIMIT, Original
from mta.relay.reporting.report import Notice, Reporter, Untold, make_digest, make_report
from mta.relay.reporting.told import Told, promised
from mta.store import (
    BrokenLetter,
    Delivery,
    Domain,
    Entry,
    Envelope,
    Failed,
    Helpers,
    OpenLetter,
    Recipient,
    Report,
    Status,
    Store,
    Way,
)
from mta.users.directory import NotCached
from mta.users.errors import DatabaseDown

_AGAIN: Final = 30.0
"""Seconds before a report is tried again that the disk refused."""
_MOST: Final = 32

Done = Callable[[Sequence[str]], None]


Goals: TypeAlias = Sequence[Goal]


class _Task(NamedTuple):
    """One report that was promised."""

    entry: Entry
    envelope: Envelope
    report: Report
    told: tuple[Told, ...]
    goals: Goals
    done: Callable[[], None]


class Reports:
    """Makes reports. Everything here is for the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        clock: SteadyClock,
        store: Store,
        helpers: Helpers,
        books: LateBooks,
        made: Callable[[str, str], None],
    ) -> None:
        """`made(domain, id)` is called for a report that waits for another server now."""
        self._loop = loop
        self._log = log
        self._clock = clock
        self._store = store
        self._books = books
        self._looking_up = 0
        self._made = made
        self._outgoing: dict[str, list[str]] = {}
        """For each report that is committed: the domains to which it goes."""
        self._limiter: Limiter[_Task] = Limiter()
        self._making = Lane(helpers, self._make, _MOST)
        self._committing: Lane[Delivery, Delivery] = Lane(helpers, self._commit, _MOST)
        self.withheld: set[str] = set()
        """Identifiers of reports that are committed, or about to be, while their letters say otherwise: they
        must not be sent yet."""
        self._is_open = True
        loop.at_end_of_turn(self._flush)

    def configure(self, hostname: str, policy: Policy, expire: float) -> None:
        """Report by this configuration from now on."""
        self._reporter = Reporter(hostname, f"{POSTMASTER}@{policy.home_domain}")
        self._policy = policy
        self._expire = expire

    @property
    def is_idle(self) -> bool:
        """No report is being made; some may wait for a digest."""
        return not self._looking_up and self._making.is_empty and self._committing.is_empty

    def can_reach(self, sender: str) -> bool:
        """Whether a report to this reverse-path would go anywhere, as far as that is known by now."""
        address = _address(sender)
        try:
            return address is not None and bool(self._goals(address))
        except NotCached:
            return True

    def make(self, entry: Entry, envelope: Envelope, status: Status, done: Done) -> None:
        """Make all reports that a status promises; `done` is called with their identifiers."""
        pending = status.pending
        left = {report.id for report in pending}
        self.withheld |= left

        def one_less(report: str) -> None:
            left.discard(report)
            if not left:
                done([each.id for each in pending])

        for report in pending:
            self._begin(entry, envelope, status, report, partial(one_less, report.id))

    def settled(self, ids: Sequence[str]) -> None:
        """That they are made stands in the letter's status now: they may be sent."""
        self.withheld.difference_update(ids)
        for each in ids:
            for domain in self._outgoing.pop(each, ()):
                self._made(domain, each)

    def tick(self, now: float) -> None:
        """Make the digests that are due; called every now and then."""
        for digest in self._limiter.due(now):
            self._digest(digest, now)

    # one report

    def _begin(
        self, entry: Entry, envelope: Envelope, status: Status, report: Report, done: Callable[[], None]
    ) -> None:
        told = promised(report, envelope, status.recipients, envelope.arrived + self._expire)
        address = _address(envelope.sender)
        if not told or address is None:
            done()  # wishes are others than when it was promised
            return
        self._resolve(address, lambda goals: self._admit(_Task(entry, envelope, report, told, goals, done)))

    def _resolve(self, address: Address, done: Callable[[Goals], None]) -> None:
        """Find out where a report goes, as soon as the books know."""
        try:
            goals = self._goals(address)
        except NotCached as missing:
            self._looking_up += 1
            self._books.fetch(missing.keys, partial(self._looked_up, address, done))
        else:
            done(goals)

    def _looked_up(self, address: Address, done: Callable[[Goals], None], down: DatabaseDown | None) -> None:
        self._looking_up -= 1
        again = partial(self._resolve, address, done)
        if down is None:
            again()
        else:
            self._loop.call_later(_AGAIN, again)

    def _goals(self, address: Address) -> Goals:
        """Where mail for this address goes; nowhere, if nobody has it. Raises NotCached."""
        verdict = self._policy.judge_recipient(address, Asker(trusted=True), self._books)
        return () if isinstance(verdict, Reply) else verdict

    def _admit(self, task: _Task) -> None:
        if not task.goals:
            task.done()  # nobody has the address now
        elif self._limiter.admit(task.envelope.sender, task, self._clock()):
            self._making.put(task, partial(self._ready, task))

    def _make(self, tasks: list[_Task]) -> list[Notice]:
        """In a helper thread."""
        originals = self._originals([task.entry for task in tasks])
        now = self._clock()
        return [
            make_report(self._reporter, task.report.id, task.envelope, task.told, original, now)
            for task, original in zip(tasks, originals, strict=True)
        ]

    def _originals(self, entries: Sequence[Entry]) -> list[Original | None]:
        return [
            None if isinstance(each, BrokenLetter | OSError) else _original(each.length, each)
            for each in self._store.queue.open(entries)
        ]

    def _ready(self, task: _Task, notice: Notice) -> None:
        self._put_all(notice, task.goals, task.done)

    def _put_all(self, notice: Notice, goals: Goals, done: Callable[[], None]) -> None:
        """A delivery for each way, as one that may have been made before has one only."""
        left = _by_way(goals)
        self._outgoing[notice.id] = [way.name for way in left if isinstance(way, Domain)]

        def one_less(way: Way) -> None:
            del left[way]
            if not left:
                done()

        for way, recipients in list(left.items()):
            self._put(notice.delivery(*recipients), notice.about, partial(one_less, way))

    def _put(self, delivery: Delivery, about: Sequence[str], done: Callable[[], None]) -> None:
        self._committing.put(delivery, partial(self._committed, delivery, about, done))

    def _commit(self, batch: list[Delivery]) -> list[Delivery]:
        """In a helper thread."""
        self._store.commit_once(batch)
        return batch

    def _committed(
        self, delivery: Delivery, about: Sequence[str], done: Callable[[], None], _answer: Delivery
    ) -> None:
        if isinstance(delivery.outcome, Failed):
            tell.fault(self._log, "storing a report", delivery.envelope.id, delivery.outcome.text)
            self._loop.call_later(_AGAIN, partial(self._put, _anew(delivery), about, done))
        else:
            tell.reported(self._log, delivery.envelope.id, delivery.envelope.recipients[0].address, about)
            done()

    # many of them

    def _digest(self, digest: Digest[_Task], now: float) -> None:
        first = digest.items[0]
        untold = [Untold(each.envelope.id, each.envelope.arrived, each.told) for each in digest.items]
        notice = make_digest(self._reporter, first.report.id, digest.sender, untold, now)
        self._put_all(notice, first.goals, partial(_all_done, digest.items))

    def close(self) -> None:
        """Nothing more is begun."""
        self._is_open = False

    def _flush(self) -> None:
        if self._is_open:
            self._making.flush()
            self._committing.flush()


def _by_way(goals: Goals) -> dict[Way, list[Recipient]]:
    found: dict[Way, list[Recipient]] = {}
    for goal in goals:
        found.setdefault(goal.way, []).append(Recipient(goal.address, goal.way, via=goal.via))
    return found


def _address(sender: str) -> Address | None:
    parsed = parse_path(f"<{sender}>".encode()) if sender else None
    return parsed[0] if parsed else None


def _original(length: int, letter: OpenLetter) -> Original | None:
    with letter:
        try:
            return Original(letter.read(0, MESSAGE_LIMIT), length)
        except OSError:
            return None  # the report says that it cannot be read any more


def _anew(delivery: Delivery) -> Delivery:
    """The same, with nothing decided yet."""
    fresh = Delivery(delivery.envelope, delivery.trace)
    fresh.text, fresh.octets, fresh.wire_size = delivery.text, delivery.octets, delivery.wire_size
    return fresh


def _all_done(tasks: Sequence[_Task]) -> None:
    for task in tasks:
        task.done()
