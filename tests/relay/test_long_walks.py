"""What an operator asks of a long queue is answered in slices, between which the loop takes its turns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mta.identifier import derived
from mta.relay.requests.desk import QueueDesk
from mta.relay.schedule import Attempt, Found, Rules, Schedule
from tests.relay.queued import store

NOW = 1_800_000_000.0
LETTERS = 25_000
RULES = Rules(retry=(300.0,), expire=432_000.0, warn=0.0, connections=20)
DOMAIN = "b.example"


class Nobody:
    """An office where nothing needs to be done."""

    def resume(self, entry: object) -> None: ...
    def forget(self, domain: str) -> None: ...
    def rescan(self) -> None: ...


@pytest.fixture
def schedule() -> Schedule:
    made = Schedule(RULES, Random(1))
    letters = (Found(derived(NOW, str(number)), int(NOW) + 500, 0) for number in range(LETTERS))
    made.load(DOMAIN, letters, NOW)
    return made


def slices(desk: QueueDesk, meanwhile: Callable[[], object], **request: object) -> tuple[int, dict[str, Any]]:
    """How many turns the answer takes, and the answer; `meanwhile` is done in each."""
    errand, result, turns = desk.answer(request), None, 0
    while True:
        try:
            step = errand.send(result)
        except StopIteration as end:
            return turns, end.value
        result, turns = step.work(), turns + 1
        meanwhile()


def take_some(schedule: Schedule) -> None:
    """As couriers do meanwhile: letters go out, and are delivered."""
    work = schedule.take(NOW, 16)
    if isinstance(work, Attempt):
        for letter in work.letters:
            schedule.finish(work.domain, letter.id, NOW)
        schedule.closed(work.domain, NOW)


@pytest.mark.parametrize(
    ("request_", "least"), [({"request": "why"}, 5), ({"request": "retry", "all": True}, 25)], ids=str
)
def test_a_long_walk_takes_many_turns_and_minds_no_change(
    schedule: Schedule, tmp_path: Path, request_: dict[str, object], least: int
) -> None:
    desk = QueueDesk(schedule, store(tmp_path).queue, lambda: NOW, Nobody())
    turns, answer = slices(desk, lambda: take_some(schedule), **request_)
    assert turns >= least
    assert answer["status"] == 0
    counted = answer["letters"] if "letters" in answer else sum(each["letters"] for each in answer["groups"])
    assert LETTERS - 16 * turns <= counted <= LETTERS


def test_domains_are_walked_through_in_slices_too(tmp_path: Path) -> None:
    schedule = Schedule(RULES, Random(1))
    for number in range(3000):
        schedule.arrive(f"d{number}.example", derived(NOW, str(number)), NOW)
    desk = QueueDesk(schedule, store(tmp_path).queue, lambda: NOW, Nobody())
    turns, answer = slices(desk, lambda: None, request="stats")
    assert turns == 3
    assert len(answer["domains"]) == 3000
