"""Idle sessions: what ten thousand connected clients that say nothing cost, and whom they slow down.

Memory: growth of the proportional set size of all processes, divided by the sessions; the kernel's buffers
are not in it. Slowness: rate of one active session without and with the idle ones, by turns.
"""

from __future__ import annotations

import resource
import socket
import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench import processes
from tests.bench.generator import Load
from tests.bench.reception import measure
from tests.bench.report import Bench, table
from tests.bench.servers import Server

NAME = "idle"
ACTIVE = Load("one active session", sessions=1, messages=400)


@contextmanager
def idle_sessions(port: int, count: int) -> Iterator[None]:
    """`count` clients that have said EHLO and been answered."""
    clients: list[socket.socket] = []
    try:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port), 30)
            clients.append(client)
            _read_reply(client)
            client.sendall(b"EHLO idle.example\r\n")
            _read_reply(client)
        yield
    finally:
        for client in clients:
            client.close()


def _read_reply(client: socket.socket) -> None:
    reply = b""
    while not reply.endswith(b"\r\n") or reply.splitlines()[-1][3:4] != b" ":
        part = client.recv(4096)
        if not part or not (reply + part).startswith(b"2"):
            raise RuntimeError(f"an idle session was refused: {(reply + part)!r}")
        reply += part


def section(bench: Bench) -> str:
    """Memory per idle session, and the rate of one active session beside them."""
    if not bench.wanted(NAME):
        return ""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with bench.servers() as servers:
        rows = [_row(bench, server) for server in servers]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    heads = ["server", "idle sessions", "KB each", "msg/s alone", "msg/s beside them", "times slower"]
    return (
        "## Idle sessions\n\n"
        + table(heads, rows)
        + "\nAsked of mta: under 2 KB each, at most 1.2 times slower.\n"
    )


def _row(bench: Bench, server: Server) -> list[str]:
    count = int(server.most_idle * bench.scale)
    load = ACTIVE.scaled(bench.scale)
    measure(server, load)
    alone, beside, octets = [], [], []
    for turn in range(bench.runs):
        bench.say(f"idle sessions: {server.name}, run {turn + 1}")
        alone.append(measure(server, load).rate)
        before = processes.proportional_octets(server.pid)
        with idle_sessions(server.port, count):
            octets.append((processes.proportional_octets(server.pid) - before) / count)
            beside.append(measure(server, load).rate)
    # Memory once given back to the allocator is used again, so that only the first growth tells the price.
    rates = statistics.median(alone), statistics.median(beside)
    return [
        server.name,
        f"{count:,}",
        f"{max(octets) / 1000:.1f}",
        *(f"{rate:,.0f}" for rate in rates),
        f"{rates[0] / rates[1]:.2f}",
    ]
