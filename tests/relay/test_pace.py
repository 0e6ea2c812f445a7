"""The pace of a domain: wider after success, narrower after failure, slower when asked."""

from __future__ import annotations

from random import Random

import pytest

from mta.relay.pace import Pace, later

STEPS = (300.0, 900.0, 1800.0)
NOW = 1000.0


@pytest.fixture
def pace() -> Pace:
    return Pace()


def widen(pace: Pace, letters: int, limit: int = 20) -> None:
    for _ in range(letters):
        pace.succeed(limit)


@pytest.mark.parametrize(
    ("count", "least", "most"), [(1, 270, 330), (2, 810, 990), (3, 1620, 1980), (50, 1620, 1980)]
)
def test_steps_have_a_tenth_of_jitter_and_the_last_one_repeats(count: int, least: int, most: int) -> None:
    random = Random(1)
    pauses = [later(STEPS, count, random) for _ in range(1000)]
    assert least <= min(pauses) < least * 1.02
    assert most * 0.98 < max(pauses) <= most


def test_the_first_connection_is_alone(pace: Pace) -> None:
    assert pace.admits(20)
    pace.open = 1
    assert not pace.admits(20)


def test_each_success_admits_one_more_up_to_the_limit(pace: Pace) -> None:
    widen(pace, 3)
    assert int(pace.window) == 4
    widen(pace, 100)
    assert int(pace.window) == 20


def test_a_lower_limit_acts_at_once(pace: Pace) -> None:
    widen(pace, 19)
    pace.open = 5
    assert pace.admits(20)
    assert not pace.admits(5)
    assert pace.keeps_open(NOW, 5)
    assert not pace.keeps_open(NOW, 4)


def test_one_failure_beside_working_connections_halves_the_window(pace: Pace) -> None:
    widen(pace, 19)
    pace.open = 10
    assert not pace.fail(NOW, STEPS, Random(1))
    assert (pace.window, pace.failures, pace.resume) == (10, 0, 0)


def test_after_trouble_the_window_grows_by_one_a_windowful(pace: Pace) -> None:
    widen(pace, 19)
    pace.open = 10
    pace.fail(NOW, STEPS, Random(1))
    widen(pace, 10)
    assert 10 < pace.window <= 11


def test_a_second_failure_without_a_success_between_is_the_domain_s(pace: Pace) -> None:
    widen(pace, 19)
    pace.open = 10
    pace.fail(NOW, STEPS, Random(1))
    assert pace.fail(NOW, STEPS, Random(1))
    assert pace.window == 1


def test_failures_of_the_domain_take_longer_and_longer_rests(pace: Pace) -> None:
    rests = []
    now = NOW
    for _ in range(4):
        assert pace.fail(now, STEPS, Random(1))
        rests.append(pace.resume - now)
        now = pace.resume
    assert [round(rest / 300) for rest in rests] == pytest.approx([1, 3, 6, 6], abs=1)
    assert pace.failures == 4


def test_connections_that_fail_together_are_one_failure(pace: Pace) -> None:
    pace.fail(NOW, STEPS, Random(1))
    resume = pace.resume
    assert pace.fail(NOW + 1, STEPS, Random(1))
    assert (pace.failures, pace.resume) == (1, resume)


def test_a_success_ends_the_rest(pace: Pace) -> None:
    pace.fail(NOW, STEPS, Random(1))
    pace.succeed(20)
    assert (pace.failures, pace.resume) == (0, 0)


def test_whoever_asks_for_less_gets_one_letter_at_a_time_with_pauses(pace: Pace) -> None:
    widen(pace, 19)
    pace.slow(NOW)
    assert (pace.window, pace.pause, pace.resume) == (10, 1, NOW + 1)
    assert not pace.keeps_open(NOW, 20)
    pace.sent(NOW + 1)
    assert pace.resume == NOW + 2


def test_a_batch_of_refusals_is_one_wish(pace: Pace) -> None:
    for _ in range(10):
        pace.slow(NOW)
    assert pace.pause == 1


def test_pauses_double_to_five_minutes(pace: Pace) -> None:
    now, pauses = NOW, []
    for _ in range(12):
        pace.slow(now)
        pauses.append(pace.pause)
        now = pace.resume
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


@pytest.mark.parametrize(("asked", "letters"), [(1, 12), (12, 37)])
def test_steady_success_ends_the_pauses(pace: Pace, asked: int, letters: int) -> None:
    now = NOW
    for _ in range(asked):
        pace.slow(now)
        now = pace.resume
    widen(pace, letters - 1)
    assert pace.pause > 0
    widen(pace, 1)
    assert pace.pause == 0
