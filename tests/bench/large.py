"""One large message: seconds until it lies in the mailbox, and the most memory any process had meanwhile."""

from __future__ import annotations

import time

from tests.bench import processes
from tests.bench.generator import Load, send
from tests.bench.report import Bench, table
from tests.bench.servers import Server

NAME = "large"
OCTETS = 1_000_000_000


def section(bench: Bench) -> str:
    """A message of 1 GB, once; a tenth of that in a short run."""
    if not bench.wanted(NAME):
        return ""
    load = Load("1 GB", sessions=1, messages=1, size=OCTETS if bench.scale == 1 else OCTETS // 10)
    with bench.servers() as servers:
        rows = [_row(bench, server, load) for server in servers]
    heads = ["server", "seconds", "MB/s", "peak memory of a process, MB"]
    return (
        f"## One message of {load.size / 1e6:,.0f} MB\n\n{table(heads, rows)}\nAsked of mta: under 64 MB.\n"
    )


def _row(bench: Bench, server: Server, load: Load) -> list[str]:
    bench.say(f"large message: {server.name}")
    server.clear()
    processes.forget_peaks(server.pid)
    began = time.perf_counter()
    send(load, server.port)
    server.await_delivered(1)
    seconds = time.perf_counter() - began
    peak = processes.peak_octets(server.pid)
    server.clear()
    return [server.name, f"{seconds:.1f}", f"{load.size / 1e6 / seconds:,.0f}", f"{peak / 1e6:.0f}"]
