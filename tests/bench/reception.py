"""Reception: how many messages per second a server accepts and has in the mailbox, and what each costs it.

Rate: messages divided by the time from the first connection until the last file lies in `new/`.
Cost: user and system time of all processes of the server over that time, per message.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.generator import Load, send
from tests.bench.report import Bench, ratio, table
from tests.bench.servers import Server


@dataclass(frozen=True)
class Asked:
    """What our server has to reach: a multiple of Postfix's rate, or nothing in particular."""

    load: Load
    times_postfix: float | None = None


LOADS = (
    Asked(Load("1 session, 4 KB", sessions=1, messages=600), 2),
    Asked(Load("16 sessions, 4 KB", sessions=16, messages=3000), 5),
    Asked(Load("64 sessions, 4 KB", sessions=64, messages=4000), 8),
    Asked(Load("200 sessions, 4 KB", sessions=200, messages=4000), 8),
    Asked(Load("64, new connection each", sessions=64, messages=3000, reconnect=True), 5),
    Asked(Load("64, into 200 mailboxes", sessions=64, messages=3200, mailboxes=200), 6),
    Asked(Load("64 sessions, 64 KB", sessions=64, messages=1600, size=65_536), 6),
    Asked(Load("4 sessions, 10 MB", sessions=4, messages=24, size=10_000_000)),
)

CPU_LOAD = "64 sessions, 4 KB"
CPU_ASKED = 0.30
"""Milliseconds per message at CPU_LOAD that our server may use."""


@dataclass(frozen=True)
class Run:
    """One load, received once."""

    rate: float
    """Messages per second."""
    cpu: float
    """Seconds of processor time per message."""


def measure(server: Server, load: Load) -> Run:
    """Send the load and wait for the mail; the server runs, its mailboxes are empty before and after."""
    server.clear()
    cpu = server.cpu_seconds()
    began = time.perf_counter()
    send(load, server.port)
    server.await_delivered(load.messages)
    seconds = time.perf_counter() - began
    used = server.cpu_seconds() - cpu
    server.clear()
    return Run(load.messages / seconds, used / load.messages)


def median(runs: Sequence[Run]) -> Run:
    """The middle of the rates and, on its own, the middle of the costs."""
    return Run(statistics.median(run.rate for run in runs), statistics.median(run.cpu for run in runs))


def section(bench: Bench) -> str:
    """Every load against every server, by turns."""
    wanted = [asked for asked in LOADS if bench.wanted(asked.load.name)]
    if not wanted:
        return ""
    with bench.servers() as servers:
        for server in servers:
            measure(server, Load("warm-up", sessions=4, messages=100))
        rows = [_row(bench, servers, asked) for asked in wanted]
    heads = [head for server in servers for head in (f"{server.name} msg/s", "ms CPU")]
    return "## Reception\n\n" + table(["load", *heads, "mta / Postfix", "asked"], rows)


def _row(bench: Bench, servers: Sequence[Server], asked: Asked) -> list[str]:
    load = asked.load.scaled(bench.scale)
    runs: dict[str, list[Run]] = {server.name: [] for server in servers}
    for turn in range(bench.runs):
        for server in servers:
            bench.say(f"{load.name}: {server.name}, run {turn + 1}")
            try:
                runs[server.name].append(measure(server, load))
            except RuntimeError as error:  # a server that fails one load is still measured under the others
                bench.say(f"{server.name} failed: {error}")
    medians = {name: median(measured) for name, measured in runs.items() if measured}
    figures = [cell for server in servers for cell in _cells(medians.get(server.name))]
    rates = {name: run.rate for name, run in medians.items()}
    return [load.name, *figures, ratio(rates, "mta", "Postfix"), _asked(asked)]


def _cells(run: Run | None) -> tuple[str, str]:
    return (_rate(run.rate), f"{run.cpu * 1000:.2f}") if run else ("failed", "")


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def _asked(asked: Asked) -> str:
    cpu = f", {CPU_ASKED:.2f} ms" if asked.load.name == CPU_LOAD else ""
    return f"{asked.times_postfix:g}{cpu}" if asked.times_postfix else ""
