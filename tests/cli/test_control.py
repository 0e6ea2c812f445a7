"""mta control: a setting for each argument, lines from a pipe, and an operator at a terminal."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.instance import MTA, ROOT, Instance, mta

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Instance]:
    with Instance(tmp_path, ("--set", "control.listen=127.0.0.1:0")).running() as instance:
        yield instance


def words(server: Instance, *more: str) -> list[str]:
    return ["control", "-i", "127.0.0.1", "-P", str(server.ports["control"]), *more]


def control(server: Instance, *more: str) -> subprocess.CompletedProcess[str]:
    return mta(*words(server, *more), check=False)


def test_a_setting_for_each_argument(server: Instance) -> None:
    done = control(server, "limits.errors=7", "Logger=0", "get limits.errors")
    assert (done.returncode, done.stdout) == (0, "OK\nOK\nlimits.errors=7\nOK\n")
    server.await_record("set", key="limits.errors", new="7")
    server.await_record("set", key="logger", new="0")


@pytest.mark.parametrize("wrong", ["limits.errors=0", "limits.nothing=1", "limits.errors=x", "nonsense"])
def test_what_is_refused_ends_it_with_one_line_and_status_1(server: Instance, wrong: str) -> None:
    done = control(server, wrong, "limits.errors=7")
    assert (done.returncode, done.stdout) == (1, "ERR\n")
    assert done.stderr == f"mta: {wrong}: no such setting, no integer, or out of range\n"
    assert server.records("set") == []


def test_lines_from_a_pipe(server: Instance) -> None:
    done = subprocess.run(
        [*MTA, *words(server)],
        env=ENVIRONMENT,
        input="limits.errors=7\n\nGET limits.errors\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "OK\nlimits.errors=7\nOK\n"


def test_a_line_feed_in_an_argument_makes_no_second_line(server: Instance) -> None:
    done = control(server, "limits.errors=7\nlogger=0")
    assert (done.returncode, done.stdout) == (1, "ERR\n")


def test_without_a_server_it_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = str(gone.getsockname()[1])
    done = mta("control", "-i", "127.0.0.1", "-p", port, "logger=0", check=False)
    assert done.returncode == 75
    assert "nobody answers: Connection refused\n" in done.stderr
    assert done.stderr.count("\n") == 1


def test_host_and_port_are_those_of_the_configuration(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = Instance(tmp_path)
        text = server.configuration.read_text()
        server.configuration.write_text(
            text.replace("control: { listen = [ ] }", f'control: {{ listen = [ "127.0.0.1:{port}" ] }}')
        )
        client = subprocess.Popen(
            [*MTA, "-f", str(server.configuration), "control", "logger=0"], env=ENVIRONMENT
        )
        listener.settimeout(20)
        line, _ = listener.accept()
        with line:
            line.settimeout(20)
            assert line.recv(100) == b"logger=0\r\n"
            line.sendall(b"OK\r\n")
            assert client.wait(20) == 0


@pytest.mark.parametrize(
    ("more", "status", "text"),
    [
        (("-P", "0", "logger=0"), 2, "0 is no port"),
        (("-P", "x", "logger=0"), 2, "x is no port"),
        (("-x",), 2, "unrecognized arguments"),
    ],
)
def test_wrong_usage(more: tuple[str, ...], status: int, text: str) -> None:
    done = mta("control", "-i", "127.0.0.1", *more, check=False)
    assert done.returncode == status
    assert text in done.stderr


def test_an_operator_at_a_terminal(server: Instance, tmp_path: Path) -> None:
    with Terminal(tmp_path).running([*MTA, *words(server)]) as terminal:
        terminal.await_text("mta>")
        terminal.type("limits.con", "Tab", "=9", "Enter")
        terminal.await_text("mta> limits.connections=9\nOK")
        terminal.type("get limits.connections", "Enter")
        terminal.await_text("limits.connections=9\nOK\nmta>")
        terminal.type("Up", "Up", "BSpace", "8", "Enter")
        terminal.await_text("mta> limits.connections=8\nOK")
        terminal.type("help", "Enter")
        assert "set NAME, until the next reload" in terminal.await_text("limits.errors")
        terminal.type("limits.connections=0", "Enter")
        terminal.await_text("limits.connections=0\nERR\nmta>")
        terminal.type("quit", "Enter")
        assert terminal.await_status() == 0
    server.await_record("set", key="limits.connections", old="9", new="8")
