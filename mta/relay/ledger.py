"""The ledger: from outcomes to the tree, and from there back to the schedule.

    record     all delivered, nobody to tell       the letter is marked, and removed by and by
               someone waits                       its status is saved; it is deferred
               someone has failed, or is late      the promise to tell is saved; then `reports` keeps it
    settle     every report is made                removed, buried in error/, or deferred

Each arrow of a letter's way is a lane, so that letters share the work and each goes at its own pace. The
schedule learns what is so on disk, never what is hoped. A step that fails is done again later, while the
letter stays out: what was delivered is never sent again for want of a note about it.

A removal may wait for the commit that the disk is at. So the mark is what counts, and removals are gathered:
many together wait once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from mta.counters import DEFERRALS, DELIVERIES, FAILURES, MESSAGES_SENT, OCTETS_SENT, Row
from mta.log import events as tell
from mta.log.log import Log
from mta.loop import Loop
from mta.relay.clock import SteadyClock
from mta.relay.lanes import Lane
from mta.relay.letters import Letter
from mta.relay.outcome import Delivered, Never, Outcome, TryLater
from mta.relay.parcels import SMALL, Loaded, Parcel, Room, entry_of, load
from mta.relay.reporting.reports import Reports
from mta.relay.schedule import Found, Plan, Schedule
from mta.relay.trip import Trip
from mta.relay.verdict import Attempt, confirmation, follow, is_plain
from mta.store import (
    CONFIRMATIONS,
    BrokenLetter,
    Entry,
    Envelope,
    Helpers,
    OpenLetter,
    Queue,
    Recipient,
    Status,
)

_AGAIN: Final = 30.0
"""Seconds before a step is tried again that the disk refused."""
_LINK_SECONDS: Final = 1.0
"""How soon a letter is looked for again that was announced before it was linked into all its folders."""
_LINK_PATIENCE: Final = 60.0
_MOST: Final = 64
"""Letters in one job."""
_GATHER_SECONDS: Final = 0.1
"""How long letters that are marked as delivered are gathered to be removed together."""
_FRESH_SECONDS: Final = 5.0
"""How long a letter that has come is surely in the system's memory."""
_MOST_MARKED: Final = 4096
"""So many of them at most; when the disk is that slow, the next ones wait for it."""


class _Case(NamedTuple):
    """A letter whose status is being changed."""

    entry: Entry
    envelope: Envelope
    status: Status
    done: Callable[[], None]


