"""The servers that are compared: how each is configured, started, watched and stopped.

Each gets a folder of its own on the same file system, a port on 127.0.0.1, virtual mailboxes of example.org
as Maildirs below `mail/`, a log file, and the durability it promises by default. Their configurations lie
in `peers/`, so that whoever doubts a figure can see what was measured.
"""

from __future__ import annotations

import importlib.metadata
import os
import pwd
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from mta.daemon.local import ask
from tests.bench import accounts, processes
from tests.bench.generator import DOMAIN, MAILBOXES

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

_PATIENCE = 60.0
"""Seconds for a server to start, to stop, or to deliver one more message."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Server(ABC):
    """A mail server that can be measured."""

    name: ClassVar[str]
    most_idle: ClassVar[int] = 10_000
    """Idle sessions it is asked to hold."""
    relays: ClassVar[bool] = True
    """It can send mail on."""
    greeting: ClassVar[bytes] = b"220"
    """How what it first says begins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mail = folder / "mail"
        self.port = free_port()
        self.next_hop = free_port()
        """Where mail for other domains goes; who wants to see it listens there."""
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @abstractmethod
    def missing(cls) -> str:
        """Why it cannot be measured here; empty when it can."""

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Name and version, for the head of the table."""

    @abstractmethod
    def prepare(self) -> list[str]:
        """Write the configuration; the command that runs the server in the foreground."""

    @property
    def pid(self) -> int:
        """The process that all others of this server descend from."""
        assert self._process is not None
        return self._process.pid

    def fill(self, template: str, target: Path, **more: object) -> Path:
        """Write a configuration from its template in `peers/`, where @folder@ and so on stand for ours."""
        text = (HERE / "peers" / template).read_text()
        ours = {"folder": self.folder, "port": self.port, "next_hop": self.next_hop}
        for name, value in {**ours, **more}.items():
            text = text.replace(f"@{name}@", str(value))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    @contextmanager
    def running(self) -> Iterator[None]:
        """From its greeting to the end of its last process."""
        self.mail.mkdir(parents=True, exist_ok=True)
        command = self.prepare()
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT
            )
        try:
            self._await_greeting()
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """End it as its operator would, and wait."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def _await_greeting(self) -> None:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: {(self.folder / 'output').read_text()[-2000:]}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as probe:
                    if probe.recv(3) == self.greeting:
                        return
            except ConnectionError:
                time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not greet on port {self.port}")

    def _new_folders(self) -> Iterator[Path]:
        for entry in os.scandir(self.mail):
            if not entry.name.startswith(".") and (new := Path(entry.path, "new")).is_dir():
                yield new

    def delivered(self) -> int:
        """How many messages lie in the mailboxes."""
        return sum(len(os.listdir(new)) for new in self._new_folders())

    def await_delivered(self, count: int) -> None:
        """Return once `count` messages are there.

        Looking costs the server processor time, so most of the time is spent not looking.
        Raises RuntimeError when none arrives for a minute.
        """
        last, since = -1, time.monotonic()
        while True:
            began = time.monotonic()
            found = self.delivered()
            ended = time.monotonic()
            if found >= count:
                return
            if found != last:
                last, since = found, ended
            elif ended - since > _PATIENCE:
                raise RuntimeError(f"{self.name}: {found} of {count} messages delivered, and no more come")
            time.sleep(max(0.005, 20 * (ended - began)))

    def clear(self) -> None:
        """Empty the mailboxes, and let the disk finish with that before anything is measured.

        The files move aside and go at the end, with the server's folder: on a disk that discards what is
        freed, deleting thousands of them slows whatever is measured next."""
        aside = Path(tempfile.mkdtemp(prefix="aside-", dir=self.folder))
        for number, new in enumerate(self._new_folders()):
            for entry in os.scandir(new):
                os.rename(entry.path, aside / f"{number}.{entry.name}")
        os.sync()

    def cpu_seconds(self) -> float:
        return processes.cpu_seconds(self.pid)


class Mta(Server):
    """Ours."""

    name = "mta"
    settings: ClassVar[Sequence[str]] = ()
    metrics = ""
    """Where its counters can be read, as the configuration says it."""

    @classmethod
    def missing(cls) -> str:
        return ""

    @classmethod
    def version(cls) -> str:
        revision = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return f"mta {revision.stdout.strip()} on Python {sys.version.split()[0]}"

    def prepare(self) -> list[str]:
        self._configure(relay=True)
        return [*self._program(), *self.settings]

    def let_relay(self, *, relay: bool) -> None:
        """Let mail be sent on, or stay in the queue; in force when this returns."""
        self._configure(relay=relay)
        subprocess.run([*self._program(), "reload"], check=True, cwd=ROOT, capture_output=True)

    def _configure(self, *, relay: bool) -> None:
        self.fill("mta.conf", self.folder / "mta.conf", relay=str(relay).lower(), metrics=self.metrics)

    def _program(self) -> list[str]:
        start = "import sys; from mta.cli.main import main; sys.exit(main())"
        return [sys.executable, "-c", start, "-f", str(self.folder / "mta.conf")]


