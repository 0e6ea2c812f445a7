"""SIGKILL at each system call of the relay: no recipient is lost, none is reported twice, and no more than
one message of a connection is sent again.

First a rehearsal counts the calls of a scenario; then the relay is killed at each of them, in a new tree. The
supervisor starts another, which has to bring everything to its end.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.rig import Event, Mail, Server, Tree, comes_true, running, send, some, traced
from tests.faults.sink import Saying, Sink, unexcused
from tests.instance import PATIENCE

# fmt: off
INNER = frozenset((
    "brk", "clone", "clone3", "epoll_pwait", "epoll_wait", "exit", "exit_group", "futex", "getpid",
    "getrandom", "gettid", "madvise", "mmap", "mprotect", "mremap", "munmap", "poll", "ppoll",
    "restart_syscall", "rseq", "rt_sigprocmask", "sched_yield", "set_robust_list",
))
# fmt: on
"""Calls that change nothing outside the process: to die there is to die at the next one."""

AT_ONCE = 4
"""Cases side by side: they mostly wait for a letter to be due again."""


class Message(NamedTuple):
    """Its recipients' names say what becomes of them."""

    sender: str
    recipients: tuple[str, ...]
    confirmed: tuple[str, ...] = ()
    """Those at home, of whose success the sender wants to hear."""


SCENARIOS = {
    "attempts": tuple(Message("a@example.org", (f"now{number}@b.example",)) for number in range(4)),
    "all fates": (
        Message("a@example.org", ("now@b.example",)),
        Message("b@example.org", ("later@b.example",)),
        Message("c@example.org", ("now@b.example", "later-too@b.example")),
        Message("d@example.org", ("never@b.example", "now@b.example")),
        Message("e@elsewhere.example", ("never@b.example", "later-still@b.example")),
    ),
    "success here": (
        Message("a@example.org", ("home@example.org",), ("home@example.org",)),
        Message("b@elsewhere.example", ("now@b.example", "hut@example.org"), ("hut@example.org",)),
    ),
}
"""Messages that the relay finds all at the same moment; they go over one connection."""


class Moods:
    """A habit: `never` is refused always, `later` once."""

    def __init__(self) -> None:
        self._put_off: set[str] = set()

    def __call__(self, stage: str, address: str) -> Saying:
        if stage == "RCPT" and address.startswith("never"):
            return b"550 5.1.1 nobody of that name\r\n"
        if stage == "RCPT" and address.startswith("later") and address not in self._put_off:
            self._put_off.add(address)
            return b"450 4.2.1 not now\r\n"
        return None


class Moment(NamedTuple):
    """The so-manieth call of this name in a thread of the relay."""

    call: str
    number: int

    @property
    def options(self) -> list[str]:
        """For strace."""
        return ["-e", f"trace={self.call}", "-e", f"inject={self.call}:signal=KILL:when={self.number}"]


class Run(NamedTuple):
    """What happened to a scenario."""

    calls: list[Event]
    deaths: int
    """Of the relay."""


def play(folder: Path, messages: Sequence[Message], options: Sequence[str]) -> Run:
    """All messages, from the first to the end of the last, under strace with these options.
    AssertionError when anything is lost, or told or sent once too often."""
    folder.mkdir()
    with Sink(Moods()) as sink, running(folder, *_settings(sink)) as server:
        relay = server.pid_of("relay")
        with watched(relay, sink.end_era), traced([relay], options, folder / "trace") as trace:
            mails = hand_in(server, relay, messages)
            assert comes_true(lambda: server.tree.waiting() == []), server.output()
            server.end_all()
        refused = sum(check(mail, server.tree, sink) for mail in mails)
        assert len(server.tree.given_up("b.example")) == refused
        return Run(trace.events(), len(server.records("child_died", role="relay")))


def _settings(sink: Sink) -> Iterator[str]:
    routes = [f"{domain} smtp://127.0.0.1:{sink.port}" for domain in ("b.example", "elsewhere.example")]
    values = {"enabled": True, "routes": routes, "retry": ["1s"], "connections": 1}
    for key, value in values.items():
        yield from ("--set", f"relay.{key}={json.dumps(value)}")


@contextmanager
def watched(pid: int, ended: Callable[[], None]) -> Iterator[None]:
    """Call `ended` once this process is dead, which it must be soon after the end of the block."""

    def watch() -> None:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        if poll.poll(PATIENCE * 1000):
            ended()

    process = os.pidfd_open(pid)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        watcher.join()
        os.close(process)


def hand_in(server: Server, relay: int, messages: Sequence[Message]) -> list[Mail]:
    """The relay stands still until all messages are there."""
    os.kill(relay, signal.SIGSTOP)
    mails = [send(server.port, to, sender=sender, confirmed=confirmed) for sender, to, confirmed in messages]
    os.kill(relay, signal.SIGCONT)
    assert all(mail.accepted for mail in mails)
    return mails


def check(mail: Mail, tree: Tree, sink: Sink) -> bool:
    """Each recipient is delivered, or reported in the one report; nothing twice but what has an excuse.
    Whether anybody was refused."""
    refused = [recipient for recipient in mail.recipients if recipient.startswith("never")]
    for recipient in mail.recipients:
        if recipient in mail.confirmed:
            continue
        times = sink.times(mail.subject, recipient)
        assert bool(times) != (recipient in refused), recipient
        assert not unexcused(times), (recipient, times)
    reports = reports_to(mail.sender, tree, sink)
    told = [each.encode() for each in mail.confirmed or refused]
    assert len(reports) == bool(told)
    for report in reports:
        assert re.findall(rb"Final-Recipient: rfc822; (\S+)", report) == told
    return bool(refused)


def reports_to(sender: str, tree: Tree, sink: Sink) -> set[bytes]:
    """All that this sender was sent, once what was sent twice for a reason."""
    local, _, domain = sender.partition("@")
    if domain == "example.org":
        reports = tree.messages(local)
        assert len(reports) == len(set(reports))
        return set(reports)
    assert not unexcused(sink.times(b"", sender))
    return {taken.text for taken in sink.messages() if sender in taken.recipients}


def moments(folder: Path, messages: Sequence[Message]) -> list[Moment]:
    """All calls of one run without a kill, in their order, as strace counts: by thread."""
    counts: Counter[tuple[int, str]] = Counter()
    found: dict[Moment, None] = {}
    for event in play(folder, messages, ["-e", "trace=all"]).calls:
        counts[event.pid, event.name] += 1
        found[Moment(event.name, counts[event.pid, event.name])] = None
    return [moment for moment in found if moment.call not in INNER]


@pytest.mark.parametrize(("name", "number"), [("attempts", 5), ("all fates", 10), ("success here", 5)])
def test_killed_at_any_call(tmp_path: Path, name: str, number: int) -> None:
    messages = SCENARIOS[name]
    every = moments(tmp_path / "rehearsal", messages)
    assert len(every) > 30

    def kill_at(moment: Moment) -> bool:
        return play(tmp_path / f"{moment.call}-{moment.number}", messages, moment.options).deaths == 1

    cases = some(every, number)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert sum(pool.map(kill_at, cases)) > len(cases) // 2
