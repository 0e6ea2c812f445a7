"""Reports on their way: from the promise in a letter's status to a message that is committed.

What a report says is built from the letter and its status alone, so that it can be made again after a crash;
its identifier stands in the status, and what exists under it is done. A sender who gets many of them gets
the rest in one digest an hour; until then those letters wait, marked as not reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from mta.log import events as tell
from mta.log.log import Log
from mta.loop import Loop
from mta.policy import POSTMASTER, Policy
from mta.protocol.address import Address, parse_path
from mta.protocol.replies import Reply
from mta.relay.clock import SteadyClock
from mta.relay.lanes import Lane
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
    Report,
    Status,
    Store,
    Way,
)

_AGAIN: Final = 30.0
"""Seconds before a report is tried again that the disk refused."""
_MOST: Final = 32

Done = Callable[[Sequence[str]], None]


class _Task(NamedTuple):
    """One report that was promised."""

    entry: Entry
    envelope: Envelope
    report: Report
    told: tuple[Told, ...]
    way: Way
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
        made: Callable[[str, str], None],
    ) -> None:
        """`made(domain, id)` is called for a report that waits for another server now."""
        self._loop = loop
        self._log = log
        self._clock = clock
        self._store = store
        self._made = made
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
        self._reporter = Reporter(hostname, f"{POSTMASTER}@{min(policy.local_domains)}")
        self._policy = policy
        self._expire = expire

    @property
    def is_idle(self) -> bool:
        """No report is being made; some may wait for a digest."""
        return self._making.is_empty and self._committing.is_empty

    def can_reach(self, sender: str) -> bool:
        """Whether a report to this reverse-path would go anywhere."""
        return self._way(sender) is not None

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

    def settled(self, envelope: Envelope, ids: Sequence[str]) -> None:
        """That they are made stands in the letter's status now: they may be sent."""
        self.withheld.difference_update(ids)
        way = self._way(envelope.sender)
        if isinstance(way, Domain):
            for each in ids:
                self._made(way.name, each)

    def tick(self, now: float) -> None:
        """Make the digests that are due; called every now and then."""
        for digest in self._limiter.due(now):
            self._digest(digest, now)

    # one report

    def _begin(
        self, entry: Entry, envelope: Envelope, status: Status, report: Report, done: Callable[[], None]
    ) -> None:
        told = promised(report, envelope, status.recipients, envelope.arrived + self._expire)
        way = self._way(envelope.sender)
        if not told or way is None:
            done()  # wishes or rules are others than when it was promised
            return
        task = _Task(entry, envelope, report, told, way, done)
        if self._limiter.admit(envelope.sender, task, self._clock()):
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
        self._put(notice.delivery(task.way), task.done)

    def _put(self, delivery: Delivery, done: Callable[[], None]) -> None:
        self._committing.put(delivery, partial(self._committed, delivery, done))

    def _commit(self, batch: list[Delivery]) -> list[Delivery]:
        """In a helper thread."""
        self._store.commit_once(batch)
        return batch

    def _committed(self, delivery: Delivery, done: Callable[[], None], _answer: Delivery) -> None:
        if isinstance(delivery.outcome, Failed):
            tell.fault(self._log, "storing a report", delivery.envelope.id, delivery.outcome.text)
            self._loop.call_later(_AGAIN, partial(self._put, _anew(delivery), done))
        else:
            tell.reported(self._log, delivery.envelope.id, delivery.envelope.recipients[0].address)
            done()

    # many of them

    def _digest(self, digest: Digest[_Task], now: float) -> None:
        first = digest.items[0]
        untold = [Untold(each.envelope.id, each.envelope.arrived, each.told) for each in digest.items]
        notice = make_digest(self._reporter, first.report.id, digest.sender, untold, now)
        self._put(notice.delivery(first.way), partial(_all_done, digest.items))

    def close(self) -> None:
        """Nothing more is begun."""
        self._is_open = False

    def _flush(self) -> None:
        if self._is_open:
            self._making.flush()
            self._committing.flush()

    def _way(self, sender: str) -> Way | None:
        address = _address(sender)
        if address is None:
            return None
        way = self._policy.judge_recipient(address, trusted=True)
        return None if isinstance(way, Reply) else way


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
