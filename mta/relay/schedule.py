"""The schedule: which domain is attempted next, with which letters. In memory, pure, and never the truth.

The truth is the tree. The schedule is filled from the names in it (`load`, a slice at a time) and from the
receiver's hints (`arrive`); it asks nobody for the time (every `now` is the reading of one SteadyClock), and
touches neither disk nor network. Its host asks `take` what to do, does it, and says what came of it:

    take -> Attempt    one more connection to a domain, and its first letters; `more` for the next ones
            Overdue    letters to be warned of or given up, although nobody tried them one by one
    letter by letter   finish (delivered, reported, gone)   defer   put_back (it was not its turn)   hold
    the connection     succeeded (a letter was taken)   slowed (421, 4.7.x)   then failed or closed, once

There is one heap of domains, each standing in it with the moment at which it may have something to do; a
turn costs the same whether a domain has ten letters or a hundred thousand. A domain that fails as a whole
is that one entry: its letters rest with it, and none is tried. Domains that are due take turns.

`plan` says when a letter that failed is to be tried again; the host writes that down before it calls
`defer`. A letter is given up only after an attempt in this run, of it or of its whole domain, has failed:
nothing expires because it is found to be old.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import ceil
from random import Random
from typing import Final, NamedTuple, TypeAlias

from mta.config import Settings
from mta.relay.letters import Letter, Letters
from mta.relay.pace import Pace, later

_IMPLAUSIBLE: Final = 1.2
"""Due times beyond the longest pause times this were not written by a schedule whose clock was right."""


class Found(NamedTuple):
    """A letter as the names in a domain's folder tell it."""

    id: str
    due: int
    """Epoch seconds."""
    attempts: int
    """0: it has no status."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says about when; seconds."""

    retry: tuple[float, ...]
    expire: float
    warn: float
    """0: nobody is warned."""
    connections: int
    """To one domain."""

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        relay = settings.relay
        return cls(tuple(relay.retry), relay.expire, relay.warn, relay.connections)


class Attempt(NamedTuple):
    """One more connection to a domain is to be made for these letters, which are out."""

    domain: str
    letters: tuple[Letter, ...]


class Overdue(NamedTuple):
    """These letters, which are out, have reached the age of `relay.warn` or `relay.expire` while their domain
    failed. Their age is what their names tell: the envelope has the last word, and the status knows whether
    the sender was warned."""

    domain: str
    letters: tuple[Letter, ...]


Work: TypeAlias = Attempt | Overdue


class Plan(NamedTuple):
    """What follows from a letter's failure."""

    due: int
    """Epoch seconds of the schedule's clock: the next attempt."""
    attempts: int
    warn: bool
    """It is old enough for its sender to be told, unless that was done."""
    expired: bool
    """There is to be no next attempt."""


class State(NamedTuple):
    """What an operator sees of a domain."""

    domain: str
    letters: int
    out: int
    """Of them, in an attempt now."""
    held: int
    oldest: float | None
    """When its oldest letter that is not held was born; times are epoch seconds of the schedule's clock."""
    next_attempt: float | None
    """Perhaps past: as soon as there is room. None: nothing waits, or all is held."""
    connections: int
    window: int
    """Connections allowed at present."""
    pause: float
    """Seconds between two letters; 0 for most."""
    failures: int
    """How often in a row it failed as a whole."""
    error: str
    """What the last failure was; empty after a success."""
    is_held: bool


@dataclass(slots=True)
class _Domain:
    letters: Letters = field(default_factory=Letters)
    pace: Pace = field(default_factory=Pace)
    held: bool = False
    error: str = ""
    queued: float = float("inf")
    """When the entry in the heap that counts comes up."""
    ticket: int = 0
    """Which entry that is."""


