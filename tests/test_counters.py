"""Counters: what one process adds, another reads; what a dead one leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mta.counters import (
    CATALOGUE,
    COMMITS,
    CONNECTIONS_TOTAL,
    LONGEST_TURN,
    MAIL_SERVICES,
    OCTETS_ACCEPTED,
    QUEUE_LETTERS,
    ROLES,
    TURNS,
    Counters,
    ForeignCounters,
    Peak,
)


@pytest.fixture
def counters() -> Iterator[Counters]:
    counters = Counters.create()
    yield counters
    os.close(counters.fd)


def test_all_begin_at_zero(counters: Counters) -> None:
    assert [counters.total(counter) for counter in CATALOGUE] == [0] * len(CATALOGUE)


def test_a_row_adds_subtracts_and_sets(counters: Counters) -> None:
    row = counters.row("receiver")
    row.add(QUEUE_LETTERS)
    row.add(QUEUE_LETTERS, 4)
    row.sub(QUEUE_LETTERS, 2)
    row.set(OCTETS_ACCEPTED, 1 << 40)
    assert (row.get(QUEUE_LETTERS), row.get(OCTETS_ACCEPTED)) == (3, 1 << 40)


def test_the_cells_are_those_of_the_row(counters: Counters) -> None:
    row = counters.row("receiver")
    row.cells[TURNS.index] += 1
    assert row.get(TURNS) == 1


def test_every_cell_of_the_grid_is_one_of_its_own(counters: Counters) -> None:
    for number, role in enumerate(ROLES):
        for counter in CATALOGUE:
            counters.row(role).set(counter, 1000 * number + counter.index)
    for number, role in enumerate(ROLES):
        row = counters.row(role)
        assert [row.get(counter) for counter in CATALOGUE] == [1000 * number + c.index for c in CATALOGUE]


def test_a_total_is_the_sum_over_all_rows(counters: Counters) -> None:
    for n, role in enumerate(ROLES, start=1):
        counters.row(role).add(COMMITS, n)
    assert counters.total(COMMITS) == sum(range(1, len(ROLES) + 1))


def test_a_gauge_below_zero_shows_and_does_not_raise(counters: Counters) -> None:
    counters.row("receiver").sub(QUEUE_LETTERS)
    assert counters.total(QUEUE_LETTERS) == -1


def test_of_the_dead_only_the_gauges_are_cleared(counters: Counters) -> None:
    for role in ("receiver", "relay"):
        counters.row(role).add(QUEUE_LETTERS, 7)
        counters.row(role).add(COMMITS, 7)
    counters.clear_gauges("receiver")
    assert counters.total(QUEUE_LETTERS) == 7
    assert counters.total(COMMITS) == 14


def test_an_unknown_role_has_no_row(counters: Counters) -> None:
    with pytest.raises(ValueError, match="not in"):
        counters.row("nobody")


def test_another_process_counts_in_the_same_memory(counters: Counters) -> None:
    program = (
        "import sys; from mta.counters import *;"
        "Counters.attach(int(sys.argv[1])).row('receiver').add(COMMITS, 5)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(counters.fd)]
    subprocess.run(command, pass_fds=[counters.fd], env=environment, check=True)
    counters.row("receiver").add(COMMITS)
    assert counters.total(COMMITS) == 6


def test_memory_of_another_size_is_refused() -> None:
    fd = os.memfd_create("other")
    with pytest.raises(ForeignCounters):
        Counters.attach(fd)
    os.close(fd)


def test_memory_of_another_version_is_refused(counters: Counters) -> None:
    os.pwrite(counters.fd, bytes(8), 0)
    with pytest.raises(ForeignCounters):
        Counters.attach(counters.fd)


def test_the_catalogue_is_in_order_and_explains_itself() -> None:
    assert [counter.index for counter in CATALOGUE] == list(range(len(CATALOGUE)))
    assert len({counter.key for counter in CATALOGUE}) == len(CATALOGUE)
    assert all(counter.unit and counter.help.endswith(".") for counter in CATALOGUE)


def test_a_sum_over_some_values_of_a_label(counters: Counters) -> None:
    for number, service in enumerate(CONNECTIONS_TOTAL):
        counters.row("receiver").add(CONNECTIONS_TOTAL[service], 10**number)
    assert counters.sum(CONNECTIONS_TOTAL, *MAIL_SERVICES) == 1111
    assert counters.sum(CONNECTIONS_TOTAL) == 11111111


def test_the_columns_of_a_family_have_keys_of_their_own() -> None:
    assert CONNECTIONS_TOTAL["smtp"].key == "connections.smtp"
    assert TURNS.key == "loop_turns"


def test_a_peak_shows_the_largest_of_the_last_minute_or_two(counters: Counters) -> None:
    row = counters.row("receiver")
    peak = Peak(row, LONGEST_TURN)
    seen = []
    for clock, value in [(0, 5), (1, 3), (61, 1), (62, 7), (63, 2), (122, 0), (183, 0), (400, 4), (1000, 1)]:
        peak.note(value, float(clock))
        seen.append(row.get(LONGEST_TURN))
    assert seen == [5, 5, 5, 7, 7, 7, 0, 4, 1]
