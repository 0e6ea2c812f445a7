"""A million letters in the queue, over a thousand domains, all of them deferred once. Only when it is named.

Start-up: seconds from the start of the server, the page cache being empty, until a letter that lay there
untried has reached the next hop: the relay sends nothing before it has read all names.
Memory: proportional set size of the relay beyond that of one whose queue is empty, per letter.
A turn: microseconds of the schedule for a letter that arrives, is taken, fails and is deferred.
Reception: rate into a mailbox beside an empty queue and beside this one, by turns.
"""

from __future__ import annotations

import os
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from mta.relay.schedule import Attempt, Found, Rules, Schedule
from tests.bench import processes, tree
from tests.bench.generator import Load
from tests.bench.reception import measure
from tests.bench.report import Bench, table
from tests.bench.servers import Mta
from tests.bench.sink import sink

NAME = "million"
LETTERS = 1_000_000
DOMAINS = 1_000
LOAD = Load("64 sessions, 4 KB", sessions=64, messages=4000)
TURNS = 20_000
CACHES = Path("/proc/sys/vm/drop_caches")

_RELAY = "mta.relay"
_RULES = Rules(retry=(300.0, 14_400.0), expire=432_000.0, warn=0.0, connections=20)


def section(bench: Bench) -> str:
    """Start-up, memory, turns and reception."""
    if not any(word in NAME for word in bench.only):
        return ""
    letters = int(LETTERS * bench.scale)
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(TemporaryDirectory(dir=bench.folder))) for _ in range(2)]
        empty, full = map(Mta, folders)
        bench.say(f"million: making {letters:,} letters")
        tree.defer(full.mail, DOMAINS, letters // DOMAINS)
        stack.enter_context(empty.running())
        bench.say("million: start-up")
        seconds = start(full, stack)
        octets = (_octets(full) - _octets(empty)) / letters
        rates = [_rates(bench, empty, full, turn) for turn in range(bench.runs)]
    beside_empty, beside_full = (statistics.median(column) for column in zip(*rates, strict=True))
    rows = [
        ["start-up with cold caches, s", f"{seconds:.1f}", "under 15"],
        ["memory of the relay per letter, octets", f"{octets:.0f}", "under 400"],
        ["a turn with 1,000 letters, µs", f"{turn(1_000):.1f}", ""],
        [f"a turn with {letters:,} letters, µs", f"{turn(letters):.1f}", "about the same"],
        ["reception beside an empty queue, msg/s", f"{beside_empty:,.0f}", ""],
        ["reception beside this one, msg/s", f"{beside_full:,.0f}", "at most a tenth less"],
    ]
    return f"## {letters:,} letters deferred\n\n{table(['what', 'measured', 'asked'], rows)}"


def start(server: Mta, stack: ExitStack) -> float:
    """Start it with nothing of its tree in memory; seconds until it has sent a letter."""
    tree.queue(server.mail, "fresh.example")
    taker = stack.enter_context(sink(server.next_hop, server.folder))
    os.sync()
    if os.access(CACHES, os.W_OK):
        CACHES.write_text("3")
    began = time.perf_counter()
    stack.enter_context(server.running())
    return taker.await_taken(1) - began


def turn(letters: int) -> float:
    """Microseconds of one letter's way through a schedule that holds so many others."""
    schedule = Schedule(_RULES, Random(1))
    share = letters // DOMAINS or 1
    for number in range(letters // share):
        found = (Found(f"{number:010}{each:010}", 10_000, 1) for each in range(share))
        schedule.load(f"d{number}.example", found, 0.0)
    began = time.perf_counter()
    for number in range(TURNS):
        _turn(schedule, f"d{number % DOMAINS}.example", f"z{number:019}", float(number) / TURNS)
    return (time.perf_counter() - began) / TURNS * 1e6


def _turn(schedule: Schedule, domain: str, letter: str, now: float) -> None:
    schedule.arrive(domain, letter, now)
    work = schedule.take(now, 16)
    assert isinstance(work, Attempt)
    for each in work.letters:
        schedule.defer(work.domain, each.id, schedule.plan(work.domain, each.id, now), "deferred", now)
    schedule.closed(work.domain, now)
    schedule.next_due()


def _octets(server: Mta) -> int:
    [relay] = processes.named(server.pid, _RELAY)
    return processes.proportional_octets(relay)


def _rates(bench: Bench, empty: Mta, full: Mta, number: int) -> tuple[float, float]:
    bench.say(f"million: reception, run {number + 1}")
    load = LOAD.scaled(bench.scale)
    return measure(empty, load).rate, measure(full, load).rate
