"""The old way of working: nc at the SMTP port, counters asked for by hand, the log switched off and on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.conftest import needs
from tests.instance import Instance, eventually, mta

ENVELOPE = ("HELO client.example", "MAIL FROM: user@example.org", "RCPT TO: user2")


class Netcat:
    """`nc -C`, as an operator types into it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._typed: IO[bytes] = process.stdin
        self._shown: IO[bytes] = process.stdout

    def type(self, line: str) -> str:
        """Type a line; returns the one that is the answer."""
        self._typed.write(line.encode() + b"\n")
        self._typed.flush()
        return self.read()

    def read(self) -> str:
        return self._shown.readline().decode().rstrip("\r\n")


@contextmanager
def netcat(server: Instance) -> Iterator[Netcat]:
    command = [needs("nc"), "-C", "127.0.0.1", str(server.port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        typing = Netcat(process)
        assert typing.read().startswith("220 ")
        try:
            yield typing
        finally:
            process.kill()


@pytest.fixture
def server(tmp_path: Path) -> Instance:
    return Instance(tmp_path, ("--set", "control.listen=127.0.0.1:0"))


def test_counters_in_the_middle_of_a_transaction(server: Instance) -> None:
    with server.running(), netcat(server) as first:
        for line in ENVELOPE:
            assert first.type(line).startswith("250 ")
        assert first.type("XSTAT TOTAL") == "250 total connections: 1"
        assert first.type("XSTAT CURRENT") == "250 current connections: 1"
        with netcat(server) as second:
            assert first.type("XSTAT TOTAL") == "250 total connections: 2"
            assert first.type("XSTAT CURRENT") == "250 current connections: 2"
            assert second.type("QUIT").startswith("221 ")
        assert eventually(lambda: first.type("XSTAT CURRENT") == "250 current connections: 1")
        with netcat(server) as third:
            assert first.type("XSTAT CURRENT") == "250 current connections: 2"
            third.process.kill()
        assert eventually(lambda: first.type("XSTAT CURRENT") == "250 current connections: 1")
        assert first.type("XSTAT TOTAL") == "250 total connections: 3"
        assert first.type("XSTAT MAILS") == "250 total mails sent: 0"
        assert first.type("DATA").startswith("354 ")
        assert first.type("Subject: by hand\n\nhello\n.").startswith("250 ")
        assert first.type("XSTAT MAILS") == "250 total mails sent: 1"
        size = len("Subject: by hand\r\n\r\nhello\r\n")
        assert first.type("XSTAT BYTES") == f"250 total bytes of data transferred: {size}"
        (stored,) = server.await_messages("user2")
        assert stored.endswith(b"\nSubject: by hand\n\nhello\n")


def test_a_log_that_is_switched_off_holds_nothing_of_the_session(server: Instance) -> None:
    def control(setting: str) -> None:
        port = str(server.ports["control"])
        assert mta("control", "-i", "127.0.0.1", "-P", port, setting).stdout == "OK\n"

    with server.running():
        control("logger=0")
        with netcat(server) as typing:
            for line in (*ENVELOPE, "DATA"):
                typing.type(line)
            assert typing.type(".").startswith("250 ")
            assert typing.type("WRONG").startswith("502 ")
            assert typing.type("QUIT").startswith("221 ")
        control("logger=1")
    assert server.records("started")
    assert server.records("stopped")
    switched = [(record.text("old"), record.text("new")) for record in server.records("set")]
    assert switched == [("1", "0"), ("0", "1")]
    assert server.records("connected", service="smtp") == []
    assert server.records("accepted") == server.records("rejected") == []
    assert "user2" not in server.output()
