"""Two servers on one machine: what one accepts for a user of the other arrives there."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.instance import CONFIGURATION, Instance

MESSAGE = b"Subject: tidings\r\n\r\nFrom here to there.\r\n"

FIRST = CONFIGURATION.replace("relay: { enabled = false }", 'relay: { retry = [ "1s" ] }')
SECOND = CONFIGURATION.replace("example.org", "b.example")


@pytest.fixture
def port() -> int:
    """One that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def second(tmp_path: Path, port: int) -> Instance:
    """The server of b.example, not running yet."""
    (tmp_path / "b").mkdir()
    return Instance(tmp_path / "b", ("--set", f'smtp.listen=["127.0.0.1:{port}"]'), SECOND)


@pytest.fixture
def first(tmp_path: Path, port: int) -> Iterator[Instance]:
    """A running server that sends mail for b.example to the second."""
    (tmp_path / "a").mkdir()
    route = f'relay.routes=["b.example smtp://127.0.0.1:{port}"]'
    with Instance(tmp_path / "a", ("--set", route), FIRST).running() as instance:
        yield instance


def send(server: Instance, recipient: str) -> None:
    with smtplib.SMTP("127.0.0.1", server.port) as client:
        client.sendmail("s@example.org", [recipient], MESSAGE)


def test_a_message_for_a_user_of_the_other_server_arrives_there(first: Instance, second: Instance) -> None:
    with second.running():
        send(first, "user@b.example")
        first.await_record("delivered", recipient="user@b.example")
        [arrived] = second.messages("user")
        assert arrived.endswith(b"\n\nFrom here to there.\n")
    assert first.letters("b.example") == []


def test_a_message_waits_for_a_server_that_is_down(first: Instance, second: Instance) -> None:
    send(first, "user@b.example")
    deferred = first.await_record("deferred", recipient="user@b.example")
    assert deferred.text("reason") == "connection-refused"
    assert first.letters("b.example")[0].startswith(b"mta-letter/1 ")
    with second.running():
        first.await_record("delivered", recipient="user@b.example")
        assert len(second.messages("user")) == 1
    assert first.letters("b.example") == []
