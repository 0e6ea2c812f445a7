"""The bench's own arithmetic: a wrong figure looks just like a right one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.protocol.pop3.text import added_octets
from mta.store import Store
from tests.bench import pop3, processes
from tests.bench.generator import Load
from tests.bench.reception import LOADS, Run, median
from tests.bench.report import ratio, table


def test_a_table_reads_as_text_and_as_markdown() -> None:
    assert table(["load", "msg/s"], [["64 sessions", "812"], ["1", "9,001"]]) == (
        "| load        | msg/s |\n"
        "| ----------- | ----: |\n"
        "| 64 sessions |   812 |\n"
        "| 1           | 9,001 |\n"
    )  # fmt: skip


def test_a_ratio_needs_both_sides() -> None:
    assert ratio({"mta": 4000.0, "Postfix": 500.0}, "mta", "Postfix") == "8.0"
    assert ratio({"mta": 4000.0}, "mta", "Postfix") == "-"


def test_medians_are_taken_column_by_column() -> None:
    assert median([Run(1, 30), Run(2, 10), Run(3, 20)]) == Run(2, 20)


@pytest.mark.parametrize("load", [asked.load for asked in LOADS], ids=lambda load: load.name)
@pytest.mark.parametrize("factor", [1.0, 0.1, 0.001])
def test_generators_send_exactly_what_is_waited_for(load: Load, factor: float) -> None:
    short = load.scaled(factor)
    assert short.messages % short.generators == 0
    assert short.sessions % short.generators == 0
    assert short.messages // short.generators in {short.messages, short.mailboxes}
    assert short.messages >= short.sessions


SPENDTHRIFT = """
import os, subprocess, sys, time
burn = "import time\\nwhile time.process_time() < 0.3: pass"
subprocess.run([sys.executable, "-c", burn], check=True)
live = "print('alive', flush=True); input()"
with subprocess.Popen([sys.executable, "-c", live], stdin=subprocess.PIPE):
    input()
"""
"""Has a child that has used 0.3 s and ended, then one that lives; both count."""


@pytest.fixture
def spendthrift() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", SPENDTHRIFT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"alive\n"
        yield process.pid
        process.kill()


def test_a_server_is_all_of_its_processes(spendthrift: int) -> None:
    assert spendthrift in processes.tree(spendthrift)
    assert len(processes.tree(spendthrift)) == 2
    assert processes.cpu_seconds(spendthrift) >= 0.3
    assert processes.proportional_octets(spendthrift) > 1_000_000
    assert processes.peak_octets(spendthrift) > 1_000_000


def test_maildirs_for_pop3_are_what_they_are_called(tmp_path: Path) -> None:
    pop3.fill(tmp_path, 0.001)
    store = Store(tmp_path, host="mx.example.org", commits=False)

    for user, messages in (("large", 1), ("small", 2), ("many", 100), ("session1", 0)):
        drop = store.open_maildrop(user)
        assert len(drop.sizes) == messages
        for position, size in enumerate(drop.sizes):
            message = drop.open(position)
            assert size == message.octets + added_octets([message.read(0, message.octets)])
            message.close()
        drop.close()
    store.close()
