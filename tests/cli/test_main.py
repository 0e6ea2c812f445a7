"""The command line: what each word does, and every exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

import mta
from mta.cli.main import SUBCOMMANDS
from tests.instance import CONFIGURATION, MTA, ROOT, Instance
from tests.instance import mta as run


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "mta.conf"
    path.parent.mkdir()
    path.write_text(CONFIGURATION)
    return path


def test_the_version() -> None:
    assert run("-V").stdout == f"mta {mta.__version__}\n"


@pytest.mark.parametrize(
    "words", ["-h", "--help", *(f"{each} --help" for each in SUBCOMMANDS)], ids=lambda words: words
)
def test_help(words: str) -> None:
    assert run(*words.split()).stdout.startswith("usage: mta")


def test_help_lists_the_subcommands() -> None:
    assert "reload    let the running server read its configuration again" in run("-h").stdout


@pytest.mark.parametrize(
    "words",
    [[], ["--nonsense"], ["nonsense"], ["-t", "config"], ["config", "--nonsense"], ["tls"], ["-f"]],
)
def test_wrong_usage(words: list[str]) -> None:
    done = run(*words, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: mta")
    assert done.stdout == ""


# the check


def test_the_check_says_what_a_server_would_do(configuration: Path) -> None:
    lines = run("-f", str(configuration), "-t").stdout.splitlines()
    assert lines[0] == f"{configuration}: nothing wrong"
    assert "listens: smtp 127.0.0.1:0" in lines
    assert f"mail: {configuration.parent.parent}/maildir" in lines
    assert not (configuration.parent.parent / "maildir").exists()


def test_the_check_of_an_override(configuration: Path) -> None:
    lines = run("-f", str(configuration), "--set", "smtp.listen=127.0.0.1:7", "-t").stdout.splitlines()
    assert "listens: smtp 127.0.0.1:7" in lines


def test_the_check_shows_every_mistake_with_a_caret(configuration: Path) -> None:
    configuration.write_text(CONFIGURATION.replace("hostname", "hostnam").replace('"any"', "5"))
    done = run("-f", str(configuration), "-t", check=False)
    assert done.returncode == 78
    assert f"{configuration}:1:1: unknown key hostnam" in done.stderr
    assert done.stderr.count("^") >= 2
    assert done.stdout == ""


def test_the_check_reads_the_certificate(configuration: Path) -> None:
    done = run("-f", str(configuration), "--set", "tls.certificate=none.pem", "-t", check=False)
    assert done.returncode == 78
    assert done.stderr == f"mta: tls: {configuration.parent}/none.pem: No such file or directory\n"


@pytest.mark.parametrize("words", [["-t"], ["config"], ["reload"], []])
def test_no_configuration(tmp_path: Path, words: list[str]) -> None:
    done = run("-f", str(tmp_path / "none"), *words, check=False)
    assert done.returncode == 78
    assert f"{tmp_path}/none" in done.stderr
    assert "Traceback" not in done.stderr


# with a server, and without


@pytest.mark.parametrize("command", ["config", "reload"])
def test_no_server(configuration: Path, command: str) -> None:
    done = run("-f", str(configuration), command, check=False)
    assert done.returncode == 75
    assert "no server answers here" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_settings_and_their_origins(server: Instance) -> None:
    rows = [line.split() for line in run("-f", str(server.configuration), "config").stdout.splitlines()]
    assert rows[0] == ["hostname", "mx.example.org", f"{server.configuration}:1:1"]
    assert ["limits.recipients", "1000", "default"] in rows


def test_some_settings(server: Instance) -> None:
    done = run("-f", str(server.configuration), "config", "limits", "hostname")
    keys = {line.split()[0] for line in done.stdout.splitlines()}
    assert {"hostname", "limits.errors"} < keys
    assert "smtp.listen" not in keys


def test_no_such_setting(server: Instance) -> None:
    done = run("-f", str(server.configuration), "config", "limit", check=False)
    assert done.returncode == 1
    assert done.stderr == "mta: no such key: limit; mta config shows them all\n"


def test_everything_as_json(server: Instance) -> None:
    answer = json.loads(run("-f", str(server.configuration), "config", "--json").stdout)
    assert answer["listeners"] == [
        {"service": "smtp", "address": "127.0.0.1:0", "bound": f"127.0.0.1:{server.port}"}
    ]
    assert answer["processes"]["supervisor"] == server.pid
    assert {"key": "hostname", "value": "mx.example.org", "origin": f"{server.configuration}:1:1"} in answer[
        "settings"
    ]


def test_passwords_are_not_shown(tmp_path: Path) -> None:
    words = ("--set", "users.database=postgresql://mta:secret@db.example.org/mta")
    with Instance(tmp_path, words).running() as server:
        shown = run("-f", str(server.configuration), "config", "users.database").stdout
    assert "postgresql://mta:***@db.example.org/mta" in shown
    assert "command line" in shown


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*MTA, "-h"], env=environment, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")
