"""What the service manager hears, and the listeners it hands over."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import pytest

from mta.daemon.notify import Notifier
from tests.daemon.conftest import Maker
from tests.daemon.manager import Manager
from tests.daemon.supervised import Supervised, greeting


@pytest.fixture
def served(make: Maker, manager: Manager) -> Supervised:
    server = make(environment={"NOTIFY_SOCKET": str(manager.path)})
    server.start()
    return server


def test_ready_reloading_ready_stopping(served: Supervised, manager: Manager) -> None:
    ready = manager.hear_until("READY")
    assert ready["STATUS"] == f"configuration 1, listening on smtp 127.0.0.1:{served.port}"
    before = time.monotonic_ns() // 1000
    served.save("any", "listed")
    reloading = manager.hear_until("RELOADING")
    assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert manager.hear_until("READY")["STATUS"].startswith("configuration 2")
    served.stop()
    manager.hear_until("STOPPING")


def test_a_bad_reload_is_over_too(served: Supervised, manager: Manager) -> None:
    manager.hear_until("READY")
    served.save("hostname", "hostnam")
    manager.hear_until("RELOADING")
    assert manager.hear_until("READY")["STATUS"].startswith("configuration 1")


def test_the_watchdog_hears_nothing_while_a_child_hangs(make: Maker, manager: Manager) -> None:
    environment = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "3000000"}
    server = make(environment=environment)
    server.start()
    manager.hear_until("WATCHDOG")
    hanging = "waiting for a turn of its loop"
    with server.connected() as line:
        greeting(line)
        line.sendall(b"hang")
        server.await_record("fault", what=hanging)
        manager.waiting()
        seen = len(server.records("fault", what=hanging))
        server.await_records("fault", seen + 1, what=hanging)
        assert manager.waiting() == []
    manager.hear_until("WATCHDOG")


def test_without_a_manager_nothing_is_told() -> None:
    environment = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}
    notifier = Notifier.from_environment(environment)
    notifier.ready("fine")
    assert notifier.interval is None
    assert environment == {}


def test_a_manager_that_is_away_is_no_reason_to_fail(tmp_path: Path) -> None:
    Notifier(str(tmp_path / "nobody")).ready("fine")


def test_a_listener_that_is_handed_over_is_used(make: Maker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed:
        address = f"127.0.0.1:{handed.getsockname()[1]}"
        number = handed.fileno()
        server = make(
            more=("--set", f"smtp.listen={address}"),
            fds=(number,),
            prefix=activating(number, "smtp"),
        )
        server.start()
        assert server.greeting(handed.getsockname()[1])["listeners"] == [f"smtp={address}"]


def test_a_listener_that_no_setting_names_is_told_and_closed(make: Maker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed:
        place = handed.getsockname()
        server = make(fds=(handed.fileno(),), prefix=activating(handed.fileno(), "smtp"))
        server.start()
    told = server.await_record("fault", what="socket activation")
    assert told.text("where") == f"smtp=127.0.0.1:{place[1]}"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place)


def activating(fd: int, name: str) -> tuple[str, ...]:
    """A command that hands the descriptor over as sd_listen_fds(3) has it."""
    script = (
        "import os, sys\n"
        f"os.dup2({fd}, 3)\n"
        f"{fd} > 3 and os.close({fd})\n"
        f"os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='{name}')\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    return (sys.executable, "-c", script)
