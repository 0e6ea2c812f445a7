"""The local socket: who is heard, and what becomes of odd requests and dead servers' files."""

from __future__ import annotations

import json
import os
import pwd
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mta.daemon.errors import CannotStart
from mta.daemon.local import LocalServer, Message, Reply, ask
from mta.loop import Loop
from tests.instance import PATIENCE


@contextmanager
def answering(path: Path, handler: Callable[[Message, Reply], None]) -> Iterator[LocalServer]:
    loop = Loop()
    server = LocalServer(path, loop, handler)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield server
    finally:
        loop.stop()
        thread.join(PATIENCE)
        server.close()
        loop.close()


def echo(request: Message, reply: Reply) -> None:
    reply({"status": 0, "request": request})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sock"


def test_a_request_and_its_answer(path: Path) -> None:
    with answering(path, echo):
        assert ask(path, {"request": "é"}) == {"status": 0, "request": {"request": "é"}}
    assert not path.exists()


def test_it_is_for_its_owner_alone(path: Path) -> None:
    with answering(path, echo):
        assert path.stat().st_mode & 0o777 == 0o600


def test_requests_in_one_go_are_answered_in_order(path: Path) -> None:
    with answering(path, echo), socket.socket(socket.AF_UNIX) as line:
        line.settimeout(PATIENCE)
        line.connect(str(path))
        line.sendall(b"".join(b'{"n": %d}\n' % n for n in range(3000)))
        with line.makefile("rb") as answers:
            assert [json.loads(answers.readline())["request"]["n"] for _ in range(3000)] == list(range(3000))


@pytest.mark.parametrize("nonsense", [b"hello\n", b"[]\n", b"\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_nonsense_is_answered_and_the_line_stays_open(path: Path, nonsense: bytes) -> None:
    with answering(path, echo), socket.socket(socket.AF_UNIX) as line:
        line.settimeout(PATIENCE)
        line.connect(str(path))
        with line.makefile("rb") as answers:
            line.sendall(nonsense)
            assert json.loads(answers.readline())["status"] == 2
            line.sendall(b"{}\n")
            assert json.loads(answers.readline())["status"] == 0


def test_a_request_without_end_is_hung_up_on(path: Path) -> None:
    with answering(path, echo), socket.socket(socket.AF_UNIX) as line:
        line.settimeout(PATIENCE)
        line.connect(str(path))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            line.sendall(b"x" * 10_000_000)


def test_an_answer_larger_than_the_buffers_arrives_whole(path: Path) -> None:
    with answering(path, lambda _, reply: reply({"status": 0, "text": "x" * 5_000_000})):
        assert len(ask(path, {})["text"]) == 5_000_000


def test_nobody_there(path: Path) -> None:
    with pytest.raises(CannotStart, match="no server answers here") as refusal:
        ask(path, {})
    assert refusal.value.status == 75


def test_a_dead_servers_file_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with answering(path, echo):
        assert ask(path, {})["status"] == 0


def test_a_living_servers_file_is_not(path: Path) -> None:
    with answering(path, echo):
        with pytest.raises(CannotStart, match="Address already in use") as refusal:
            LocalServer(path, Loop(), echo)
        assert refusal.value.status == 75
        assert ask(path, {})["status"] == 0


def test_a_file_that_is_no_socket_is_not(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(CannotStart):
        LocalServer(path, Loop(), echo)
    assert path.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can knock as somebody else")
def test_the_kernel_says_who_calls(path: Path) -> None:
    with answering(path, echo):
        path.chmod(0o666)
        for folder in path.parents:
            if folder.stat().st_mode & 0o001 == 0:
                folder.chmod(0o711)
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
        try:
            with pytest.raises(CannotStart, match="only root and the server's user may ask") as refusal:
                ask(path, {})
        finally:
            os.seteuid(0)
    assert refusal.value.status == 77