class MtaByFile(Mta):
    """Ours, syncing each file by itself: better than a sync of all where others write to the same disk."""

    name = "mta-file"
    settings = ("--set", "application.maildir.sync=file")


class MtaListed(Mta):
    """Ours, with mail for its many accounts and aliases only."""

    name = "mta-listed"
    settings = ("--set", "local.mailboxes=listed")

    def prepare(self) -> list[str]:
        command = super().prepare()
        accounts.fill(self.folder / "users.db")
        return command


class MtaWatched(Mta):
    """Ours, while `mta top` looks at it and its counters are scraped, each once a second."""

    name = "mta-watched"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._scraped = free_port()
        self.metrics = f'"127.0.0.1:{self._scraped}"'

    @contextmanager
    def running(self) -> Iterator[None]:
        with super().running(), self._watched():
            yield

    @contextmanager
    def _watched(self) -> Iterator[None]:
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over,))
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(1.0):
            for request in _TOP_ASKS:
                ask(self.folder / "mta.sock", request)
            with urllib.request.urlopen(f"http://127.0.0.1:{self._scraped}/metrics") as page:
                page.read()


_TOP_ASKS = (
    {"request": "counters"},
    {"child": "receiver", "request": {"request": "sessions"}},
    {"child": "relay", "request": {"request": "stats"}},
)


class Postfix(Server):
    """An instance of its own, with its own configuration and queue; the system's is not touched."""

    name = "Postfix"
    most_idle = 200  # a process for each

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._etc = folder / "etc"

    @classmethod
    def missing(cls) -> str:
        if shutil.which("postfix", path="/usr/sbin") is None:
            return "not installed"
        return "" if os.geteuid() == 0 else "must be started as root"

    @classmethod
    def version(cls) -> str:
        said = subprocess.run(["postconf", "-dh", "mail_version"], capture_output=True, text=True, check=True)
        return f"Postfix {said.stdout.strip()}"

    def prepare(self) -> list[str]:
        owner = pwd.getpwnam("postfix")
        for name in ("main.cf", "master.cf"):
            self.fill(f"postfix/{name}", self._etc / name, uid=owner.pw_uid, gid=owner.pw_gid)
        # A slash at the end makes it a Maildir.
        (self._etc / "mailboxes").write_text("".join(f"{name}@{DOMAIN} {name}/\n" for name in MAILBOXES))
        (self.folder / "queue").mkdir()
        for folder in (self.folder / "data", self.mail):
            folder.mkdir(exist_ok=True)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        return ["/usr/sbin/postfix", "-c", str(self._etc), "start-fg"]

    def stop(self) -> None:
        children = [os.pidfd_open(pid) for pid in processes.tree(self.pid)]
        subprocess.run(
            ["/usr/sbin/postfix", "-c", str(self._etc), "stop"],
            check=False,
            timeout=_PATIENCE,
            capture_output=True,
        )
        super().stop()
        for child in children:  # which may outlive the master by a moment
            select.select([child], [], [], _PATIENCE)
            os.close(child)


class Aiosmtpd(Server):
    """The SMTP server of the Python world, with the Maildir of the standard library."""

    name = "aiosmtpd"
    relays = False

    @classmethod
    def missing(cls) -> str:
        return "" if find_spec("aiosmtpd") else "not installed"

    @classmethod
    def version(cls) -> str:
        return f"aiosmtpd {importlib.metadata.version('aiosmtpd')}"

    def prepare(self) -> list[str]:
        return [sys.executable, str(HERE / "peers" / "aiosmtpd_maildir.py"), str(self.port), str(self.mail)]


USUAL: tuple[type[Server], ...] = (Mta, Postfix, Aiosmtpd)
ALL: tuple[type[Server], ...] = (*USUAL, MtaByFile, MtaListed, MtaWatched)


def file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`."""
    said = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(folder)], capture_output=True, text=True, check=True
    )
    return said.stdout.strip()


def processor() -> str:
    """What /proc/cpuinfo calls the processor."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{os.cpu_count()} x {found[1] if found else 'processor'}"
