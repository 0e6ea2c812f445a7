"""A supervisor under test: tests/instance.py, with a worker from tests/daemon/roles.py."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.instance import PATIENCE, ROOT, Instance

MODULES = {
    "PYTHONPATH": os.pathsep.join([str(ROOT), *(each for each in sys.path if each.endswith("-packages"))])
}
"""For another interpreter of the same version, which then needs no packages of its own."""


class Supervised(Instance):
    """`prefix` goes before the command, `environment` is added to ours, `fds` are inherited."""

    def __init__(
        self,
        folder: Path,
        role: str = "Obedient",
        more: Sequence[str] = (),
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        fds: Sequence[int] = (),
        python: str = sys.executable,
    ) -> None:
        super().__init__(folder, more)
        self.python = python
        self.role = role
        self.prefix = prefix
        self.environment = environment or {}
        self.fds = fds

    def spawn(self) -> None:
        """Start it, without waiting for anything; `seen` is how many records there were before."""
        self._ended = False
        self.seen = len(self._records)
        self._process = subprocess.Popen(
            [*self.prefix, *self.command("-f", str(self.configuration), *self._more)],
            env={**os.environ, **MODULES, **self.environment},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=self.fds,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def start(self) -> None:
        self.spawn()
        started = self.await_record("started", after=self.seen)
        self.ports = {
            each.partition("=")[0]: int(each.rpartition(":")[2]) for each in started.list("listeners")
        }

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._take(line)
        with self._news:
            # The orphans of a killed one may outlive it, and write on beside its successor.
            self._ended = self._ended or process is self._process
            self._news.notify_all()

    def await_records(self, event: str, count: int, **fields: str) -> None:
        """Return once there are so many of these records."""
        with self._news:
            enough = self._news.wait_for(lambda: len(self._matching(event, fields, 0)) >= count, PATIENCE)
        assert enough, f"fewer than {count} records {event} {fields}"

    def command(self, *words: str) -> list[str]:
        return [self.python, "-P", "-m", "tests.daemon.launch", self.role, *words]

    def wait(self) -> int:
        """The exit status, once it and its log have ended by themselves."""
        assert self._process is not None
        status = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert not self._reader.is_alive(), "somebody still holds its standard error"
        return status

    def kill(self) -> None:
        """kill -9 of the supervisor."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE)

    def interrupt(self) -> None:
        """Ctrl-C: SIGINT for all of the terminal's process group."""
        os.killpg(self.pid, signal.SIGINT)

    def running_now(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def greeting(self, port: int | None = None) -> dict[str, Any]:
        """What the worker says of itself to a new connection."""
        with self.connected(port) as line:
            return greeting(line)

    def connected(self, port: int | None = None) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port or self.port), PATIENCE)

    def processes(self) -> dict[str, int]:
        """The process ids by role, as the server tells them."""
        answer = json.loads(self.run("config", "--json").stdout)
        return dict(answer["processes"])

    def run(self, *words: str, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """A subcommand that speaks to it."""
        return subprocess.run(
            [*prefix, *self.command("-f", str(self.configuration), *words)],
            env={**os.environ, **MODULES},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def save(self, old: str, new: str) -> None:
        """Change the configuration as an editor does: a new file, renamed over the old one."""
        text = self.configuration.read_text()
        assert old in text
        fresh = self.configuration.with_suffix(".new")
        fresh.write_text(text.replace(old, new))
        fresh.rename(self.configuration)


def greeting(line: socket.socket) -> dict[str, Any]:
    """Read the worker's line."""
    with line.makefile("rb") as reader:
        said: dict[str, Any] = json.loads(reader.readline())
    return said


def await_end(pid: int) -> None:
    """Return once a process that is not our child has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended, _, _ = select.select([process], [], [], PATIENCE)
    os.close(process)
    assert ended, f"process {pid} does not end"
