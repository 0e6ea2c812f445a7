"""How a server ends, and what it leaves."""

from __future__ import annotations

import os
import signal

import pytest

from tests.daemon.conftest import Maker
from tests.daemon.manager import Manager
from tests.daemon.supervised import Supervised, await_end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(server: Supervised, number: signal.Signals) -> None:
    children = [pid for role, pid in server.processes().items() if role != "supervisor"]
    os.kill(server.pid, number)
    assert server.wait() == 0
    assert server.records("stopping")[0].text("reason") == number.name
    assert server.records("stopped")
    assert not (server.configuration.parent.parent / "mta.sock").exists()
    for child in children:
        await_end(child)


def test_ctrl_c_at_a_terminal_ends_it_without_a_traceback(server: Supervised) -> None:
    os.killpg(server.pid, signal.SIGINT)
    assert server.wait() == 0
    assert "Traceback" not in server.output()
    assert server.records("child_died") == []


def test_ctrl_c_while_it_starts_ends_it_without_a_word(make: Maker) -> None:
    server = make()
    server.spawn()
    os.killpg(server.pid, signal.SIGINT)
    assert server.wait() in (0, -signal.SIGINT)
    assert "Traceback" not in server.output()


def test_children_ignore_the_signals_of_their_supervisor(server: Supervised) -> None:
    worker = server.greeting()["process"]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        os.kill(worker, number)
    assert server.greeting()["process"] == worker


def test_sigusr1_opens_the_logs_anew(make: Maker, manager: Manager) -> None:
    server = make(environment={"NOTIFY_SOCKET": str(manager.path)})
    log = server.configuration.parent / "mta.log"
    server.configuration.write_text(server.configuration.read_text().replace('path = ""', 'path = "mta.log"'))
    server.spawn()
    manager.hear_until("READY")
    log.rename(log.with_suffix(".1"))
    os.kill(server.pid, signal.SIGUSR1)
    assert server.stop() == 0
    old, new = (
        [line.split()[3] for line in each.read_bytes().splitlines()] for each in (log.with_suffix(".1"), log)
    )
    assert [*old, *new].count(b"started") == 1
    assert {b"reopened", b"stopping", b"stopped"} <= set(new)
