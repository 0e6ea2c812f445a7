"""Ctrl-C leaves the terminal as it was found."""

from __future__ import annotations

import os
import signal
import subprocess
import termios
from collections.abc import Iterator

import pytest

from tests.instance import MTA, PATIENCE, ROOT, Instance


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with Instance(tmp_path_factory.mktemp("server")).running() as running:
        yield running


def read_until(fd: int, text: bytes) -> None:
    seen = b""
    while text not in seen:
        seen += os.read(fd, 65536)


def modes(fd: int) -> int:
    local: int = termios.tcgetattr(fd)[3]
    return local & (termios.ECHO | termios.ICANON)


@pytest.mark.parametrize(
    ("words", "shown", "last"),
    [
        ("user add alice", b"New password", b""),
        ("admin 1.0 admin - -STATUS", b"Password:", b""),
        ("top", b"filter", b"\x1b[?1049l"),  # the screen as it was before
    ],
)
def test_ctrl_c(server: Instance, words: str, shown: bytes, last: bytes) -> None:
    ours, theirs = os.openpty()
    command = [*MTA, "-f", str(server.configuration), *words.split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    before = modes(theirs)
    with subprocess.Popen(
        command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        read_until(ours, shown)
        assert modes(theirs) != before
        process.send_signal(signal.SIGINT)
        if last:
            read_until(ours, last)
        assert process.wait(PATIENCE) == -signal.SIGINT
    assert modes(theirs) == before
    os.close(ours)
    os.close(theirs)