class Ledger:
    """The Bookkeeper of all couriers. Everything here is for the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        row: Row,
        clock: SteadyClock,
        schedule: Schedule,
        queue: Queue,
        helpers: Helpers,
        reports: Reports,
    ) -> None:
        self._loop = loop
        self._log = log
        self._row = row
        self._clock = clock
        self._schedule = schedule
        self._queue = queue
        self._reports = reports
        self.keeps_errors = True
        """Letters given up are buried, not removed."""
        self._room = Room()
        self._opening: Lane[tuple[Entry, int], Loaded] = Lane(helpers, partial(load, queue), _MOST)
        self._saving = Lane(helpers, queue.save, _MOST)
        self._finishing = Lane(helpers, queue.finish, _MOST)
        self._retiring = Lane(helpers, queue.retire, _MOST_MARKED)
        self._landed: list[Entry] = []
        self._fresh: list[tuple[tuple[Entry, int], Callable[[Loaded], None]]] = []
        self._confirming: set[str] = set()
        self._burying = Lane(helpers, self._move_to_error, _MOST)
        self._aside: Lane[tuple[Entry, str], Entry | OSError] = Lane(helpers, self._move_aside, _MOST)
        self._lanes: tuple[Lane[Any, Any], ...] = (
            self._opening,
            self._saving,
            self._finishing,
            self._burying,
            self._aside,
        )
        loop.at_end_of_turn(self._flush)

    @property
    def is_idle(self) -> bool:
        """Nothing is on its way to the disk."""
        lanes = (*self._lanes, self._retiring)
        return not (self._landed or self._fresh) and all(lane.is_empty for lane in lanes)

    def close(self) -> None:
        """Nothing more is begun."""
        self._lanes = ()

    def _flush(self) -> None:
        if self._landed:
            landed, self._landed = self._landed, []
            self._note(self._queue.land, landed)
        for lane in self._lanes:
            lane.flush()

    def _move_to_error(self, batch: list[Entry]) -> list[Entry | OSError]:
        return self._queue.bury(batch, self._clock())

    def _move_aside(self, batch: list[tuple[Entry, str]]) -> list[Entry | OSError]:
        return [self._queue.set_aside(entry, reason, self._clock()) for entry, reason in batch]

    # letters go out

    def load(self, domain: str, letters: Sequence[Letter], done: Callable[[Letter, Loaded], None]) -> None:
        """Note that they are out, and open them."""
        entries = [entry_of(domain, letter) for letter in letters]
        self._note(self._queue.take_off, entries)
        fresh = self._clock() - _FRESH_SECONDS
        for letter, entry in zip(letters, entries, strict=True):
            is_fresh = letter.born > fresh and not letter.attempts
            self._load(entry, partial(done, letter), is_fresh=is_fresh)

    def _load(self, entry: Entry, done: Callable[[Loaded], None], *, is_fresh: bool = False) -> None:
        reserved = self._room.reserve()
        loaded = partial(self._loaded, reserved, done)
        if not is_fresh:
            self._opening.put((entry, reserved), loaded)
            return
        if not self._fresh:
            self._loop.post(self._open_fresh)
        self._fresh.append(((entry, reserved), loaded))

    def _open_fresh(self) -> None:
        """What has just been written is in memory, and opened sooner than a helper thread is woken for it."""
        fresh, self._fresh = self._fresh, []
        for (_, done), loaded in zip(fresh, load(self._queue, [item for item, _ in fresh]), strict=True):
            done(loaded)

    def _loaded(self, reserved: int, done: Callable[[Loaded], None], loaded: Loaded) -> None:
        if isinstance(loaded, Parcel):
            loaded.settle(self._room, reserved)
        else:
            self._room.give_back(reserved)
        done(loaded)

    def put_back(self, domain: str, letters: Sequence[str]) -> None:
        """They were not tried."""
        for letter in letters:
            self._note(self._queue.land, [Entry(domain, letter)])
            self._schedule.put_back(domain, letter, self._clock())

    def unreadable(self, domain: str, letter: Letter, error: BrokenLetter | OSError) -> None:
        """It could not be opened: gone, not there yet, no letter, or the disk fails."""
        entry = entry_of(domain, letter)
        now = self._clock()
        if isinstance(error, BrokenLetter):
            tell.set_aside(self._log, f"{domain}/{letter.id}", str(error))
            self._aside.put((entry, str(error)), partial(self._set_aside, entry, str(error)))
        elif not isinstance(error, FileNotFoundError):
            tell.fault(self._log, "opening a letter", f"{domain}/{letter.id}", error)
            self._postpone(entry, now + _AGAIN)
        elif not letter.attempts and now - letter.born < _LINK_PATIENCE:
            self._postpone(entry, now + _LINK_SECONDS)
        else:
            self._gone(entry)

    def _set_aside(self, entry: Entry, reason: str, moved: Entry | OSError) -> None:
        if isinstance(moved, OSError) and not isinstance(moved, FileNotFoundError):
            put = partial(self._aside.put, (entry, reason), partial(self._set_aside, entry, reason))
            self._again("setting a letter aside", entry, moved, put)
        else:
            self._gone(entry)

    def _postpone(self, entry: Entry, due: float) -> None:
        """Look again later; its status, if it has one, stays as it is."""
        self._note(self._queue.land, [entry])
        plan = Plan(int(due), entry.serial, warn=False, expired=False)
        self._schedule.defer(entry.domain, entry.id, plan, "local-fault", self._clock())

    def _gone(self, entry: Entry) -> None:
        if entry.domain == CONFIRMATIONS.name:
            self._confirming.discard(entry.id)
        self._landed.append(entry)
        self._schedule.finish(entry.domain, entry.id, self._clock())

    # letters come back

    def record(
        self, parcel: Parcel, outcomes: Sequence[Outcome], trip: Trip, done: Callable[[], None]
    ) -> None:
        """The outcome of each recipient. `done` is called when no crash undoes it, perhaps at once."""
        letter, entry, now = parcel.letter, parcel.letter.entry, self._clock()
        by_address = {r.address: o for r, o in zip(parcel.recipients, outcomes, strict=True)}
        attempt = Attempt(by_address, trip.host, trip.dsn, now)
        if is_plain(letter, attempt):
            self._tell(parcel, outcomes, trip, now)
            self._remove(letter, done)
            return
        plan = self._schedule.plan(entry.domain, entry.id, now)
        self._tell(parcel, outcomes, trip, now, expired=plan.expired)
        can_tell = self._reports.can_reach(letter.envelope.sender)
        status = follow(letter, attempt, plan, can_tell=can_tell)
        if status is None:
            self._remove(letter, done)
        else:
            self._save(_Case(entry, letter.envelope, status, done))

    def _remove(self, letter: OpenLetter, done: Callable[[], None]) -> None:
        """By and by, as far as it can be marked."""
        entry = letter.entry
        if len(self._retiring) >= _MOST_MARKED or not self._mark(entry):
            self._finish(entry, done)
            return
        if entry.serial or letter.length > SMALL:
            self._finish(entry, _nothing)
        else:
            self._retire(entry)
        done()

    def _retire(self, entry: Entry) -> None:
        if self._retiring.is_empty:
            self._loop.call_later(_GATHER_SECONDS, self._retire_marked)
        self._retiring.put(entry, partial(self._finished, entry, _nothing))

    def _retire_marked(self) -> None:
        self._retiring.flush()
        if not self._retiring.is_empty:
            self._loop.call_later(_GATHER_SECONDS, self._retire_marked)

    def _mark(self, entry: Entry) -> bool:
        try:
            self._queue.mark_delivered(entry)
        except (OSError, KeyError):  # it could not be noted either
            return False
        return True

    def _finish(self, entry: Entry, done: Callable[[], None]) -> None:
        self._finishing.put(entry, partial(self._finished, entry, done))

    def _finished(self, entry: Entry, done: Callable[[], None], error: OSError | None) -> None:
        if error is not None:
            self._again("removing a letter", entry, error, partial(self._finish, entry, done))
            return
        self._gone(entry)
        done()

    def _save(self, case: _Case) -> None:
        self._saving.put((case.entry, case.status), partial(self._saved, case))

    def _saved(self, case: _Case, saved: Entry | OSError) -> None:
        if isinstance(saved, FileNotFoundError):
            self._gone(case.entry)
            case.done()
        elif isinstance(saved, OSError):
            self._again("saving a status", case.entry, saved, partial(self._save, case))
        else:
            self._go_on(_settled(case._replace(entry=saved)))

    def _go_on(self, case: _Case) -> None:
        """What its status promises next."""
        if case.status.pending:
            self._reports.make(case.entry, case.envelope, case.status, partial(self._reported, case))
        elif case.status.due is not None:
            self._defer(case)
        elif case.status.has_failed and self.keeps_errors:
            self._bury(case)
        else:
            self._finish(case.entry, case.done)

    def _reported(self, case: _Case, ids: Sequence[str]) -> None:
        """They are sent only once it stands in the status that they were made: what is gone cannot tell."""

        def done() -> None:
            self._reports.settled(ids)
            case.done()

        self._save(case._replace(status=case.status.reported(*ids), done=done))

    def _bury(self, case: _Case) -> None:
        self._burying.put(case.entry, partial(self._buried, case))

    def _buried(self, case: _Case, buried: Entry | OSError) -> None:
        if isinstance(buried, OSError) and not isinstance(buried, FileNotFoundError):
            self._again("moving a letter into error/", case.entry, buried, partial(self._bury, case))
            return
        self._gone(case.entry)
        case.done()

    def _defer(self, case: _Case) -> None:
        entry, due = case.entry, case.status.due
        assert due is not None
        waiting = (s.reason for a, s in case.status.recipients.items() if case.status.waits(a))
        now = self._clock()
        self._note(self._queue.land, [entry])
        if self._schedule.knows(entry.domain, entry.id):
            plan = Plan(due, entry.serial, warn=False, expired=False)
            self._schedule.defer(entry.domain, entry.id, plan, next(waiting, ""), now)
        else:  # found unfinished
            self._schedule.load(entry.domain, [Found(entry.id, due, entry.serial)], now)
        if case.status.hold:
            self._schedule.hold(entry.domain, entry.id)
        case.done()

    # after a crash

    def resume(self, entry: Entry, done: Callable[[], None]) -> None:
        """Finish what its status promises, before anything is sent."""
        if entry.domain == CONFIRMATIONS.name:
            self._confirming.add(entry.id)  # a hint of it may have waited for us
        self._load(entry, partial(self._resumed, entry, done))

    def _resumed(self, entry: Entry, done: Callable[[], None], loaded: Loaded) -> None:
        if isinstance(loaded, Parcel):
            loaded.close()
            letter = loaded.letter
            self._go_on(_Case(letter.entry, letter.envelope, letter.status, done))
        else:
            if not isinstance(loaded, FileNotFoundError):
                tell.fault(self._log, "finishing a letter", f"{entry.domain}/{entry.id}", loaded)
            done()

    # success here

    def confirm(self, entry: Entry) -> None:
        """Tell the sender of a message that waits among CONFIRMATIONS what was done with it here."""
        if entry.id not in self._confirming:
            self._confirming.add(entry.id)
            self._confirm(entry, self._clock())

    def _confirm(self, entry: Entry, since: float) -> None:
        self._load(entry, partial(self._to_confirm, entry, since))

    def _to_confirm(self, entry: Entry, since: float, loaded: Loaded) -> None:
        forget = partial(self._confirming.discard, entry.id)
        again = partial(self._confirm, entry, since)
        if isinstance(loaded, Parcel):
            loaded.close()
            letter = loaded.letter
            if letter.entry.is_unfinished:
                forget()  # by an old list of names
                return
            status = confirmation(letter, self._clock())
            self._save(_Case(letter.entry, letter.envelope, status, _nothing))
        elif isinstance(loaded, FileNotFoundError):
            is_awaited = self._clock() - since < _LINK_PATIENCE
            self._loop.call_later(_LINK_SECONDS, again if is_awaited else forget)
        elif isinstance(loaded, BrokenLetter):
            tell.set_aside(self._log, f"{entry.domain}/{entry.id}", str(loaded))
            self._aside.put((entry, str(loaded)), partial(self._set_aside, entry, str(loaded)))
        else:
            self._again("opening a letter", entry, loaded, again)

    # on the way

    def _again(self, what: str, entry: Entry, error: OSError, step: Callable[[], None]) -> None:
        tell.fault(self._log, what, f"{entry.domain}/{entry.id}", error)
        self._loop.call_later(_AGAIN, step)

    def _note(self, what: Callable[[Sequence[Entry]], None], entries: Sequence[Entry]) -> None:
        """A note that cannot be written costs a little after a crash, and nothing now."""
        try:
            what(entries)
        except OSError as error:
            tell.fault(self._log, "noting what is in flight", ".flight", error)

    def _tell(
        self, parcel: Parcel, outcomes: Sequence[Outcome], trip: Trip, now: float, *, expired: bool = False
    ) -> None:
        """Who should have been tried later, and has waited for too long, has failed."""
        queued = now - parcel.letter.envelope.arrived
        if any(type(outcome) is Delivered for outcome in outcomes):
            self._row.add(MESSAGES_SENT["relay"])
            self._row.add(OCTETS_SENT["relay"], parcel.letter.length)
        for recipient, outcome in zip(parcel.recipients, outcomes, strict=True):
            event: _Event = "failed" if expired and isinstance(outcome, TryLater) else _EVENTS[type(outcome)]
            self._row.add(_COUNTERS[event])
            _tell_one(self._log, event, parcel.id, recipient, outcome, trip, queued)


def _settled(case: _Case) -> _Case:
    """No crash undoes it any more. A report that it promises may have to wait for an hour, but the courier
    does not wait with it."""
    if not case.status.pending:
        return case
    case.done()
    return case._replace(done=_nothing)


def _nothing() -> None:
    """Who waited was told before."""


_Event: TypeAlias = Literal["delivered", "deferred", "failed"]
_EVENTS: Final[Mapping[type[Outcome], _Event]] = {
    Delivered: "delivered",
    TryLater: "deferred",
    Never: "failed",
}
_COUNTERS: Final = {"delivered": DELIVERIES, "deferred": DEFERRALS, "failed": FAILURES}


def _tell_one(
    log: Log, event: _Event, letter: str, recipient: Recipient, outcome: Outcome, trip: Trip, queued: float
) -> None:
    tell.attempted(
        log,
        event,
        letter,
        recipient.address,
        trip.host,
        trip.address,
        trip.tls,
        trip.certificate,
        queued,
        trip.dns_seconds,
        trip.connect_seconds,
        trip.transfer_seconds,
        outcome.reply,
        "" if isinstance(outcome, Delivered) else outcome.reason.word,
        "" if isinstance(outcome, Delivered) else outcome.detail,
    )
