"""The schedule: who is due when, in whatever order the world behaves."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from unittest.mock import patch

import pytest
from freezegun import freeze_time
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mta.identifier import Identifiers
from mta.relay.clock import SteadyClock
from mta.relay.letters import Letter
from mta.relay.schedule import Attempt, Found, Overdue, Rules, Schedule

NOW = 1_790_000_000.0
HOUR, DAY = 3600.0, 86400.0
RULES = Rules(
    retry=(300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0), expire=5 * DAY, warn=4 * HOUR, connections=20
)
DOMAIN = "example.org"


def name(number: int, born: float = NOW) -> str:
    """The id of a letter accepted at `born`."""
    with freeze_time() as clock:
        clock.move_to(time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(born)))
        return Identifiers().next()[:8] + f"{number:012d}"


@pytest.fixture
def schedule() -> Schedule:
    return Schedule(RULES, Random(1))


def fill(schedule: Schedule, domain: str, number: int, now: float = NOW) -> list[str]:
    letters = [f"{domain[:4]:0<8}{i:012d}" for i in range(number)]
    for letter in letters:
        schedule.arrive(domain, letter, now)
    return letters


def attempts(schedule: Schedule, now: float = NOW, most: int = 10) -> Iterator[Attempt]:
    """All attempts that are to be made now."""
    while (work := schedule.take(now, most)) is not None:
        assert isinstance(work, Attempt)
        yield work


def attempt(schedule: Schedule, now: float = NOW, most: int = 10) -> Attempt:
    """The one attempt that is to be made now."""
    (only,) = attempts(schedule, now, most)
    return only


def ids(letters: tuple[Letter, ...]) -> list[str]:
    return [letter.id for letter in letters]


def deliver(schedule: Schedule, domain: str, letters: tuple[Letter, ...], now: float = NOW) -> None:
    for letter in letters:
        schedule.finish(domain, letter.id, now)
        schedule.succeeded(domain, now)


def defer(schedule: Schedule, domain: str, letter: Letter, now: float, reason: str = "deferred") -> int:
    plan = schedule.plan(domain, letter.id, now)
    schedule.defer(domain, letter.id, plan, reason, now)
    return plan.due


def fail(schedule: Schedule, work: Attempt, now: float) -> float | None:
    """The connection failed; its letters were not tried."""
    until = schedule.failed(work.domain, "connection refused", now)
    for letter in work.letters:
        schedule.put_back(work.domain, letter.id, now)
    return until


# --- letters


def test_nothing_is_due_when_there_is_nothing(schedule: Schedule) -> None:
    assert schedule.next_due() is None
    assert schedule.take(NOW, 10) is None


def test_a_letter_is_due_when_it_arrives(schedule: Schedule) -> None:
    schedule.arrive(DOMAIN, name(1), NOW)
    assert schedule.next_due() == NOW
    work = attempt(schedule)
    assert (work.domain, ids(work.letters)) == (DOMAIN, [name(1)])


def test_a_letter_is_handed_out_once(schedule: Schedule) -> None:
    """A hint and a scan may both tell of it, before, during and after an attempt."""
    schedule.arrive(DOMAIN, name(1), NOW)
    schedule.load(DOMAIN, [Found(name(1), 0, 0)], NOW)
    attempt(schedule)
    schedule.arrive(DOMAIN, name(1), NOW)
    schedule.load(DOMAIN, [Found(name(1), 0, 0)], NOW)
    assert list(attempts(schedule)) == []
    assert schedule.more(DOMAIN, NOW, 10) == ()
    schedule.finish(DOMAIN, name(1), NOW)
    schedule.closed(DOMAIN, NOW)
    assert len(schedule) == 0
    assert schedule.next_due() is None


def test_a_connection_gets_letters_until_there_are_none(schedule: Schedule) -> None:
    letters = fill(schedule, DOMAIN, 25)
    first = attempt(schedule)
    second, third = schedule.more(DOMAIN, NOW, 10), schedule.more(DOMAIN, NOW, 10)
    assert sorted(ids(first.letters + second + third)) == letters
    assert schedule.more(DOMAIN, NOW, 10) == ()


def test_a_letter_found_with_a_status_is_due_when_its_name_says(schedule: Schedule) -> None:
    schedule.load(DOMAIN, [Found(name(1), int(NOW) + 60, 3)], NOW)
    assert list(attempts(schedule, NOW + 59)) == []
    (letter,) = attempt(schedule, NOW + 60).letters
    assert (letter.due, letter.attempts) == (int(NOW) + 60, 3)


def test_letters_are_tried_in_the_order_they_are_due(schedule: Schedule) -> None:
    found = [Found(name(i), int(NOW) - due, 1) for i, due in enumerate([5, 9, 1, 7])]
    schedule.load(DOMAIN, found, NOW)
    assert ids(attempt(schedule).letters) == [name(1), name(3), name(0), name(2)]


@pytest.mark.parametrize(("attempts_made", "step"), [(0, 300), (1, 900), (5, 14400), (60, 14400)])
def test_a_deferred_letter_waits_for_its_step(schedule: Schedule, attempts_made: int, step: int) -> None:
    schedule.load(DOMAIN, [Found(name(1), int(NOW), attempts_made)], NOW)
    work = attempt(schedule)
    due = defer(schedule, DOMAIN, work.letters[0], NOW)
    schedule.closed(DOMAIN, NOW)
    assert step * 0.9 <= due - NOW <= step * 1.1 + 1
    assert schedule.next_due() == due
    (again,) = attempt(schedule, due).letters
    assert (again.attempts, again.due, again.reason) == (attempts_made + 1, due, "deferred")


def test_a_letter_that_was_not_its_turn_is_due_as_before(schedule: Schedule) -> None:
    schedule.load(DOMAIN, [Found(name(1), int(NOW) - 5, 2)], NOW)
    work = attempt(schedule)
    schedule.put_back(DOMAIN, name(1), NOW)
    schedule.closed(DOMAIN, NOW)
    assert attempt(schedule).letters == work.letters


# --- age


@pytest.mark.parametrize(
    ("age", "warn", "expired"),
    [(0.0, False, False), (3.9 * HOUR, False, False), (4 * HOUR, True, False), (5 * DAY, True, True)],
)
def test_a_plan_tells_what_the_age_of_a_letter_asks_for(
    schedule: Schedule, age: float, warn: bool, expired: bool
) -> None:
    schedule.load(DOMAIN, [Found(name(1, NOW - age), int(NOW), 1)], NOW)
    plan = schedule.plan(DOMAIN, attempt(schedule).letters[0].id, NOW)
    assert (plan.warn, plan.expired) == (warn, expired)


def test_nobody_is_warned_when_the_operator_wants_none(schedule: Schedule) -> None:
    schedule.configure(replace(RULES, warn=0), NOW)
    schedule.load(DOMAIN, [Found(name(1, NOW - DAY), int(NOW), 1)], NOW)
    assert not schedule.plan(DOMAIN, attempt(schedule).letters[0].id, NOW).warn


def test_an_old_letter_is_tried_before_it_can_expire(schedule: Schedule) -> None:
    """The machine was off for a month."""
    schedule.load(DOMAIN, [Found(name(1, NOW - 30 * DAY), int(NOW - 29 * DAY), 4)], NOW)
    assert isinstance(schedule.take(NOW, 10), Attempt)


def test_letters_of_a_failing_domain_expire_without_being_tried_one_by_one(schedule: Schedule) -> None:
    old = [name(i, NOW - 6 * DAY) for i in range(5)]
    young = [name(i, NOW) for i in range(5, 10)]
    schedule.load(DOMAIN, [Found(letter, int(NOW) - 1, 1) for letter in young + old], NOW)
    fail(schedule, attempt(schedule, most=1), NOW)
    work = schedule.take(NOW, 3)
    assert isinstance(work, Overdue)
    assert schedule.take(NOW, 3) is None  # one handful at a time
    for letter in work.letters:
        schedule.finish(DOMAIN, letter.id, NOW)
    rest = schedule.take(NOW, 3)
    assert isinstance(rest, Overdue)
    assert sorted(ids(work.letters + rest.letters)) == sorted(old)


def test_a_letter_is_overdue_once_for_the_warning_and_once_for_the_end(schedule: Schedule) -> None:
    schedule.arrive(DOMAIN, name(1), NOW)
    overdue: list[float] = []
    now = NOW
    while now < NOW + 6 * DAY:
        work = schedule.take(now, 10)
        if isinstance(work, Attempt):
            fail(schedule, work, now)
        elif isinstance(work, Overdue):
            overdue.append(now - NOW)
            schedule.put_back(DOMAIN, name(1), now)
        now = max(now, schedule.next_due() or now)
    assert overdue == [4 * HOUR, 5 * DAY]


def test_letters_of_a_working_domain_are_not_overdue(schedule: Schedule) -> None:
    schedule.load(DOMAIN, [Found(name(1, NOW - 6 * DAY), int(NOW) + 60, 9)], NOW)
    assert schedule.take(NOW, 10) is None


def test_a_longer_life_acts_at_once(schedule: Schedule) -> None:
    schedule.load(DOMAIN, [Found(name(i, NOW - 6 * DAY), int(NOW), 9) for i in (1, 2)], NOW)
    schedule.configure(replace(RULES, expire=30 * DAY, warn=0), NOW)
    fail(schedule, attempt(schedule, most=1), NOW)
    assert schedule.take(NOW, 10) is None
    schedule.configure(replace(RULES, expire=DAY, warn=0), NOW)
    assert isinstance(schedule.take(NOW, 10), Overdue)


# --- clocks


def test_the_clock_starts_with_the_time_of_day_and_never_jumps() -> None:
    ticks = iter([100.0, 100.0, 107.0])
    with freeze_time("2026-07-01 12:00:00") as wall, patch("time.monotonic", lambda: next(ticks)):
        clock = SteadyClock()
        start = clock()
        wall.move_to("2036-01-01")
        assert clock() == start + 7
        assert clock.monotonic(start + 7) == pytest.approx(107)


def test_letters_that_come_after_the_clock_was_set_back_are_new(schedule: Schedule) -> None:
    """Their ids tell a time ten days ago."""
    schedule.arrive(DOMAIN, name(1, NOW - 10 * DAY), NOW)
    attempt(schedule)
    assert not schedule.plan(DOMAIN, name(1, NOW - 10 * DAY), NOW).expired


def test_letters_from_the_future_are_new(schedule: Schedule) -> None:
    letter = name(1, NOW + 10 * DAY)
    schedule.load(DOMAIN, [Found(letter, 0, 0)], NOW)
    attempt(schedule)
    assert schedule.letters(DOMAIN)[0].born == NOW


def test_names_that_tell_no_time_are_new(schedule: Schedule) -> None:
    schedule.load(DOMAIN, [Found("z" * 20, 0, 0)], NOW)
    assert schedule.letters(DOMAIN)[0].born == NOW


def test_a_due_time_no_schedule_would_have_written_means_now(schedule: Schedule) -> None:
    schedule.load(DOMAIN, [Found(name(1), int(NOW + 365 * DAY), 2)], NOW)
    (letter,) = attempt(schedule).letters
    assert letter.due == int(NOW + 365 * DAY)  # its status is still found by its name


def test_the_longest_pause_is_plausible(schedule: Schedule) -> None:
    schedule.load(DOMAIN, [Found(name(1), int(NOW + 14400 * 1.1), 9)], NOW)
    assert list(attempts(schedule)) == []


# --- domains


def test_a_domain_gets_one_connection_until_a_letter_was_taken(schedule: Schedule) -> None:
    fill(schedule, DOMAIN, 100)
    first = attempt(schedule)
    deliver(schedule, DOMAIN, first.letters[:1])
    attempt(schedule)
    deliver(schedule, DOMAIN, first.letters[1:])
    assert len(list(attempts(schedule, most=3))) == 9


def test_never_more_connections_than_allowed(schedule: Schedule) -> None:
    fill(schedule, DOMAIN, 1000)
    works = list(attempts(schedule, most=1))
    for _ in range(200):
        deliver(schedule, DOMAIN, works[0].letters)
        works[0] = Attempt(DOMAIN, schedule.more(DOMAIN, NOW, 1))
        works += attempts(schedule, most=1)
    assert len(works) == RULES.connections


def test_a_domain_that_fails_is_one_entry_however_many_letters(schedule: Schedule) -> None:
    fill(schedule, DOMAIN, 1000)
    until = fail(schedule, attempt(schedule), NOW)
    assert until is not None
    assert 270 <= until - NOW <= 330
    schedule.arrive(DOMAIN, name(1), NOW + 1)
    assert schedule.next_due() == until
    assert list(attempts(schedule, until - 1)) == []
    probe = attempt(schedule, until)
    assert len(probe.letters) == 10
    assert schedule.next_due() is None


def test_a_domain_that_is_back_is_served_wholly(schedule: Schedule) -> None:
    fill(schedule, DOMAIN, 1000)
    until = fail(schedule, attempt(schedule), NOW)
    assert until is not None
    probe = attempt(schedule, until)
    deliver(schedule, DOMAIN, probe.letters, until)
    assert len(list(attempts(schedule, until))) == 10


def test_a_refused_connection_beside_working_ones_rests_nobody(schedule: Schedule) -> None:
    fill(schedule, DOMAIN, 1000)
    deliver(schedule, DOMAIN, attempt(schedule).letters)
    works = list(attempts(schedule))
    assert fail(schedule, works.pop(), NOW) is None
    assert schedule.more(DOMAIN, NOW, 1) == ()  # one too many now: the connection ends
    schedule.closed(DOMAIN, NOW)
    assert next(schedule.states()).failures == 0


def test_domains_take_turns(schedule: Schedule) -> None:
    """One with a thousand old letters, ready for many connections, does not come before all others."""
    fill(schedule, "big.example", 1000, NOW - HOUR)
    first = attempt(schedule)
    deliver(schedule, "big.example", first.letters)
    for other in ("one.example", "two.example"):
        fill(schedule, other, 1)
    turns = [work.domain for work in attempts(schedule, most=1)]
    assert {"one.example", "two.example"} < set(turns[:3])


def test_a_slowed_domain_gets_a_letter_a_pause(schedule: Schedule) -> None:
    fill(schedule, DOMAIN, 10)
    work = attempt(schedule, most=1)
    schedule.slowed(DOMAIN, NOW)
    assert schedule.more(DOMAIN, NOW, 10) == ()
    schedule.put_back(DOMAIN, work.letters[0].id, NOW)
    schedule.closed(DOMAIN, NOW)
    assert schedule.next_due() == NOW + 1
    assert len(attempt(schedule, NOW + 1).letters) == 1
    assert schedule.more(DOMAIN, NOW + 1.5, 10) == ()
    assert len(schedule.more(DOMAIN, NOW + 2, 10)) == 1


def test_a_resting_domain_is_not_forgotten_with_its_last_letter(schedule: Schedule) -> None:
    schedule.arrive(DOMAIN, name(1), NOW)
    until = fail(schedule, attempt(schedule), NOW)
    assert until is not None
    schedule.finish(DOMAIN, name(1), NOW)
    schedule.arrive(DOMAIN, name(2), NOW + 1)
    assert list(attempts(schedule, NOW + 1)) == []
    schedule.finish(DOMAIN, name(2), NOW + 2)
    assert list(attempts(schedule, until)) == []
    assert list(schedule.states()) == []


# --- the operator


def test_retry_makes_all_letters_due_and_ends_the_rest_of_the_domain(schedule: Schedule) -> None:
    letters = fill(schedule, DOMAIN, 3)
    work = attempt(schedule)
    for letter in work.letters:
        defer(schedule, DOMAIN, letter, NOW)
    schedule.failed(DOMAIN, "connection refused", NOW)
    assert list(attempts(schedule)) == []
    schedule.retry(DOMAIN, NOW)
    again = attempt(schedule)
    assert sorted(ids(again.letters)) == letters
    assert {letter.attempts for letter in again.letters} == {1}


def test_a_hurried_letter_that_is_deferred_again_waits_its_new_time(schedule: Schedule) -> None:
    """What the heap knows of its old time is no longer so."""
    schedule.arrive(DOMAIN, name(1), NOW)
    early = defer(schedule, DOMAIN, attempt(schedule).letters[0], NOW)
    schedule.closed(DOMAIN, NOW)
    schedule.retry(DOMAIN, NOW)
    late = defer(schedule, DOMAIN, attempt(schedule).letters[0], NOW)
    schedule.closed(DOMAIN, NOW)
    assert early < late
    assert list(attempts(schedule, late - 1)) == []
    assert len(list(attempts(schedule, late))) == 1


def test_retry_of_one_letter_or_of_a_reason(schedule: Schedule) -> None:
    fill(schedule, DOMAIN, 3)
    work = attempt(schedule)
    for letter, reason in zip(work.letters, ("mailbox-full", "greylisted", "mailbox-full"), strict=True):
        defer(schedule, DOMAIN, letter, NOW, reason)
    schedule.closed(DOMAIN, NOW)
    assert sorted(each.reason for each in schedule.waiting(DOMAIN)) == ["greylisted", *["mailbox-full"] * 2]
    schedule.retry(DOMAIN, NOW, reason="greylisted")
    assert ids(attempt(schedule).letters) == [work.letters[1].id]
    schedule.closed(DOMAIN, NOW)
    schedule.retry(DOMAIN, NOW, [work.letters[2].id])
    assert ids(attempt(schedule).letters) == [work.letters[2].id]


def test_a_letter_under_way_is_not_hurried_into_a_second_attempt(schedule: Schedule) -> None:
    schedule.arrive(DOMAIN, name(1), NOW)
    attempt(schedule)
    schedule.retry(DOMAIN, NOW)
    assert schedule.more(DOMAIN, NOW, 10) == ()


def test_a_held_letter_waits_for_its_release(schedule: Schedule) -> None:
    fill(schedule, DOMAIN, 2)
    first, second = attempt(schedule).letters
    schedule.hold(DOMAIN, first.id)
    schedule.put_back(DOMAIN, first.id, NOW)
    schedule.put_back(DOMAIN, second.id, NOW)
    schedule.closed(DOMAIN, NOW)
    schedule.retry(DOMAIN, NOW)
    assert ids(attempt(schedule).letters) == [second.id]
    schedule.release(DOMAIN, NOW, first.id)
    assert ids(schedule.more(DOMAIN, NOW, 10)) == [first.id]


def test_a_held_domain_waits_and_does_not_expire(schedule: Schedule) -> None:
    schedule.load(DOMAIN, [Found(name(i, NOW - 6 * DAY), int(NOW), 1) for i in range(2)], NOW)
    fail(schedule, attempt(schedule, most=1), NOW)
    schedule.hold(DOMAIN)
    assert schedule.take(NOW + DAY, 10) is None
    assert next(schedule.states()).is_held
    schedule.release(DOMAIN, NOW + DAY)
    assert schedule.take(NOW + DAY, 10) is not None


def test_a_letter_removed_by_hand_is_forgotten(schedule: Schedule) -> None:
    schedule.arrive(DOMAIN, name(1), NOW)
    schedule.finish(DOMAIN, name(1), NOW)
    schedule.finish(DOMAIN, name(1), NOW)
    schedule.finish("unknown.example", name(1), NOW)
    assert schedule.take(NOW, 10) is None
    assert list(schedule.states()) == []


def test_the_state_of_a_domain(schedule: Schedule) -> None:
    schedule.load(DOMAIN, [Found(name(i, NOW - HOUR * i), int(NOW) - 1, 1) for i in range(1, 5)], NOW)
    attempt(schedule, most=2)
    schedule.hold(DOMAIN, name(1, NOW - HOUR))
    until = schedule.failed(DOMAIN, "connection refused", NOW)
    state = next(schedule.states())
    assert (state.letters, state.out, state.held) == (4, 2, 1)
    assert (state.oldest, state.next_attempt) == (NOW - 4 * HOUR, until)
    assert (state.connections, state.window, state.failures, state.error) == (0, 1, 1, "connection refused")


def test_the_domains_of_a_letter(schedule: Schedule) -> None:
    for domain in ("one.example", "two.example"):
        schedule.arrive(domain, name(1), NOW)
    schedule.arrive("three.example", name(2), NOW)
    assert schedule.domains_of(name(1)) == ["one.example", "two.example"]
    assert schedule.knows("one.example", name(1))
    assert not schedule.knows("three.example", name(1))


# --- sizes


def test_a_letter_takes_less_than_400_octets() -> None:
    """All of them deferred once."""
    schedule = Schedule(RULES, Random(1))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for i in range(20):
            domain = f"d{i}.example"
            fill(schedule, domain, 1000)
            letters = next(iter(attempts(schedule, most=1000))).letters
            for letter in letters:
                defer(schedule, domain, letter, NOW)
        del letters
        assert (tracemalloc.get_traced_memory()[0] - before) / 20_000 < 400
    finally:
        tracemalloc.stop()


def test_heaps_do_not_grow_with_the_letters_that_passed_through(schedule: Schedule) -> None:
    """An old letter stays while thousands come and go."""
    schedule.arrive(DOMAIN, name(0), NOW)
    work = attempt(schedule)
    defer(schedule, DOMAIN, work.letters[0], NOW)
    for number in range(1, 2000):
        schedule.arrive(DOMAIN, f"{number:020d}", NOW)
        for letter in schedule.more(DOMAIN, NOW, 10):
            schedule.finish(DOMAIN, letter.id, NOW)
    heaps = schedule._domains[DOMAIN].letters
    assert len(heaps._heap) + len(heaps._ages) + len(heaps._warned) < 200


class AnyOrder(RuleBasedStateMachine):
    """Whatever is done in whatever order: no letter is lost, none is out twice, and `take` ends."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = Schedule(RULES, Random(1))
        self.now = NOW
        self.count = 0
        self.there: set[tuple[str, str]] = set()
        self.out: dict[tuple[str, str], Letter] = {}
        self.open: list[str] = []

    domains = st.sampled_from(["a.example", "b.example"])

    @rule(domain=domains, number=st.integers(1, 15))
    def arrive(self, domain: str, number: int) -> None:
        for _ in range(number):
            self.count += 1
            self.there.add((domain, f"{self.count:020d}"))
            self.schedule.arrive(domain, f"{self.count:020d}", self.now)

    @rule(seconds=st.sampled_from([0.1, 1.0, 60.0, 400.0, 5000.0, 20000.0, 2 * DAY]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(most=st.integers(1, 5))
    def take(self, most: int) -> None:
        work = self.schedule.take(self.now, most)
        if work is not None:
            self.hand_out(work.domain, work.letters)
            if isinstance(work, Attempt):
                self.open.append(work.domain)

    def hand_out(self, domain: str, letters: tuple[Letter, ...]) -> None:
        for letter in letters:
            assert (domain, letter.id) in self.there
            assert (domain, letter.id) not in self.out
            self.out[domain, letter.id] = letter

    @rule(data=st.data(), what=st.sampled_from(["finish", "defer", "put back", "hold"]))
    def answer(self, data: st.DataObject, what: str) -> None:
        if not self.out:
            return
        domain, letter = key = data.draw(st.sampled_from(sorted(self.out)))
        del self.out[key]
        if what == "finish":
            self.there.remove(key)
            self.schedule.finish(domain, letter, self.now)
        elif what == "defer":
            plan = self.schedule.plan(domain, letter, self.now)
            self.schedule.defer(domain, letter, plan, "deferred", self.now)
        elif what == "put back":
            self.schedule.put_back(domain, letter, self.now)
        else:
            self.schedule.hold(domain, letter)

    @rule(data=st.data(), what=st.sampled_from(["succeeded", "slowed", "closed", "failed", "more"]))
    def connection(self, data: st.DataObject, what: str) -> None:
        if not self.open:
            return
        domain = data.draw(st.sampled_from(self.open))
        if what == "succeeded":
            self.schedule.succeeded(domain, self.now)
        elif what == "slowed":
            self.schedule.slowed(domain, self.now)
        elif what == "more":
            self.hand_out(domain, self.schedule.more(domain, self.now, 3))
        else:
            self.open.remove(domain)
            if what == "closed":
                self.schedule.closed(domain, self.now)
            else:
                self.schedule.failed(domain, "lost", self.now)

    @rule(domain=domains)
    def retry(self, domain: str) -> None:
        self.schedule.retry(domain, self.now)

    @rule(domain=domains, held=st.booleans())
    def hold_domain(self, domain: str, held: bool) -> None:
        if held:
            self.schedule.hold(domain)
        else:
            self.schedule.release(domain, self.now)

    @invariant()
    def all_letters_are_known(self) -> None:
        assert len(self.schedule) == len(self.there)
        assert all(self.schedule.is_out(*key) for key in self.out)
        assert sum(state.out for state in self.schedule.states()) == len(self.out)
        assert sum(state.connections for state in self.schedule.states()) == len(self.open)

    def teardown(self) -> None:
        """When all works again, every letter goes."""
        for domain, letter in self.out:
            self.schedule.put_back(domain, letter, self.now)
        for domain in self.open:
            self.schedule.closed(domain, self.now)
        for domain in {domain for domain, _ in self.there}:
            self.schedule.release(domain, self.now)
            for held in self.schedule.letters(domain):
                self.schedule.release(domain, self.now, held.id)
            self.schedule.retry(domain, self.now)
        for _ in range(10_000):
            work = self.schedule.take(self.now, 5)
            if isinstance(work, Attempt):
                deliver(self.schedule, work.domain, work.letters, self.now)
                self.schedule.closed(work.domain, self.now)
            elif work is not None:
                for overdue in work.letters:
                    self.schedule.finish(work.domain, overdue.id, self.now)
            elif (due := self.schedule.next_due()) is not None:
                self.now = max(self.now, due)
            else:
                break
        assert len(self.schedule) == 0


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=200, deadline=None, derandomize=True)
