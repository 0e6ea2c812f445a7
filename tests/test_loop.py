"""The poll loop: who is called, when, and who must not be called any more."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import pytest

from mta.loop import GONE, READ, WRITE, Loop


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Ends:
    """Pipes that are closed at the end of the test."""

    stack: ExitStack = field(default_factory=ExitStack)

    def pipe(self) -> tuple[int, int]:
        reading, writing = os.pipe2(os.O_NONBLOCK)
        self.stack.callback(_close, reading)
        self.stack.callback(_close, writing)
        return reading, writing

    def ready(self) -> int:
        """A descriptor that has something to read."""
        reading, writing = self.pipe()
        os.write(writing, b"x")
        return reading


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        return  # the test has closed it itself


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop(clock: Clock) -> Iterator[Loop]:
    loop = Loop(clock)
    yield loop
    loop.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    with ends.stack:
        yield ends


# descriptors, both the few (watch) and the many (add)


@pytest.mark.parametrize("enter", ["watch", "add"])
def test_a_handler_hears_what_is_ready_and_nothing_else(loop: Loop, ends: Ends, enter: str) -> None:
    reading, writing = ends.pipe()
    heard: list[int] = []
    getattr(loop, enter)(reading, heard.append)
    loop.turn()
    assert heard == []
    os.write(writing, b"x")
    loop.turn()
    assert heard == [READ]


@pytest.mark.parametrize("enter", ["watch", "add"])
def test_what_is_not_read_is_told_again(loop: Loop, ends: Ends, enter: str) -> None:
    heard: list[int] = []
    getattr(loop, enter)(ends.ready(), heard.append)
    loop.turn()
    loop.turn()
    assert heard == [READ, READ]


@pytest.mark.parametrize("enter", ["watch", "add"])
def test_the_end_of_the_peer_is_told_unasked(loop: Loop, ends: Ends, enter: str) -> None:
    reading, writing = ends.pipe()
    heard: list[int] = []
    getattr(loop, enter)(reading, heard.append, 0)
    os.close(writing)
    loop.turn()
    assert len(heard) == 1
    assert heard[0] & GONE


def test_watching_again_changes_handler_and_interest(loop: Loop, ends: Ends) -> None:
    _, writing = ends.pipe()
    first: list[int] = []
    second: list[int] = []
    loop.watch(writing, first.append)
    loop.watch(writing, second.append, READ | WRITE)
    loop.turn()
    assert (first, second) == ([], [WRITE])


def test_modify_changes_the_interest(loop: Loop, ends: Ends) -> None:
    _, writing = ends.pipe()
    heard: list[int] = []
    loop.add(writing, heard.append)
    loop.turn()
    loop.modify(writing, READ | WRITE)
    loop.turn()
    assert heard == [WRITE]


def test_who_is_forgotten_is_not_called(loop: Loop, ends: Ends) -> None:
    few, many = ends.ready(), ends.ready()
    loop.watch(few, _must_not_be_called)
    loop.add(many, _must_not_be_called)
    loop.unwatch(few)
    loop.remove(many)
    loop.turn()


def test_unwatching_a_stranger_is_no_error(loop: Loop) -> None:
    loop.unwatch(12345)


@pytest.mark.parametrize(("enter", "leave"), [("watch", "unwatch"), ("add", "remove")])
def test_who_is_forgotten_during_the_turn_is_not_called(
    loop: Loop, ends: Ends, enter: str, leave: str
) -> None:
    both = [ends.ready(), ends.ready()]
    heard: list[int] = []

    def forget_all(_events: int) -> None:
        heard.append(1)
        for fd in both:
            getattr(loop, leave)(fd)

    for fd in both:
        getattr(loop, enter)(fd, forget_all)
    loop.turn()
    assert heard == [1]


@pytest.mark.parametrize(("enter", "leave"), [("watch", "unwatch"), ("add", "remove")])
def test_a_new_owner_of_a_number_does_not_hear_the_old_ones_events(
    loop: Loop, ends: Ends, enter: str, leave: str
) -> None:
    """The number is closed and in use again before its event is served."""
    both = [ends.ready(), ends.ready()]

    def replace_the_other(fd: int) -> None:
        other = both[1 - both.index(fd)]
        getattr(loop, leave)(other)
        silent, _ = ends.pipe()
        os.dup2(silent, other)
        getattr(loop, enter)(other, _must_not_be_called)

    for fd in both:
        getattr(loop, enter)(fd, lambda _events, fd=fd: replace_the_other(fd))
    loop.turn()


def test_a_handler_may_add_others(loop: Loop, ends: Ends) -> None:
    heard: list[str] = []
    late = ends.ready()
    first = ends.ready()

    def add_one(_events: int) -> None:
        loop.remove(first)
        loop.add(late, lambda _events: heard.append("late"))

    loop.add(first, add_one)
    loop.turn()
    loop.turn()
    assert heard == ["late"]


# timers


def test_timers_run_in_the_order_of_their_time_then_of_their_setting(loop: Loop, clock: Clock) -> None:
    ran: list[str] = []
    for when, name in ((1003, "d"), (1001, "a"), (1002, "b"), (1002, "c")):
        loop.call_at(when, partial(ran.append, name))
    loop.turn()
    assert ran == []
    clock.now = 1002
    loop.turn()
    assert ran == ["a", "b", "c"]


def test_call_later_counts_from_now(loop: Loop, clock: Clock) -> None:
    ran: list[str] = []
    loop.call_later(5, lambda: ran.append("x"))
    clock.now = 1004.999
    loop.turn()
    assert ran == []
    clock.now = 1005
    loop.turn()
    assert ran == ["x"]


def test_a_cancelled_timer_does_not_run(loop: Loop, clock: Clock) -> None:
    timer = loop.call_later(1, lambda: _must_not_be_called(0))
    timer.cancel()
    timer.cancel()
    clock.now += 1
    loop.turn()


def test_a_timer_may_cancel_another_that_is_due(loop: Loop, clock: Clock) -> None:
    second = loop.call_at(1002, lambda: _must_not_be_called(0))
    loop.call_at(1001, second.cancel)
    clock.now = 1002
    loop.turn()


def test_a_timer_that_sets_itself_again_for_now_waits_for_the_next_turn(loop: Loop) -> None:
    ran: list[int] = []

    def again() -> None:
        ran.append(loop.turns)
        loop.call_later(0, again)

    again()
    loop.turn()
    loop.turn()
    assert ran == [0, 0, 1]


def test_run_sleeps_until_the_next_timer_and_not_for_a_cancelled_one() -> None:
    loop = Loop()
    loop.call_later(0.001, lambda: _must_not_be_called(0)).cancel()
    loop.call_later(0.002, loop.stop)
    loop.run()
    # Waiting for the cancelled one would have been a turn of its own, a busy loop many.
    assert loop.turns == 1
    loop.close()


# from outside


def test_posted_actions_run_in_the_loops_thread_in_order(loop: Loop) -> None:
    ran: list[tuple[int, int]] = []

    def note(n: int) -> None:
        ran.append((n, threading.get_ident()))

    def post_three() -> None:
        for n in range(3):
            loop.post(partial(note, n))
        loop.post(loop.stop)

    thread = threading.Thread(target=post_three)
    thread.start()
    loop.run()
    thread.join()
    assert ran == [(n, threading.get_ident()) for n in range(3)]


def test_what_a_posted_action_posts_is_for_the_next_turn(loop: Loop) -> None:
    ran: list[int] = []

    def again() -> None:
        ran.append(loop.turns)
        loop.post(again)

    loop.post(again)
    loop.turn()
    loop.turn()
    assert ran == [0, 1]


def test_stop_ends_run_after_the_turn_and_run_can_be_called_again(loop: Loop, ends: Ends) -> None:
    ran: list[str] = []
    loop.at_end_of_turn(lambda: ran.append("end of turn"))
    loop.watch(ends.ready(), lambda _events: loop.stop())
    loop.run()
    loop.run()
    assert ran == ["end of turn"] * 2


def test_the_end_of_a_turn_comes_after_everything_else(loop: Loop, ends: Ends) -> None:
    ran: list[str] = []
    loop.at_end_of_turn(lambda: ran.append("end"))
    loop.call_later(0, lambda: ran.append("timer"))
    loop.post(lambda: ran.append("posted"))
    loop.watch(ends.ready(), lambda _events: ran.append("few"))
    loop.add(ends.ready(), lambda _events: ran.append("many"))
    loop.turn()
    assert sorted(ran[:3]) == ["few", "many", "posted"]
    assert ran[3:] == ["timer", "end"]


def _must_not_be_called(_events: int) -> None:
    raise AssertionError("somebody who was forgotten has been called")


def test_the_longest_turn_is_remembered_without_its_waiting(loop: Loop, clock: Clock) -> None:
    def works(seconds: float) -> None:
        clock.now += seconds

    for seconds in (0.5, 2.0, 1.0):
        loop.post(partial(works, seconds))
        loop.turn()
        clock.now += 10.0  # asleep
    assert loop.longest == 2.0
    loop.longest = 0.0
    loop.turn()
    assert loop.longest == 0.0


def test_while_it_rests_the_many_wait_and_the_few_and_the_timers_do_not(loop: Loop, ends: Ends) -> None:
    served: list[str] = []
    loop.add(ends.ready(), lambda _events: served.append("session"))
    loop.watch(ends.ready(), lambda _events: served.append("listener"))
    loop.rest()
    loop.put_off(lambda: served.append("put off"))
    loop.call_later(0, lambda: served.append("timer"))
    loop.turn(0)
    assert served == ["listener", "timer"]
    loop.go_on()
    loop.turn(0)
    assert sorted(served[2:]) == ["listener", "put off", "session"]
