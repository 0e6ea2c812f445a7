"""Children that die, hang, or do not end, and a supervisor that dies before them."""

from __future__ import annotations

import os
import signal

import pytest

from mta.daemon.errors import CannotStart
from mta.daemon.local import ask
from tests.daemon.conftest import Maker
from tests.daemon.supervised import Supervised, await_end, greeting


def test_a_killed_worker_is_replaced_and_no_connection_is_refused(server: Supervised) -> None:
    before = server.greeting()["process"]
    os.kill(before, signal.SIGKILL)
    after = server.greeting()["process"]
    assert after != before
    server.await_record("child_started", role="receiver", pid=str(after))
    died = server.await_record("child_died", role="receiver")
    assert (died.text("pid"), died.text("status")) == (str(before), "signal SIGKILL")


@pytest.mark.parametrize("order", [b"fail", b"fail in a thread"])
def test_a_mistake_is_in_the_log_with_its_traceback_and_the_child_is_replaced(
    server: Supervised, order: bytes
) -> None:
    with server.connected() as line:
        before = greeting(line)["process"]
        line.sendall(order)
        fault = server.await_record("fault", what="running")
    assert fault.text("error") == "ValueError('a mistake')"
    assert "roles.py" in fault.text("where")
    server.await_record("child_died", status="exit 70")
    assert server.greeting()["process"] != before


def test_the_second_death_in_a_row_costs_a_pause(server: Supervised) -> None:
    for _ in range(2):
        with server.connected() as line:
            greeting(line)
            line.sendall(b"die")
            assert line.recv(1) == b""
    second = server.await_record("child_died", restart_in="1.0000")
    assert [record.text("restart_in") for record in server.records("child_died")] == ["0.0000", "1.0000"]
    assert second.text("status") == "exit 3"


def test_a_killed_logger_is_replaced_and_told_the_files(server: Supervised) -> None:
    os.kill(server.processes()["logger"], signal.SIGKILL)
    server.await_record("child_died", role="logger")


def test_a_request_for_a_child_is_passed_on(server: Supervised) -> None:
    path = server.configuration.parent.parent / "mta.sock"
    assert ask(path, {"child": "receiver", "request": "hello"})["echo"] == "hello"
    with pytest.raises(CannotStart, match="no such child: nobody"):
        ask(path, {"child": "nobody", "request": "hello"})
    with pytest.raises(CannotStart, match="no such request"):
        ask(path, {"request": "hello"})


def test_when_the_supervisor_is_killed_its_children_end(server: Supervised) -> None:
    children = [pid for role, pid in server.processes().items() if role != "supervisor"]
    server.kill()
    for child in children:
        await_end(child)


def test_a_new_start_takes_over_from_a_killed_supervisor(server: Supervised) -> None:
    server.kill()
    server.start()
    assert server.greeting()
    assert server.stop() == 0


def test_a_new_start_waits_for_orphans_that_still_finish(make: Maker) -> None:
    server = make(role="Reluctant")
    server.start()
    orphan = server.greeting()["process"]
    with server.connected() as line:
        greeting(line)
        server.kill()
        server.role = "Obedient"
        server.spawn()
        # The new one finds the tree in use; only when this connection closes does the orphan end.
    await_end(orphan)
    server.await_record("started", after=server.seen)
    assert server.stop() == 0
