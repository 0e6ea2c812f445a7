"""The real receiver, under the real supervisor, while things die and change."""

from __future__ import annotations

import json
import os
import signal
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.instance import PATIENCE, Instance, mta


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Instance]:
    with Instance(tmp_path).running() as instance:
        yield instance


def client(server: Instance) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", server.port, timeout=PATIENCE)


def send(server: Instance) -> None:
    with client(server) as session:
        session.sendmail("a@b.example", ["user1@example.org"], "Subject: x\r\n\r\nx\r\n")


@pytest.mark.parametrize("child", ["receiver", "logger"])
def test_mail_goes_on_when_a_child_is_killed(server: Instance, child: str) -> None:
    answer = json.loads(mta("-f", str(server.configuration), "config", "--json").stdout)
    os.kill(answer["processes"][child], signal.SIGKILL)
    send(server)
    server.await_record("accepted")
    assert len(server.messages("user1")) == 1


def test_a_session_keeps_its_rules_and_the_next_has_the_new_ones(server: Instance) -> None:
    with client(server) as old:
        text = server.configuration.read_text()
        server.configuration.write_text(text.replace("mx.example.org", "new.example.org"))
        server.await_record("reloaded", key="hostname")
        assert old.helo("me.example")[1].startswith(b"mx.example.org")
        mta("-f", str(server.configuration), "reload")
        with client(server) as new:
            assert new.helo("me.example")[1].startswith(b"new.example.org")


def test_a_debug_transcript_begins_with_a_save_while_a_session_is_open(server: Instance) -> None:
    with client(server) as session:
        text = server.configuration.read_text()
        server.configuration.write_text(text.replace("application: {", "application: {\n  debug = true"))
        mta("-f", str(server.configuration), "reload")
        server.await_record("reloaded", key="application.debug", new="true")
        session.noop()
        server.await_record("transcript", received="noop")


def test_open_sessions_are_told_421_at_the_end(tmp_path: Path) -> None:
    server = Instance(tmp_path)
    server.start()
    session = client(server)
    session.helo("me.example")
    os.kill(server.pid, signal.SIGTERM)
    assert session.getreply()[0] == 421
    session.close()
    assert server.stop() == 0


def test_open_sessions_are_told_421_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    server = Instance(tmp_path)
    server.start()
    session = client(server)
    session.helo("me.example")
    os.kill(server.pid, signal.SIGKILL)
    assert session.getreply()[0] == 421
    session.close()
    assert server.stop() == -signal.SIGKILL
    server.start()
    send(server)
    assert server.stop() == 0
