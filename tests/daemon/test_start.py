"""Starts that come to nothing: one line, and an exit status that means something."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from mta.daemon import lock
from mta.daemon.errors import CannotStart
from tests.daemon.conftest import Maker
from tests.daemon.supervised import Supervised, await_end, greeting


def failed(server: Supervised) -> tuple[int, str]:
    """The exit status, and the last line on standard error, there being no traceback."""
    server.spawn()
    status = server.wait()
    lines = server.output().splitlines()
    assert "Traceback" not in server.output()
    return status, lines[-1]


def test_a_taken_port(make: Maker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        status, line = failed(make(more=("--set", f"smtp.listen={taken}")))
    assert status == 75
    assert line.startswith(f"mta: smtp.listen: {taken}: Address already in use; stop the server that has it")


def test_a_locked_tree(server: Supervised, make: Maker) -> None:
    status, line = failed(make(more=("--set", f"application.maildir.path={server.maildir}")))
    assert status == 75
    assert line.startswith(f"mta: {server.maildir}/.lock: the tree is in use by process {server.pid};")
    assert server.greeting()


def test_a_local_socket_that_another_server_has(server: Supervised, make: Maker) -> None:
    path = server.configuration.parent.parent / "mta.sock"
    status, line = failed(make(more=("--set", f"application.socket={path}")))
    assert status == 75
    assert line == f"mta: application.socket: {path}: Address already in use"
    assert server.run("config").returncode == 0


def test_a_bad_configuration(make: Maker) -> None:
    server = make()
    server.configuration.write_text("hostname = \n")
    status, _ = failed(server)
    assert status == 78


def test_a_certificate_that_is_none(make: Maker) -> None:
    status, line = failed(make(more=("--set", "tls.certificate=/nowhere")))
    assert status == 78
    assert line == "mta: tls: /nowhere: No such file or directory"


def test_a_worker_that_cannot_use_its_configuration(make: Maker) -> None:
    status, line = failed(make(role="Unable"))
    assert status == 75
    assert line == "mta: the receiver cannot begin: there is no soil to grow on"


def test_a_worker_that_dies_at_once(make: Maker) -> None:
    status, line = failed(make(role="Stillborn"))
    assert status == 75
    assert line == "mta: the receiver ended at once: exit 4; see the lines above, or the log"


# orphans


def test_a_living_supervisor_is_not_waited_for(server: Supervised, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_STEP", -1.0)  # a wait would be an error
    with pytest.raises(CannotStart, match=f"in use by process {server.pid}"):
        lock.lock_tree(server.maildir)


def test_orphans_that_do_not_end_are_not_waited_for_without_end(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make(role="Reluctant")
    server.start()
    with server.connected() as line:
        orphan = greeting(line)["process"]
        server.kill()
        monkeypatch.setattr(lock, "PATIENCE", 0.0)
        with pytest.raises(CannotStart, match=r"in use by a child of a server that is gone") as refusal:
            lock.lock_tree(server.maildir)
    assert refusal.value.status == 75
    await_end(orphan)
    os.close(lock.lock_tree(server.maildir))


def test_the_descriptor_limit_is_raised_and_told_when_too_low(make: Maker) -> None:
    server = make(prefix=("sh", "-c", 'ulimit -Sn 200; ulimit -Hn 900; exec "$@"', "sh"))
    server.start()
    told = server.await_record("few_descriptors")
    assert told.text("limit") == "900"
    os.kill(server.pid, signal.SIGTERM)
    assert server.wait() == 0
