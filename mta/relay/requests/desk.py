"""The desk: where an operator asks what is in the queue, and says what is to become of it.

What there is, the tree tells; the schedule adds who is being sent right now and why others wait. A letter in
an attempt is left alone: what comes of that would undo what was done here, so it counts as busy. While a
letter is being changed, the schedule holds it, and the other way round.

The same desk serves a command that has locked the tree: its schedule is filled from the tree and nobody takes
anything from it, so a retry has to be written down; see `works`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from mta.relay.outcome import Never, Reason
from mta.relay.requests import views
from mta.relay.requests.errand import Errand, OnDisk, breathe
from mta.relay.requests.wanted import BadRequest, Filter, Target, Wanted, member, parse_reroute, parse_which
from mta.relay.schedule import Found, Plan, Schedule, State
from mta.relay.verdict import Attempt, follow
from mta.store import BrokenLetter, Entry, OpenLetter, Queue, Standing, Status

T = TypeVar("T")
Message: TypeAlias = dict[str, Any]
Done: TypeAlias = Entry | BrokenLetter | OSError | None
"""What became of a letter: its entry from now on; None: it is gone."""
Work: TypeAlias = Callable[[Sequence[Entry]], Sequence[Done]]

DONE: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
TEMPORARY: Final = 75

MOST_SHOWN: Final = 50
"""Domains at which one letter is shown."""
_BATCH: Final = 256
"""Letters changed by one job."""
_AT_ONCE: Final = 1000
"""Domains or letters walked through in one turn of the loop: some ten milliseconds."""
_NO_SUCH: Final = "there is no such letter"
_DISABLED: Final = "relay.enabled is false: nothing is sent before it is true"


class Office(Protocol):
    """What the desk asks of the relay around it."""

    def resume(self, entry: Entry) -> None:
        """Finish what the status of this letter promises: a report, its end."""

    def forget(self, domain: str) -> None:
        """Look its exchangers up anew."""

    def rescan(self) -> None:
        """Look for letters that came or went by hand."""


class NobodyThere:
    """The office behind a desk on a locked tree: all this is done at the next start."""

    def resume(self, entry: Entry) -> None: ...

    def forget(self, domain: str) -> None: ...

    def rescan(self) -> None: ...


@dataclass(slots=True)
class _Tally:
    """What became of the letters of a request."""

    done: int = 0
    busy: int = 0
    failed: list[str] = field(default_factory=list)

    def count(self, done: Done) -> None:
        if done is None or isinstance(done, Entry):
            self.done += 1
        elif not isinstance(done, FileNotFoundError):
            self.failed.append(str(done))

    def answer(self, wanted: Wanted) -> Message:
        status, text = DONE, ""
        if self.failed:
            status, text = TEMPORARY, "; ".join(self.failed[:3])
        elif self.busy:
            status, text = TEMPORARY, f"{self.busy} of them are being sent or reported on now; try again"
        elif wanted.targets and not self.done:
            status, text = REFUSED, _NO_SUCH
        return {"status": status, "letters": self.done, "busy": self.busy, "text": text}


class QueueDesk:
    """Answers requests. Everything but what is awaited runs in one thread, that of the schedule."""

    def __init__(
        self,
        schedule: Schedule,
        queue: Queue,
        clock: Callable[[], float] = time.time,
        office: Office | None = None,
    ) -> None:
        """Without an office nobody works behind this desk."""
        self._schedule = schedule
        self._queue = queue
        self._clock = clock
        self._office: Office = office or NobodyThere()
        self._works = office is not None
        self._changing: set[tuple[str, str]] = set()
        self.enabled = True
        """`relay.enabled`."""
        self._acts: Mapping[str, Callable[[Message], Errand[Message]]] = {
            "list": self._list,
            "show": self._show,
            "read": self._read,
            "stats": self._stats,
            "why": self._why,
            "retry": self._retry,
            "hold": self._hold,
            "release": self._release,
            "delete": self._delete,
            "bounce": self._bounce,
            "reroute": self._reroute,
            "scan": self._scan,
        }

    async def answer(self, request: object) -> Message:
        """The answer to a request, whatever that is; it always has "status", the exit status for the
        command."""
        act = self._acts.get(str(request.get("request"))) if isinstance(request, dict) else None
        if act is None or not isinstance(request, dict):
            return {"status": USAGE, "text": "the relay does not know this request"}
        try:
            return await act(request)
        except BadRequest as error:
            return {"status": USAGE, "text": str(error)}
        except OSError as error:
            return {"status": TEMPORARY, "text": f"the queue cannot be read: {error}"}

    # looking

    async def _list(self, request: Message) -> Message:
        wanted = Filter.of(request)
        after = member(request, "after", list, ["", ""])
        if len(after) != 2 or not all(isinstance(word, str) for word in after):
            raise BadRequest("after is no place in the list")
        return await views.page(self._queue, await self._scene(), wanted, (after[0], after[1]))

    async def _show(self, request: Message) -> Message:
        target = parse_which(request.get("id"))
        if target.id is None:
            raise BadRequest("say which letter")
        scene = await self._scene()
        entries = await self._found(target)
        shown = await OnDisk(views.describe, self._queue.open, entries[:MOST_SHOWN], scene)
        kept, aside = await self._kept(target), scene.of_errors()
        shown += await OnDisk(views.describe, self._queue.open_kept, kept[:MOST_SHOWN], aside)
        if not shown:
            return {"status": REFUSED, "text": _NO_SUCH}
        left_off = max(0, len(entries) - MOST_SHOWN)
        return {"status": DONE, "letters": shown, "now": scene.now, "left_off": left_off}

    async def _read(self, request: Message) -> Message:
        """A piece of a message."""
        target = parse_which(request.get("id"))
        offset = member(request, "offset", int, 0)
        if target.id is None or offset < 0:
            raise BadRequest("say which letter, and from where")
        found = await self._found(target)
        open_all: views.Opener = self._queue.open
        if not found:
            found, open_all = await self._kept(target), self._queue.open_kept
        if not found:
            return {"status": REFUSED, "text": _NO_SUCH}
        piece = await OnDisk(views.read_piece, open_all, found[0], offset)
        return {"status": DONE, "octets": piece.octets, "last": piece.last}

    async def _stats(self, _request: Message) -> Message:
        return views.stats(await self._scene())

    async def _why(self, _request: Message) -> Message:
        return await views.why(self._queue, self._schedule, await self._scene())

    async def _scene(self) -> views.Scene:
        states: dict[str, State] = {}
        for number, domain in enumerate(self._schedule.domains(), start=1):
            state = self._schedule.state(domain)
            if state is not None:
                states[domain] = state
            if number % _AT_ONCE == 0:
                await breathe()
        return views.Scene(self._clock(), states, self._schedule.is_out, self.enabled, self._works)

    # acting

    async def _retry(self, request: Message) -> Message:
        wanted = Wanted.of(request)
        if wanted.errors:
            return await self._requeue(wanted)
        if not self._works:
            return await self._retry_on_disk(wanted)
        answer = _Tally(sum([await self._hurry(*which) for which in self._scheduled(wanted)])).answer(wanted)
        return answer if self.enabled or answer["status"] else {**answer, "text": _DISABLED}

    def _scheduled(self, wanted: Wanted) -> Iterator[tuple[str, str | None, str]]:
        """Domain, letter or all of them, and reason."""
        if not wanted.targets:
            for domain in self._schedule.domains():
                yield domain, None, wanted.reason
        for name, letter in wanted.targets:
            for domain in [name] if name else self._schedule.domains_of(letter or ""):
                yield domain, letter, wanted.reason

    async def _hurry(self, domain: str, letter: str | None, reason: str) -> int:
        """Try them at once; how many there are to try."""
        schedule, count = self._schedule, 0
        if reason == schedule.error(domain):
            reason = ""  # all of them wait for that
        for some in _batches(schedule.waiting(domain) if letter is None else (), _AT_ONCE):
            count += self._hurry_some(domain, [each.id for each in some if reason in ("", each.reason)])
            await breathe()
        if letter is not None and schedule.knows(domain, letter):
            count = self._hurry_some(domain, [letter])
        return count

    def _hurry_some(self, domain: str, letters: Sequence[str]) -> int:
        if letters:
            self._office.forget(domain)
            self._schedule.retry(domain, self._clock(), letters)
        return len(letters)

    async def _retry_on_disk(self, wanted: Wanted) -> Message:
        due = int(self._clock())

        def hurried(entries: Sequence[Entry]) -> Sequence[Done]:
            free = [each for each in entries if not (each.is_held or each.is_unfinished)]
            opened = list(_closed(self._queue.open(free)))
            those = [each for each in opened if wanted.reason in ("", views.reason_of(each))]
            known = [each for each in those if each.entry.serial]
            saved = self._queue.save([(each.entry, each.status.released(due)) for each in known])
            return [*saved, *(each.entry for each in those if not each.entry.serial)]

        tally = _Tally()
        for entries in _batches(await self._all(wanted)):
            for done in await OnDisk(hurried, entries):
                tally.count(done)
        return tally.answer(wanted)

    async def _requeue(self, wanted: Wanted) -> Message:
        tally, due = _Tally(), int(self._clock())
        for entries in _batches(await self._all(wanted)):
            for moved in await OnDisk(self._queue.requeue, entries, due):
                tally.count(moved)
                if isinstance(moved, Entry):
                    found = Found(moved.id, due, moved.serial)
                    self._schedule.load(moved.domain, [found], self._clock())
        return tally.answer(wanted)

    async def _hold(self, request: Message) -> Message:
        return await self._change(request, Status.held, lambda entry: not entry.is_held)

    async def _release(self, request: Message) -> Message:
        due = int(self._clock())
        return await self._change(request, lambda status: status.released(due), lambda entry: entry.is_held)

    async def _reroute(self, request: Message) -> Message:
        to, due = parse_reroute(member(request, "to", str, "")), int(self._clock())

        def rerouted(status: Status) -> Status:
            changed = status.rerouted(to)
            return changed if changed.hold else changed.released(due)

        answer = await self._change(request, rerouted, lambda _entry: True)
        for domain, _ in Wanted.of(request).targets:
            if domain is not None:
                self._schedule.retry(domain, self._clock(), letters=())  # what failed was the other way
        return answer

    async def _delete(self, request: Message) -> Message:
        wanted = Wanted.of(request)
        if not wanted.errors:
            return await self._act(wanted, self._queue.finish, lambda _entry: True)
        tally = _Tally()
        for entries in _batches(await self._all(wanted)):
            for removed in await OnDisk(self._queue.discard, entries):
                tally.count(removed)
        return tally.answer(wanted)

    async def _bounce(self, request: Message) -> Message:
        """The promise to tell the sender is saved; making good on it is the office's."""
        return await self._act(Wanted.of(request), self._give_up, lambda _entry: True)

    async def _scan(self, _request: Message) -> Message:
        self._office.rescan()
        domains = await OnDisk(self._queue.domains)
        return {"status": DONE, "domains": len(domains), "text": ""}

    # changing letters

    async def _change(
        self, request: Message, how: Callable[[Status], Status], fits: Callable[[Entry], bool]
    ) -> Message:
        return await self._act(Wanted.of(request), lambda batch: self._queue.change(batch, how), fits)

    async def _act(self, wanted: Wanted, work: Work, fits: Callable[[Entry], bool]) -> Message:
        """Do something to the wanted letters that fit, and let the schedule know."""
        tally = _Tally()
        for entries in _batches(filter(fits, await self._all(wanted))):
            free = [entry for entry in entries if self._is_free(entry)]
            tally.busy += len(entries) - len(free)
            for entry in free:
                self._lock(entry)
            try:
                done = await OnDisk(work, free)
            except OSError as error:
                done = [error] * len(free)
            self._changing.difference_update((entry.domain, entry.id) for entry in free)
            for entry, each in zip(free, done, strict=True):
                tally.count(each)
                self._unlock(entry, each)
        return tally.answer(wanted)

    def _is_free(self, entry: Entry) -> bool:
        name = entry.domain, entry.id
        return not (entry.is_unfinished or name in self._changing or self._schedule.is_out(*name))

    def _lock(self, entry: Entry) -> None:
        self._changing.add((entry.domain, entry.id))
        found = Found(entry.id, entry.due or 0, entry.serial)
        self._schedule.load(entry.domain, [found], self._clock())
        self._schedule.hold(entry.domain, entry.id)

    def _unlock(self, entry: Entry, done: Done) -> None:
        """The schedule knows what the tree has now."""
        schedule, now = self._schedule, self._clock()
        if done is None or isinstance(done, FileNotFoundError):
            schedule.finish(entry.domain, entry.id, now)
            return
        after = done if isinstance(done, Entry) else entry
        if after.is_unfinished:
            schedule.finish(entry.domain, entry.id, now)
            self._office.resume(after)
            return
        plan = Plan(after.due or 0, after.serial, warn=False, expired=False)
        schedule.defer(entry.domain, entry.id, plan, "", now)
        if not after.is_held:
            schedule.release(entry.domain, now, entry.id)

    def _give_up(self, entries: Sequence[Entry]) -> list[Done]:
        """In a helper thread."""
        opened = self._queue.open(entries)
        changes = [(each.entry, _given_up(each, self._clock())) for each in _closed(opened)]
        saved = iter(self._queue.save(changes))
        return [next(saved) if isinstance(each, OpenLetter) else each for each in opened]

    # finding letters

    async def _all(self, wanted: Wanted) -> list[Entry]:
        """Those in the queue, or in the error folders, by names alone."""
        look = self._kept if wanted.errors else self._found
        targets = wanted.targets
        if not targets:
            targets = tuple(Target(domain, None) for domain in await OnDisk(self._queue.domains))
        found = [entry for target in targets for entry in await look(target)]
        return list(dict.fromkeys(found))

    async def _found(self, target: Target) -> list[Entry]:
        domain, letter = target
        if domain is None:
            found = await OnDisk(self._queue.find, letter or "")
        else:
            found = await OnDisk(_picked, self._queue.letters, domain, letter)
        return found

    async def _kept(self, target: Target) -> list[Entry]:
        domain, letter = target
        domains = [domain] if domain else await OnDisk(self._queue.domains)
        found: list[Entry] = []
        for each in domains:
            found += await OnDisk(_picked, self._queue.kept, each, letter)
        return found


