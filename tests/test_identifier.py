"""Identifiers: never the same twice, fit for a file name, and the time in them can be read again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from freezegun import freeze_time

from mta.identifier import LENGTH, PATTERN, Identifiers, made_at


def test_identifiers_differ_and_have_the_one_form() -> None:
    identifiers = Identifiers()
    made = [identifiers.next() for _ in range(10_000)]
    assert len(set(made)) == len(made)
    assert all(len(name) == LENGTH and PATTERN.fullmatch(name) for name in made)


def test_they_sort_by_age() -> None:
    identifiers = Identifiers()
    with freeze_time("2026-07-01") as clock:
        made = []
        for _ in range(100):
            made.append(identifiers.next())
            clock.tick(0.001)
    assert made == sorted(made)


@pytest.mark.parametrize("seconds", [1_577_836_800.0, 1_767_225_600.123, 2_500_000_000.999])
def test_the_time_in_one_can_be_read(seconds: float) -> None:
    with freeze_time() as clock:
        clock.move_to(datetime.fromtimestamp(seconds, UTC))
        name = Identifiers().next()
    assert made_at(name) == pytest.approx(seconds, abs=0.001)


@pytest.mark.parametrize("name", ["", "w" * 20, "0000000z" + "0" * 12, "letter"])
def test_a_name_that_is_not_ours_tells_no_time(name: str) -> None:
    assert made_at(name) is None
