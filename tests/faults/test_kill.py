"""SIGKILL at each system call of a delivery: nothing acknowledged is lost, nothing partial is seen.

First a rehearsal counts the calls that committer and receiver make for one message; then the server is killed
at each of them in a new tree, started again, and looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.rig import ONE, SEVERAL, Server, comes_true, running, send, some, started, traced

CALLS = {
    "committer": (
        "recvfrom", "openat", "mkdir", "mkdirat", "writev", "pwrite64", "fsync", "syncfs", "close",
        "renameat2", "linkat", "unlinkat", "sendto",
    ),
    "receiver": ("recvfrom", "openat", "mkdirat", "writev", "pwrite64", "fsync", "close", "sendto", "write"),
}  # fmt: skip

LARGE = 300_000
"""Octets that do not wait in memory: the receiver writes them itself."""


class Moment(NamedTuple):
    """The so-manieth call of this name in this process."""

    role: str
    call: str
    number: int


def moments(folder: Path, recipients: Sequence[str], octets: int) -> Iterator[Moment]:
    """All calls that one message needs in a new tree."""
    for role, calls in CALLS.items():
        with running(folder / role) as server:
            pids = [server.pid_of(role)]
            with traced(pids, ["-e", f"trace={','.join(calls)}"], folder / f"{role}.trace") as trace:
                assert send(server.port, recipients, octets).accepted
                server.await_record("closed")
        for call, number in Counter(event.name for event in trace.events()).items():
            yield from (Moment(role, call, nth) for nth in range(1, number + 1))


def kill_at(moment: Moment, folder: Path, recipients: Sequence[str], octets: int) -> None:
    server = Server(folder)
    options = ["-e", f"trace={moment.call}", "-e", f"inject={moment.call}:signal=KILL:when={moment.number}"]
    with started(server), traced([server.pid_of(moment.role)], options, folder / "trace"):
        mail = send(server.port, recipients, octets)
        server.end_all()
    with started(server):
        after = send(server.port, recipients)
        assert after.accepted
        assert comes_true(lambda: server.tree.drafts() == [])
    server.tree.check(mail)
    server.tree.check(after)


@pytest.mark.parametrize(
    ("recipients", "octets", "number"),
    [(ONE, 100, 10), (SEVERAL, 100, 12), (SEVERAL, LARGE, 8)],
    ids=["one", "two and two", "large"],
)
def test_killed_at_any_call(tmp_path: Path, recipients: Sequence[str], octets: int, number: int) -> None:
    all_moments = list(moments(tmp_path, recipients, octets))
    assert len(all_moments) > 10
    for index, moment in enumerate(some(all_moments, number)):
        folder = tmp_path / f"{index}-{moment.role}-{moment.call}-{moment.number}"
        folder.mkdir()
        kill_at(moment, folder, recipients, octets)