def fill(schedule: Schedule, queue: Queue, clock: Callable[[], float] = time.time) -> None:
    """Let a schedule know all letters that wait in the tree. Blocks; OSError."""
    for entries in queue.scan():
        waiting = [entry for entry in entries if not entry.is_unfinished]
        for entry in waiting:
            schedule.load(entry.domain, [Found(entry.id, entry.due or 0, entry.serial)], clock())
            if entry.is_held:
                schedule.hold(entry.domain, entry.id)


def _picked(look: Callable[[str], Iterator[list[Entry]]], domain: str, letter: str | None) -> list[Entry]:
    """The letters of a domain, or this one."""
    return [entry for entries in look(domain) for entry in entries if letter in (None, entry.id)]


def _given_up(letter: OpenLetter, now: float) -> Status:
    """Its status once nobody waits any more; what was said last is told the sender."""
    outcomes = {each.address: _never(letter.status.recipients.get(each.address)) for each in letter.waiting}
    plan = Plan(int(now), letter.entry.serial, warn=False, expired=True)
    attempt = Attempt(outcomes, "", dsn=False, when=now)
    return follow(letter, attempt, plan, can_tell=True) or letter.status.ended()


def _never(last: Standing | None) -> Never:
    if last is None:
        return Never("5.0.0", Reason.GIVEN_UP)
    return Never(f"5{last.status[1:]}", Reason.GIVEN_UP, last.reply, last.detail)


def _closed(opened: Iterable[object]) -> Iterator[OpenLetter]:
    for each in opened:
        if isinstance(each, OpenLetter):
            each.close()
            yield each


def _batches(entries: Iterable[T], most: int = _BATCH) -> Iterator[list[T]]:
    rest = iter(entries)
    while batch := list(islice(rest, most)):
        yield batch
