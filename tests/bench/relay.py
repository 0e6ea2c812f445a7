"""The relay: how many letters per second a server accepts and has sent on, and what each costs it.

Rate: letters divided by the time from the first connection until the next hop has taken the last. Nothing of
durability is relaxed: each is safe on disk before it is acknowledged.
Alone: the letters lie in the queue before the relay is allowed to begin; the time runs from the first one
that the next hop takes.
Cost: user and system time of all processes of the server over that time, per letter.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from tests.bench.generator import Load, send
from tests.bench.reception import Run, median
from tests.bench.report import Bench, ratio, table
from tests.bench.servers import Mta, Server
from tests.bench.sink import Sink, sink

NAME = "relay"
LOAD = Load("10,000 letters, 4 KB", sessions=64, messages=10_000, domain="elsewhere.example")
WARM_UP = Load("warm-up", sessions=4, messages=200, domain=LOAD.domain)
TIMES_POSTFIX = 5


@dataclass(frozen=True)
class Pair:
    """A server and its next hop."""

    server: Server
    sink: Sink


def section(bench: Bench) -> str:
    """Accepted and sent on, by turns; then our relay alone."""
    if not bench.wanted(NAME):
        return ""
    load = LOAD.scaled(bench.scale)
    runs: dict[str, list[Run]] = {}
    with _pairs(bench) as pairs:
        for pair in pairs:
            through(pair, WARM_UP)
        for turn in range(bench.runs):
            for pair in pairs:
                bench.say(f"relay: {pair.server.name}, run {turn + 1}")
                runs.setdefault(pair.server.name, []).append(through(pair, load))
        for turn in range(bench.runs):
            for pair in pairs:
                if isinstance(pair.server, Mta):
                    bench.say(f"relay: {pair.server.name} alone, run {turn + 1}")
                    name = f"{pair.server.name}, queued before"
                    runs.setdefault(name, []).append(alone(pair.server, pair.sink, load))
    return f"## Relay: {load.messages:,} letters of {load.size:,} octets\n\n{_table(runs)}"


def through(pair: Pair, load: Load) -> Run:
    """Send the load and wait until it is sent on."""
    os.sync()  # what was there before is not charged to this
    before, cpu = pair.sink.taken(), pair.server.cpu_seconds()
    began = time.perf_counter()
    send(load, pair.server.port)
    seconds = pair.sink.await_taken(before + load.messages) - began
    return Run(load.messages / seconds, (pair.server.cpu_seconds() - cpu) / load.messages)


def alone(server: Mta, sink: Sink, load: Load) -> Run:
    """Let it queue the load, and then let it go."""
    server.let_relay(relay=False)
    send(load, server.port)
    os.sync()
    before, cpu = sink.taken(), server.cpu_seconds()
    server.let_relay(relay=True)
    began = sink.await_taken(before + 1)
    seconds = sink.await_taken(before + load.messages) - began
    return Run(load.messages / seconds, (server.cpu_seconds() - cpu) / load.messages)


@contextmanager
def _pairs(bench: Bench) -> Iterator[list[Pair]]:
    peers = [peer for peer in bench.peers if peer.relays]
    with ExitStack() as stack:
        servers = stack.enter_context(replace(bench, peers=peers).servers())
        yield [Pair(each, stack.enter_context(sink(each.next_hop, each.folder))) for each in servers]


def _table(runs: Mapping[str, Sequence[Run]]) -> str:
    medians = {name: median(measured) for name, measured in runs.items()}
    rates = {name: run.rate for name, run in medians.items()}
    rows = [[name, f"{run.rate:,.0f}", f"{run.cpu * 1000:.2f}"] for name, run in medians.items()]
    return (
        table(["server", "letters/s", "ms CPU"], rows)
        + f"\nmta / Postfix: {ratio(rates, 'mta', 'Postfix')}; asked: {TIMES_POSTFIX}.\n"
    )
