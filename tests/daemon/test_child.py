"""The inside of a child: its command line, its messages, its listeners; and the outside of a stubborn one."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mta.channel import Channel
from mta.config import Snapshot
from mta.config.load import load
from mta.daemon import children, spawn
from mta.daemon.child import Ask, Host, Later, Orders, Reply
from mta.daemon.children import Child, End, ending
from mta.daemon.errors import CannotStart
from mta.log.log import Log
from mta.loop import Loop
from tests.instance import CONFIGURATION

Message = dict[str, Any]


def test_the_command_line() -> None:
    orders = Orders.parse(["receiver", "a.b:C", "channel=3", "lock=7", "user=8:9"])
    assert (orders.name, orders.factory, orders.user) == ("receiver", "a.b:C", (8, 9))
    assert orders.descriptors == {"channel": 3, "lock": 7}


class Willing:
    """A role that keeps what it is told, or refuses it."""

    def __init__(self) -> None:
        self.listeners: dict[tuple[str, str], socket.socket] = {}
        self.trouble: OSError | None = None
        self.stops = 0
        self.waiting: list[Reply] = []
        self.ask: Ask | None = None

    def may_ask(self, ask: Ask) -> None:
        self.ask = ask

    def configure(
        self,
        snapshot: Snapshot,
        listeners: Mapping[tuple[str, str], socket.socket],
        context: ssl.SSLContext | None,
    ) -> None:
        if self.trouble:
            raise self.trouble
        self.listeners = dict(listeners)

    def request(self, request: Message) -> Message | Later:
        if request == {"request": "wait"}:
            return self.waiting.append
        return {"status": 0, **request}

    def reopen(self) -> None: ...

    def stop(self) -> None:
        self.stops += 1


class Line:
    """A host under test, and our end of its channel."""

    def __init__(self, snapshot: str) -> None:
        ours, theirs = socket.socketpair()
        self.loop = Loop()
        self.role = Willing()
        self.heard: list[Message] = []
        self.log = Log(os.open(os.devnull, os.O_WRONLY), "receiver")
        self.host = Host(theirs, self.loop, self.log, self.role)
        self.channel = Channel(ours, self.loop, lambda message, _: self.heard.append(message), lambda: None)
        self.snapshot = snapshot
        self.serial = 0

    def configure(self, offered: Mapping[tuple[str, str], socket.socket], logging: bool = True) -> Message:
        self.serial += 1
        message = {
            "type": "configuration",
            "serial": self.serial,
            "snapshot": self.snapshot,
            "logging": logging,
            "certificate": None,
            "listeners": [{"service": service, "address": address} for service, address in offered],
        }
        return self.ask(message, [each.fileno() for each in offered.values()])

    def ask(self, message: Message, fds: list[int]) -> Message:
        before = len(self.heard)
        self.channel.send(message, fds)
        while len(self.heard) == before:
            self.loop.turn(None)
        return self.heard[-1]

    def close(self) -> None:
        self.channel.close()
        self.loop.turn(0)
        for each in self.role.listeners.values():
            each.close()
        self.loop.close()
        self.log.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    path = tmp_path / "mta.conf"
    path.write_text(CONFIGURATION)
    made = Line(load(path).to_json())
    yield made
    made.close()


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    two = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield two
    for each in two:
        each.close()


def test_a_configuration_says_whether_records_of_sessions_are_wanted(line: Line) -> None:
    line.configure({}, logging=False)
    assert line.log.quiet
    line.configure({}, logging=True)
    assert not line.log.quiet


def test_a_role_asks_the_supervisor_and_each_answer_finds_its_question(line: Line) -> None:
    assert line.role.ask is not None
    answers: list[Message] = []
    for key in ("first", "second"):
        line.role.ask({"request": "get", "key": key}, answers.append)
    while len(line.heard) < 2:
        line.loop.turn(None)
    assert [each["type"] for each in line.heard] == ["ask", "ask"]
    for each in reversed(line.heard):
        line.channel.send({"type": "told", "number": each["number"], "answer": each["request"]})
    while len(answers) < 2:
        line.loop.turn(None)
    assert [answer["key"] for answer in answers] == ["second", "first"]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_listeners_are_kept_added_and_closed(line: Line, sockets: list[socket.socket]) -> None:
    first, second = ("smtp", "first"), ("smtp", "second")
    before = open_files()
    assert line.configure({first: sockets[0]}) == {"type": "acknowledge", "serial": 1}
    kept = line.role.listeners[first]
    line.configure({first: sockets[0], second: sockets[1]})
    assert line.role.listeners[first] is kept
    assert open_files() == before + 2
    line.configure({second: sockets[1]})
    assert (kept.fileno(), open_files()) == (-1, before + 1)


def test_a_refused_configuration_leaves_the_listeners(line: Line, sockets: list[socket.socket]) -> None:
    first, second = ("smtp", "first"), ("smtp", "second")
    line.configure({first: sockets[0]})
    kept, before = line.role.listeners[first], open_files()
    line.role.trouble = OSError("no room")
    assert line.configure({second: sockets[1]}) == {"type": "failed", "serial": 2, "text": "no room"}
    assert kept.fileno() > 0
    assert open_files() == before
    line.role.trouble = None
    assert line.configure({second: sockets[1]})["type"] == "acknowledge"
    assert (kept.fileno(), open_files()) == (-1, before)


def test_a_request_is_answered_by_its_number(line: Line) -> None:
    answer = line.ask({"type": "request", "number": 5, "request": {"request": "x"}}, [])
    assert answer == {"type": "answer", "number": 5, "answer": {"status": 0, "request": "x"}}


def test_an_answer_may_come_later_and_others_before_it(line: Line) -> None:
    line.channel.send({"type": "request", "number": 5, "request": {"request": "wait"}})
    line.ask({"type": "request", "number": 6, "request": {"request": "x"}}, [])
    [reply] = line.role.waiting
    reply({"status": 75})
    while len(line.heard) < 2:
        line.loop.turn(None)
    assert [message["number"] for message in line.heard] == [6, 5]
    assert line.heard[1]["answer"] == {"status": 75}


def test_the_end_of_the_channel_is_the_word_to_stop(line: Line) -> None:
    line.channel.close()
    while not line.role.stops:
        line.loop.turn(None)


# the outside


class Waiting:
    """A parent that waits for an end."""

    def __init__(self) -> None:
        self.ends: list[End] = []

    def born(self, child: Child) -> None: ...

    def configured(self, child: Child) -> None: ...

    def asked(self, child: Child, request: Message, answer: Reply) -> None: ...

    def died(self, child: Child, end: End) -> None:
        self.ends.append(end)


def test_a_child_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LAST_WARNING", 0.0)
    monkeypatch.setattr(spawn, "command", lambda *_: ["sleep", "1000"])
    loop, parent = Loop(), Waiting()
    child = Child(spawn.Kind("receiver", "no:matter"), loop, parent, {}, None)
    child.start()
    child.stop()
    while not parent.ends:
        loop.turn(1000)
    assert (parent.ends[0].how, parent.ends[0].pause) == ("signal SIGKILL", None)
    loop.close()


def test_what_was_asked_of_a_child_that_dies_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "command", lambda *_: ["true"])
    monkeypatch.setattr(children, "PAUSES", (1000.0,))
    loop, parent = Loop(), Waiting()
    child = Child(spawn.Kind("receiver", "no:matter"), loop, parent, {}, None)
    answers: list[Message] = []
    child.start()
    child.ask({"request": "x"}, answers.append)
    while not parent.ends:
        loop.turn(1000)
    child.ask({"request": "x"}, answers.append)
    assert [answer["status"] for answer in answers] == [75, 75]
    child.stop()
    loop.close()


@pytest.mark.parametrize(
    ("status", "words"), [(0, "exit 0"), (3, "exit 3"), (-9, "signal SIGKILL"), (-40, "signal 40")]
)
def test_an_end_in_words(status: int, words: str) -> None:
    assert ending(status) == words


def test_a_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "command", lambda *_: ["/nowhere/python"])
    with pytest.raises(CannotStart, match="the logger cannot be executed: No such file or directory"):
        spawn.spawn(spawn.Kind("logger", "no:matter"), {}, None)
