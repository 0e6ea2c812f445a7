"""Live settings: what may be set, in which units, how they are shown, and how long they last."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from mta.cli.tls import self_signed
from mta.config import Settings, Snapshot
from mta.config.load import load
from mta.daemon.listeners import Listeners
from mta.daemon.live import LIVE, NotLive, changed, number
from mta.daemon.reload import InForce, Source
from tests.instance import CONFIGURATION, Instance, mta


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    path = tmp_path / "mta.conf"
    path.write_text(CONFIGURATION)
    return load(path)


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("limits.connections", 5, "5"),
        ("limits.timeout", 600, "600"),
        ("limits.message", 70_000, "70000"),
        ("application.debug", 1, "1"),
        ("relay.enabled", 0, "0"),
    ],
)
def test_a_value_is_set_in_its_unit_and_shown_in_it(
    snapshot: Snapshot, key: str, value: int, shown: str
) -> None:
    after = changed(snapshot, key, value)
    assert number(after.settings, key) == shown
    assert after.origins[key] == "control"
    assert [name for name in after.origins if after.origins[name] != snapshot.origins[name]] == [key]


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("limits.connections", 0, "out of range"),
        ("limits.connections", 10**12, "out of range"),
        ("limits.timeout", 299, "too little"),
        ("limits.message", 65_535, "too little"),
        ("limits.message", -1, "size"),
        ("application.debug", 2, "true or false"),
        ("hostname", 1, "no live setting"),
        ("relay.port", 25, "no live setting"),
        ("limits", 1, "no live setting"),
        ("limits.nothing", 1, "no live setting"),
    ],
)
def test_what_cannot_be_set_says_why(snapshot: Snapshot, key: str, value: int, why: str) -> None:
    with pytest.raises(NotLive, match=why):
        changed(snapshot, key, value)


def test_every_live_setting_can_be_set_to_what_it_is(snapshot: Snapshot) -> None:
    for key in LIVE:
        value = int(number(snapshot.settings, key))
        assert changed(snapshot, key, value).settings == snapshot.settings


def test_a_value_from_the_command_line_may_have_a_fraction(tmp_path: Path) -> None:
    path = tmp_path / "mta.conf"
    path.write_text(CONFIGURATION)
    settings: Settings = load(path, ("limits.timeout=500ms",)).settings
    assert number(settings, "limits.timeout") == "0.5"


# in a running server


class Line:
    """A connection to the control port."""

    def __init__(self, server: Instance) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.ports["control"]), 20)
        self._file = self._socket.makefile("rb")

    def say(self, line: str) -> str:
        self._socket.sendall(line.encode() + b"\r\n")
        return self._file.readline().decode().rstrip("\r\n")

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def server(tmp_path: Path) -> Instance:
    return Instance(tmp_path, ("--set", "control.listen=127.0.0.1:0"))


def origin(server: Instance, key: str) -> list[str]:
    answer = mta("-f", str(server.configuration), "config", key, check=False)
    return answer.stdout.split()


def test_a_live_setting_acts_at_once_shows_its_origin_and_lasts_until_a_reload(server: Instance) -> None:
    with server.running():
        line = Line(server)
        assert line.say("limits.recipients=200") == "OK"
        assert origin(server, "limits.recipients") == ["limits.recipients", "200", "control"]
        with socket.create_connection(("127.0.0.1", server.port), 20) as sock, sock.makefile("rwb") as smtp:
            assert smtp.readline().startswith(b"220 ")
            smtp.write(b"EHLO client.example\r\n")
            smtp.flush()
            assert b"250-LIMITS RCPTMAX=200\r\n" in [smtp.readline() for _ in range(5)]
        told = server.await_record("set", key="limits.recipients")
        assert (told.text("old"), told.text("new")) == ("1000", "200")
        assert told.text("by").startswith("control 127.0.0.1:")
        assert line.say("logger=0") == "OK"
        assert origin(server, "logger") == ["logger", "0", "control"]
        assert mta("-f", str(server.configuration), "reload").returncode == 0
        assert origin(server, "limits.recipients") == ["limits.recipients", "1000", "default"]
        assert origin(server, "logger") == []
        assert line.say("GET logger") == "logger=1"
        line.close()


def test_whoever_steers_gets_in_when_no_connection_is_left(server: Instance) -> None:
    with server.running():
        with socket.create_connection(("127.0.0.1", server.port), 20) as only, only.makefile("rb") as smtp:
            smtp.readline()
            first = Line(server)
            assert first.say("limits.connections=1") == "OK"
            with socket.create_connection(("127.0.0.1", server.port), 20) as more:
                assert more.recv(1000).startswith(b"421 ")
            second = Line(server)
            assert second.say("limits.connections=2") == "OK"
            with socket.create_connection(("127.0.0.1", server.port), 20) as more:
                assert more.recv(1000).startswith(b"220 ")
        first.close()
        second.close()


def test_the_metrics_process_comes_and_goes_with_its_listener(server: Instance) -> None:
    def listen(where: str) -> dict[str, str]:
        text = CONFIGURATION + f"metrics: {{ listen = [ {where} ] }}\n"
        server.configuration.write_text(text)
        assert mta("-f", str(server.configuration), "reload").returncode == 0
        answer = mta("-f", str(server.configuration), "config", "--json").stdout
        return dict(json.loads(answer)["processes"])

    with server.running():
        assert "metrics" not in listen("")
        assert "metrics" in listen('"127.0.0.1:0"')
        assert "metrics" not in listen("")
        assert "metrics" in listen('"127.0.0.1:0"')
        assert server.records("child_died") == []


# in the hands of the supervisor


def in_force(folder: Path, services: frozenset[str]) -> InForce:
    certificate, key = self_signed("mx.example.org", 10)
    (folder / "crt").write_bytes(certificate)
    (folder / "key").write_bytes(key)
    (folder / "mta.conf").write_text(CONFIGURATION)
    words = (f"tls.certificate={folder}/crt", f"tls.key={folder}/key")
    source = Source(folder / "mta.conf", words)
    return InForce(source, source.load(), Listeners(), services, None)


def test_only_who_speaks_tls_is_given_the_key(tmp_path: Path) -> None:
    told = in_force(tmp_path, frozenset()).message
    assert told(frozenset({"smtp"}))[0]["certificate"] is not None
    assert told(frozenset({"metrics"}))[0]["certificate"] is None
    assert told(frozenset())[0]["certificate"] is None


def test_a_live_setting_has_a_serial_of_its_own_and_a_refused_one_changes_nothing(tmp_path: Path) -> None:
    held = in_force(tmp_path, frozenset())
    before = held.snapshot
    assert held.set("limits.errors", 0).status == 1
    assert (held.serial, held.snapshot) == (1, before)
    outcome = held.set("limits.errors", 7)
    assert [(change.key, change.old, change.new) for change in outcome.changes] == [
        ("limits.errors", "20", "7")
    ]
    assert (held.serial, held.get("limits.errors")) == (2, "7")
    assert held.set("logging", -3).status == 0
    assert (held.get("logger"), held.get("logging"), held.get("nothing")) == ("1", "1", "")
    held.set("logger", 0)
    assert held.message(frozenset())[0]["logging"] is False
    held.reload()
    assert held.message(frozenset())[0]["logging"] is True
    assert held.get("limits.errors") == "20"
