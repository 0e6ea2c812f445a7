"""mta metrics: figures once, as JSON, each second at a terminal, and of servers that have none."""

from __future__ import annotations

import json
import smtplib
import socket
import subprocess
import threading
from pathlib import Path

import pytest

import mta as program
from mta.cli.metrics import established
from tests.cli.terminal import Terminal
from tests.instance import MTA, Instance, mta

MESSAGE = b"Subject: x\r\n\r\nhello\r\n"


def metrics(port: int, *more: str) -> subprocess.CompletedProcess[str]:
    return mta("metrics", "-i", "127.0.0.1", "-p", str(port), *more, check=False)


def test_the_figures_once(server: Instance) -> None:
    with smtplib.SMTP("127.0.0.1", server.port) as client:
        client.sendmail("s@client.example", ["user1@example.org"], MESSAGE)
        done = metrics(server.port, "-n", "1")
    assert done.returncode == 0
    shown = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert float(shown.pop("delay of a NOOP, milliseconds")) > 0
    assert shown == {
        "total connections": "2",
        "current connections": "2",
        "total bytes of data transferred": str(len(MESSAGE)),
        "total mails sent": "1",
        "connections by the system's count": "2",
    }


def test_the_figures_as_json(server: Instance) -> None:
    done = metrics(server.port, "-n", "2", "--json")
    looks = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(look["total"], look["current"], look["system"]) for look in looks] == [(1, 1, 1)] * 2
    assert set(looks[0]) == {"total", "current", "bytes", "mails", "noop_ms", "system"}


def test_at_a_terminal_until_a_key_is_pressed(server: Instance, tmp_path: Path) -> None:
    words = [*MTA, "metrics", "-i", "127.0.0.1", "-p", str(server.port)]
    with Terminal(tmp_path).running(words) as terminal:
        terminal.await_text("current connections                1")
        with smtplib.SMTP("127.0.0.1", server.port):
            screen = terminal.await_text("current connections                2")
        assert screen.count("current connections") == 1
        terminal.type("x")
        assert terminal.await_status() == 0


def test_the_version() -> None:
    assert metrics(1, "-v").stdout == f"mta {program.__version__}\n"


def answering(replies: list[bytes]) -> int:
    """The port of a server that says these, one for each line it hears."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        line, _ = listener.accept()
        with listener, line, line.makefile("rb") as lines:
            for reply in replies:
                line.sendall(reply)
                lines.readline()

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("replies", "status", "text"),
    [
        ([b"220 x ESMTP\r\n", b"500 5.5.1 unknown command\r\n"], 1, "no XSTAT here, or not for us: 500"),
        ([b"220-a\r\n220 x\r\n", b"502-no\r\n502 no\r\n"], 1, "no XSTAT here, or not for us: 502 no"),
        ([b"220 x\r\n", b"250 \x1b[2Jok\r\n"], 1, "no XSTAT here, or not for us: 250 \\x1b[2Jok"),
        ([b"421 busy\r\n"], 75, "not ready: 421 busy"),
        ([b""], 75, "the server has closed the connection"),
    ],
)
def test_a_server_without_xstat_is_reported_as_such(replies: list[bytes], status: int, text: str) -> None:
    port = answering(replies) if replies != [b""] else answering([])
    done = metrics(port, "-n", "1")
    assert (done.returncode, done.stdout) == (status, "")
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    done = metrics(port, "-n", "1")
    assert done.returncode == 75
    assert "Connection refused" in done.stderr


@pytest.mark.parametrize("times", ["0", "-1", "x"])
def test_a_wrong_number_of_looks(times: str) -> None:
    done = metrics(1, "-n", times)
    assert done.returncode == 2


def test_the_systems_count_has_the_established_of_the_local_port() -> None:
    head = "  sl  local_address rem_address   st\n"
    rows = [
        "0: 0100007F:09DD 00000000:0000 0A",  # listens
        "1: 0100007F:09DD 0100007F:A000 01",
        "2: 0100007F:A000 0100007F:09DD 01",  # the other end
        "3: 0100007F:09DD 0100007F:A001 06",  # TIME_WAIT
    ]
    assert established(head + "\n".join(rows) + "\n", 2525) == 1
