"""`mta story`, on the log of a running server."""

from __future__ import annotations

import gzip
import json
import re
import smtplib
from errno import EACCES
from pathlib import Path

import pytest

from mta.cli.story import Archive
from mta.config.load import load
from mta.daemon.errors import CannotStart
from mta.log.logfmt import format_record
from tests.instance import CONFIGURATION, Instance
from tests.instance import mta as run

LOGGED = CONFIGURATION.replace('log: { path = "" }', 'log: { path = "../log/mta.log" }')


def story(configuration: Path, *words: str, status: int = 0) -> str:
    done = run("-f", str(configuration), "story", *words, check=False)
    assert done.returncode == status, done
    assert bool(done.stdout) is (status == 0)
    return done.stdout if status == 0 else done.stderr


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The configuration of a server that has run with a transcript, the id of a message to three, and the
    session of a refusal."""
    folder = tmp_path_factory.mktemp("lived")
    server = Instance(folder, ["--set", "application.debug=true"])
    with server.running(), smtplib.SMTP("127.0.0.1", server.port) as client:
        client.ehlo("client.example")
        client.mail("anne@far.example")
        for name in ("Bob", "carol", "dave"):
            client.rcpt(f"{name}@example.org")
        identifier = client.data(b"Subject: hello\r\n\r\nhello\r\n")[1].split()[-1].decode()
        client.mail("anne@far.example")
        _, refusal = client.rcpt("bad name@example.org")
    configuration = folder / "etc" / "story.conf"
    configuration.write_text(LOGGED)
    (folder / "log").mkdir()
    (folder / "log" / "mta.log").write_bytes(server.log())
    session = refusal.rpartition(b"session ")[2].rstrip(b")").decode()
    return configuration, identifier, session


def test_the_life_of_a_message(lived: tuple[Path, str, str]) -> None:
    configuration, identifier, _ = lived
    told = story(configuration, identifier)
    for said in (
        r"127\.0\.0\.1:\d+ connects \(smtp\)",
        r"  C: MAIL FROM:<anne@far\.example>",
        r"  S: 354 ",
        rf"the message {identifier} from <anne@far\.example> to <Bob@example\.org>, <carol@example\.org>, ",
        r"the session ends \(quit\)",
    ):
        assert re.search(said, told, re.IGNORECASE), (said, told)
    assert "bad name" not in told


def test_the_session_that_a_reject_named(lived: tuple[Path, str, str]) -> None:
    configuration, identifier, session = lived
    told = story(configuration, session)
    assert "rcpt TO:<bad name@example.org> is refused: 501 " in told
    assert f"the message {identifier}" in told


@pytest.mark.parametrize(
    "words", [("--to", "carol@example.org"), ("--to", "BOB@example.org"), ("--since", "1h")]
)
def test_by_recipient_and_by_time(lived: tuple[Path, str, str], words: tuple[str, str]) -> None:
    configuration, identifier, _ = lived
    assert identifier in story(configuration, *words)


def test_by_sender_as_json(lived: tuple[Path, str, str]) -> None:
    configuration, identifier, _ = lived
    (told,) = json.loads(story(configuration, "--from", "anne@far.example", "--json"))
    assert told["subject"] == identifier
    assert {"connected", "accepted", "closed"} <= {record["event"] for record in told["records"]}


def test_a_log_that_is_somebody_else_s(lived: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(folder: Path) -> list[str]:
        raise PermissionError(EACCES, "Permission denied", folder)

    monkeypatch.setattr("mta.cli.story.os.listdir", closed)
    with pytest.raises(CannotStart, match="be root") as error:
        Archive.of(load(lived[0]).settings, None)
    assert error.value.status == 77


def test_what_the_log_does_not_know(lived: tuple[Path, str, str]) -> None:
    configuration, _, _ = lived
    assert "knows nothing of" in story(configuration, "0" * 20, status=1)
    assert "knows nothing of" in story(configuration, "--to", "zoe@example.org", status=1)


@pytest.mark.parametrize("words", [(), ("short",), ("--since", "yesterday")])
def test_words_that_are_not_understood(lived: tuple[Path, str, str], words: tuple[str, ...]) -> None:
    configuration, _, _ = lived
    assert "mta story" in story(configuration, *words, status=2)


def test_a_log_that_is_no_file(tmp_path: Path) -> None:
    configuration = tmp_path / "mta.conf"
    configuration.write_text(CONFIGURATION)
    assert "application.log.path" in story(configuration, "0" * 20, status=2)


def test_a_rotated_and_compressed_log_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "log").mkdir()
    configuration = tmp_path / "etc" / "mta.conf"
    configuration.write_text(LOGGED)
    fields = {"id": "1" * 20, "recipient": "bob@far.example", "reply": "250 2.0.0 \x1b[2Jtaken"}
    delivered = format_record(1_795_262_400, "INFO", "relay", "delivered", fields)
    (tmp_path / "log" / "mta.log.2.gz").write_bytes(gzip.compress(delivered))
    assert story(configuration, "1" * 20) == (
        '2026-11-21 (UTC)\n  12:00:00.000  <bob@far.example> delivered: they said "250 2.0.0 \\x1b[2Jtaken"\n'
    )
