"""The hour of an account."""

from __future__ import annotations

import pytest

from mta.server.smtp import hourly
from mta.server.smtp.hourly import Hourly
from tests.policy.book import account

ANNA, BERT = account("anna@local.example"), account("bert@local.example")
HOUR = 3600


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hours(clock: Clock) -> Hourly:
    made = Hourly(clock)
    made.messages, made.recipients = 10, 100
    return made


def test_each_account_has_its_own(hours: Hourly) -> None:
    hours.add(ANNA, messages=10)
    assert hours.lack_of_messages(ANNA) is not None
    assert hours.lack_of_recipients(ANNA) is None
    assert hours.lack_of_messages(BERT) is None


def test_never_more_than_the_bound_in_any_hour(hours: Hourly, clock: Clock) -> None:
    sent: list[float] = []
    for _ in range(500):
        clock.now += 97.0
        if hours.lack_of_messages(ANNA) is None:
            hours.add(ANNA, messages=1)
            sent.append(clock.now)
        assert sum(when > clock.now - HOUR for when in sent) <= 10
    assert len(sent) > 100


def test_the_refusal_tells_when_to_come_back(hours: Hourly, clock: Clock) -> None:
    hours.add(ANNA, recipients=100)
    refusal = hours.lack_of_recipients(ANNA)
    assert refusal is not None
    assert refusal.text.startswith("452 4.7.1 100 recipients in an hour")
    minutes = int(refusal.text.rpartition(" in ")[2].split()[0])
    clock.now += minutes * 60
    assert hours.lack_of_recipients(ANNA) is None


def test_a_bound_that_was_lowered_counts_at_once(hours: Hourly) -> None:
    hours.add(ANNA, messages=5)
    hours.messages = 5
    assert hours.lack_of_messages(ANNA) is not None


def test_only_so_many_accounts_are_remembered(hours: Hourly, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hourly, "_MOST", 3)
    crowd = [account(f"u{number}@local.example", id=number) for number in range(10)]
    for each in crowd:
        hours.add(each, messages=10)
    assert [hours.lack_of_messages(each) is None for each in crowd] == [True] * 7 + [False] * 3
