"""/health: processes that turn, and one that does not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from mta.counters import TURNS, Counters
from mta.metrics.health import PATIENCE, WATCHED, Health


@pytest.fixture
def counters() -> Iterator[Counters]:
    made = Counters.create()
    yield made
    os.close(made.fd)


def turn(counters: Counters, *roles: str) -> None:
    for role in roles:
        counters.row(role).add(TURNS)


def test_all_turn(counters: Counters) -> None:
    health = Health(counters, 100.0)
    turn(counters, *WATCHED)
    answer = health.page(100.0 + 2 * PATIENCE)
    assert answer.status == 200
    assert json.loads(answer.content) == {
        "healthy": True,
        "hanging": [],
        "seconds_since_turn": dict.fromkeys(WATCHED, 0.0),
    }


def test_one_hangs_and_is_named_until_it_turns_again(counters: Counters) -> None:
    health = Health(counters, 100.0)
    turn(counters, "supervisor", "relay", "logger")
    answer = health.page(101.0 + PATIENCE)
    assert answer.status == 503
    told = json.loads(answer.content)
    assert (told["healthy"], told["hanging"]) == (False, ["receiver"])
    assert told["seconds_since_turn"]["receiver"] == 1.0 + PATIENCE
    turn(counters, "receiver")
    assert health.page(102.0 + PATIENCE).status == 200


def test_a_look_between_two_pages_counts(counters: Counters) -> None:
    health = Health(counters, 100.0)
    turn(counters, *WATCHED)
    health.look(100.0 + PATIENCE)
    assert health.page(100.0 + 2 * PATIENCE).status == 200
    assert health.page(100.1 + 2 * PATIENCE).status == 503