class Schedule:
    """The letters of all domains, and when each is to be tried."""

    def __init__(self, rules: Rules, random: Random) -> None:
        self._rules = rules
        self._random = random
        self._domains: dict[str, _Domain] = {}
        self._queue: list[tuple[float, int, str]] = []
        self._tickets = count(1)

    def __len__(self) -> int:
        """All letters. Walks through the domains."""
        return sum(len(domain.letters) for domain in self._domains.values())

    def configure(self, rules: Rules, now: float) -> None:
        """Follow these rules from now on; due times that are set stay."""
        self._rules = rules
        for name in list(self._domains):
            self._queue_again(name, now)

    # letters come

    def load(self, domain: str, found: Iterable[Found], now: float) -> None:
        """Letters found in a domain's folder, some or all of them; those that are known stay as they are."""
        letters = self._domain(domain).letters
        horizon = max(self._rules.retry) * _IMPLAUSIBLE
        for letter, due, attempts in found:
            letters.load(letter, due, attempts, now, horizon)
        self._queue_again(domain, now)

    def arrive(self, domain: str, letter: str, now: float) -> None:
        """A letter that was just accepted."""
        self._domain(domain).letters.add(letter, now)
        self._queue_again(domain, now)

    # what is to be done

    def next_due(self) -> float | None:
        """When to `take` again, perhaps long ago; None: not before something else has happened."""
        queue = self._queue
        while queue and not self._counts(queue[0]):
            heappop(queue)
        return queue[0][0] if queue else None

    def take(self, now: float, most: int) -> Work | None:
        """The next thing to do, with at most so many letters; None when nothing is due.

        An Attempt must be answered by one of `failed` and `closed`, and every letter by one of its words."""
        while (due := self.next_due()) is not None and due <= now:
            name = heappop(self._queue)[2]
            domain = self._domains[name]
            domain.queued = float("inf")
            work = self._overdue(name, domain, now, most) or self._attempt(name, domain, now, most)
            self._queue_again(name, now)
            if work is not None:
                return work
        return None

    def more(self, domain: str, now: float, most: int) -> tuple[Letter, ...]:
        """Further letters for a connection that exists; none when it is to be closed."""
        found = self._domains[domain]
        if found.held or not found.pace.keeps_open(now, self._rules.connections):
            return ()
        return self._letters(found, now, most)

    # what became of a letter

    def plan(self, domain: str, letter: str, now: float) -> Plan:
        """What is to follow from the failure of a letter that was handed out. KeyError: nobody knows it."""
        known, rules = self._domains[domain].letters[letter], self._rules
        age, attempts = now - known.born, known.attempts + 1
        return Plan(
            due=ceil(now + later(rules.retry, attempts, self._random)),
            attempts=attempts,
            warn=0 < rules.warn <= age,
            expired=age >= rules.expire,
        )

    def defer(self, domain: str, letter: str, plan: Plan, reason: str, now: float) -> None:
        """It waits as planned, which is written down; `reason` is a word of the catalogue."""
        if self.knows(domain, letter):
            self._domains[domain].letters.defer(letter, plan.due, plan.attempts, reason)
            self._queue_again(domain, now)

    def put_back(self, domain: str, letter: str, now: float) -> None:
        """It was handed out and not tried."""
        if domain in self._domains:
            self._domains[domain].letters.put_back(letter)
            self._queue_again(domain, now)

    def finish(self, domain: str, letter: str, now: float) -> None:
        """It is gone: delivered, given up, or not there any more. An unknown one is no error."""
        if domain in self._domains:
            self._domains[domain].letters.remove(letter)
            self._queue_again(domain, now)

    # what became of a connection

    def succeeded(self, domain: str, now: float) -> None:
        """The other side took a letter."""
        found = self._domains[domain]
        found.pace.succeed(self._rules.connections)
        found.error = ""
        self._queue_again(domain, now)

    def slowed(self, domain: str, now: float) -> None:
        """The other side asks for less."""
        self._domains[domain].pace.slow(now)

    def closed(self, domain: str, now: float) -> None:
        """A connection has ended, well enough."""
        self._domains[domain].pace.open -= 1
        self._queue_again(domain, now)

    def failed(self, domain: str, error: str, now: float) -> float | None:
        """A connection could not be made or used. Returns until when the whole domain rests; None when it
        does not, since other connections work."""
        found = self._domains[domain]
        found.error = error
        found.pace.open -= 1
        rests = found.pace.fail(now, self._rules.retry, self._random)
        self._queue_again(domain, now)
        return found.pace.resume if rests else None

    # what the operator wants

    def retry(self, domain: str, now: float, letters: Iterable[str] | None = None, reason: str = "") -> None:
        """Try at once what waits there: these letters, those that wait for `reason`, or all."""
        found = self._domains.get(domain)
        if found is None:
            return
        if letters is None:
            letters = [letter.id for letter in found.letters if reason in ("", letter.reason)]
        found.letters.hurry(letters)
        found.pace.retry()
        self._queue_again(domain, now)

    def hold(self, domain: str, letter: str | None = None) -> None:
        """Do not try this letter, or the whole domain, until it is released. What is under way goes on."""
        if letter is None:
            self._domain(domain).held = True
        elif domain in self._domains:
            self._domains[domain].letters.hold(letter)

    def release(self, domain: str, now: float, letter: str | None = None) -> None:
        """Try this letter, or the domain and its letters as they are due."""
        found = self._domain(domain)
        if letter is None:
            found.held = False
        else:
            found.letters.release(letter)
        self._queue_again(domain, now)

    # what there is

    def knows(self, domain: str, letter: str) -> bool:
        return domain in self._domains and letter in self._domains[domain].letters

    def is_out(self, domain: str, letter: str) -> bool:
        """Whether an attempt has it now."""
        return domain in self._domains and letter in self._domains[domain].letters.out

    def error(self, domain: str) -> str:
        """What the last failure of a domain was, a word of the catalogue; empty after a success."""
        return self._domains[domain].error if domain in self._domains else ""

    def domains_of(self, letter: str) -> list[str]:
        """The domains that a letter waits for. Walks through the domains."""
        return [name for name, domain in self._domains.items() if letter in domain.letters]

    def letters(self, domain: str) -> list[Letter]:
        """All letters of a domain, in the order they came."""
        return list(self._domains[domain].letters) if domain in self._domains else []

    def waiting(self, domain: str) -> Iterator[Letter]:
        """Those of them that are not held, as they are now; whatever becomes of them while they are walked
        through."""
        return self._domains[domain].letters.waiting() if domain in self._domains else iter(())

    def domains(self) -> list[str]:
        """The domains that there is something to know of."""
        return list(self._domains)

    def state(self, domain: str) -> State | None:
        """What is known of a domain, if there is something. Takes some microseconds."""
        return self._state(domain, self._domains[domain]) if domain in self._domains else None

    def states(self) -> Iterator[State]:
        """Every domain; nothing may be changed while this is walked through."""
        return (self._state(name, domain) for name, domain in self._domains.items())

    # inside

    def _domain(self, name: str) -> _Domain:
        found = self._domains.get(name)
        if found is None:
            found = self._domains[name] = _Domain()
        return found

    def _overdue(self, name: str, domain: _Domain, now: float, most: int) -> Overdue | None:
        rules = self._rules
        if not self._ages_count(domain):
            return None
        letters = domain.letters.take_overdue(now, rules.warn, rules.expire, most)
        return Overdue(name, letters) if letters else None

    def _attempt(self, name: str, domain: _Domain, now: float, most: int) -> Attempt | None:
        if domain.held or now < domain.pace.resume or not domain.pace.admits(self._rules.connections):
            return None
        letters = self._letters(domain, now, most)
        if not letters:
            return None
        domain.pace.open += 1
        return Attempt(name, letters)

    @staticmethod
    def _letters(domain: _Domain, now: float, most: int) -> tuple[Letter, ...]:
        letters = domain.letters.take(now, 1 if domain.pace.pause else most)
        if letters:
            domain.pace.sent(now)
        return letters

    def _ages_count(self, domain: _Domain) -> bool:
        """Whether letters of this domain are told by their age: it fails, so that nobody looks at them. One
        handful at a time, which also leaves alone what is in an attempt."""
        return domain.pace.failures > 0 and not domain.held and not domain.letters.out

    def _when(self, domain: _Domain) -> float | None:
        """When there is something to do for it, as things are."""
        if domain.held:
            return None
        times = [self._attempt_time(domain)]
        if self._ages_count(domain):
            times.append(domain.letters.next_overdue(self._rules.warn, self._rules.expire))
        return min((time for time in times if time is not None), default=None)

    def _attempt_time(self, domain: _Domain) -> float | None:
        if not domain.pace.admits(self._rules.connections):
            return None
        due = domain.letters.next_due()
        return None if due is None else max(due, domain.pace.resume)

    def _queue_again(self, name: str, now: float) -> None:
        """Let it stand in the heap where it belongs. An entry that comes up too early is no harm: it is
        looked at and goes to its place; so only an earlier time needs a new one."""
        domain = self._domains[name]
        when = self._when(domain) if len(domain.letters) else self._forget(name, domain, now)
        # Not before now: those that are due take turns, in the order in which they came to be so.
        if when is not None and (when := max(when, now)) < domain.queued:
            domain.queued, domain.ticket = when, next(self._tickets)
            heappush(self._queue, (when, domain.ticket, name))

    def _forget(self, name: str, domain: _Domain, now: float) -> float | None:
        """A domain without letters goes once there is nothing to remember, which may be later."""
        if domain.held or domain.pace.open:
            return None
        if now < domain.pace.resume:
            return domain.pace.resume
        del self._domains[name]
        return None

    def _counts(self, entry: tuple[float, int, str]) -> bool:
        domain = self._domains.get(entry[2])
        return domain is not None and domain.ticket == entry[1] and domain.queued == entry[0]

    def _state(self, name: str, domain: _Domain) -> State:
        letters, pace = domain.letters, domain.pace
        due = None if domain.held else letters.next_due()
        return State(
            domain=name,
            letters=len(letters),
            out=len(letters.out),
            held=len(letters.held),
            oldest=letters.oldest(),
            next_attempt=None if due is None else max(due, pace.resume),
            connections=pace.open,
            window=min(int(pace.window), self._rules.connections),
            pause=pace.pause,
            failures=pace.failures,
            error=domain.error,
            is_held=domain.held,
        )
