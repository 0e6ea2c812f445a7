"""`mta explain` says what the server does, and what decided it."""

from __future__ import annotations

import json
import re
import smtplib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.passwords import Secrets
from tests.instance import CONFIGURATION, Instance, mta

LISTED = CONFIGURATION.replace('mailboxes = "any"', 'mailboxes = "listed"').replace(
    "relay: { enabled = false }",
    'relay: { from = [ ], domains = [ "backup.example" ], routes = [ "other.example smtp://127.0.0.1:9" ] }',
)
RECIPIENTS = [
    "anna@example.org", "ANNA+x@example.org", "nobody@example.org", "old@example.org", "full@example.org",
    "team@example.org", "circle@example.org", "postmaster", "postmaster@example.org", "caught",
    "v@other.example", "v@backup.example", "v%other.example@example.org", "@example.org:v@other.example",
    "v@[192.0.2.1]", "SRS0=AAAAAAAA=BB=other.example=v@example.org", "a b@example.org", "é@example.org", "",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A server with accounts and aliases of every kind."""
    folder = tmp_path_factory.mktemp("explained")
    more = ("--set", 'submission.listen=["127.0.0.1:0"]', "--set", "limits.recipients=100")
    instance = Instance(folder, more, LISTED)
    people = Accounts(Database(f"sqlite:///{folder}/users.db"))
    secrets = Secrets("{PLAIN}secret")
    for name in ("anna", "old", "full"):
        people.add(name, "example.org", secrets)
    for alias, targets in {
        "team": ["anna@example.org", "bob@other.example", "old@example.org"],
        "circle": ["circle@example.org"],
        "sales": ["anna@example.org"],
    }.items():
        people.add_alias(alias, "example.org", targets)
    old, full = people.find("old", "example.org"), people.find("full", "example.org")
    assert old is not None
    assert full is not None
    people.set_enabled(old.id, False)
    people.set_quota(full.id, 1, 0)
    people.add_ban("192.0.2.66", None)
    with instance.running():
        yield instance


def answers(server: Instance, sender: str, *, login: str = "", port: str = "smtp") -> list[str]:
    """What the server says to MAIL, and if it accepts that to each RCPT."""
    with smtplib.SMTP("127.0.0.1", server.ports[port]) as client:
        client.ehlo("client.example")
        if login:
            client.login(login, "secret")
        utf8 = " SMTPUTF8" if any(not each.isascii() for each in RECIPIENTS) else ""
        lines = [f"MAIL FROM:<{sender}>{utf8}", *(f"RCPT TO:<{each}>" for each in RECIPIENTS)]
        found: list[str] = []
        for line in lines:
            client.send(f"{line}\r\n".encode())
            code, text = client.getreply()
            found.append(f"{code} {text.decode()}")
            if code >= 400 and len(found) == 1:
                break
    return [re.sub(r" \(session \w+\)$", "", each) for each in found]


def explained(server: Instance, *words: str, status: Sequence[int] = (0, 1)) -> list[dict[str, Any]]:
    """The parts of an explanation."""
    done = mta("-f", str(server.configuration), "explain", "--json", *words, check=False)
    assert done.returncode in status, done
    parts: list[dict[str, Any]] = json.loads(done.stdout)["parts"]
    return parts


@pytest.mark.parametrize(
    ("sender", "login", "port"),
    [
        ("s@client.example", "", "smtp"),
        ("", "", "smtp"),
        ("s@client.example", "", "submission"),
        ("anna@example.org", "anna", "submission"),
        ("anna+x@example.org", "anna@example.org", "submission"),
        ("sales@example.org", "anna", "submission"),
        ("team@example.org", "anna", "submission"),
        ("", "anna", "submission"),
        ("not an address", "", "smtp"),
    ],
)
def test_it_says_what_the_server_says(server: Instance, sender: str, login: str, port: str) -> None:
    to = [word for each in RECIPIENTS for word in ("--to", each)]
    words = ["--from", sender, "--ip", "127.0.0.1", "--port", port, *to]
    parts = explained(server, *words, *(["--login", login] if login else []))
    said = [part["reply"] for part in parts if part["about"].startswith(("sender", "recipient"))]
    assert said == answers(server, sender, login=login, port=port)


@pytest.mark.parametrize("port", ["smtp", "datagram"])
def test_where_nobody_can_log_in(server: Instance, port: str) -> None:
    words = ["--from", "anna@example.org", "--to", "caught", "--ip", "127.0.0.1", "--login", "anna"]
    _, login = explained(server, *words, "--port", port, status=[1])
    assert login["steps"][0]["text"] == "nobody can log in there"
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"]) as client:
        client.ehlo("client.example")
        code, text = client.docmd("AUTH PLAIN")
    assert login["reply"] == re.sub(r" \(session \w+\)$", "", f"{code} {text.decode()}")


def deciders(part: dict[str, Any]) -> list[str]:
    """What decided the steps of a part: a row, or a setting and its place."""
    return [step["row"] or f"{step['setting']} {step['origin'].rpartition('/')[2]}" for step in part["steps"]]


def test_each_step_names_the_row_or_the_place_that_decided_it(server: Instance) -> None:
    words = ["--from", "s@client.example", "--to", "team@example.org", "--to", "nobody@example.org"]
    client, sender, team, nobody, limits = explained(server, *words, "--ip", "127.0.0.1", status=[1])
    lines = server.configuration.read_text().splitlines()
    place = {
        key: f"mta.conf:{number + 1}:{line.index(word) + 1}"
        for key, word in {
            "local.domains": "domains = ",
            "local.mailboxes": "mailboxes = ",
            "relay.from": "from = ",
            "relay.routes": "routes = ",
            "application.maildir.path": "path = ",
        }.items()
        for number, line in [next((n, line) for n, line in enumerate(lines) if word in line)]
    }
    assert deciders(client) == [f"relay.from {place['relay.from']}"]
    assert deciders(sender) == ["smtp.senders default"]
    assert deciders(team) == [
        f"local.domains {place['local.domains']}",
        "alias team@example.org",
        "user anna@example.org",
        f"local.domains {place['local.domains']}",
        "user old@example.org",
        "limits.mailboxes default",
        "limits.domains default",
        f"application.maildir.path {place['application.maildir.path']}",
        f"application.maildir.path {place['application.maildir.path']}",
        f"relay.routes {place['relay.routes']}",
        f"relay.routes {place['relay.routes']}",
    ]
    assert deciders(nobody)[-1] == f"local.mailboxes {place['local.mailboxes']}"
    assert "limits.recipients command line" in deciders(limits)


@pytest.mark.parametrize(
    ("words", "reply", "row"),
    [
        (["--ip", "192.0.2.66"], "554 5.7.1 you are not served here", "ban 192.0.2.66"),
        (["--ip", "::ffff:192.0.2.66"], "554 5.7.1 you are not served here", "ban 192.0.2.66"),
        (
            ["--ip", "127.0.0.1", "--port", "submission", "--login", "old"],
            "535 5.7.8",
            "user old@example.org",
        ),
    ],
)
def test_who_gets_no_further_is_told_why(
    server: Instance, words: Sequence[str], reply: str, row: str
) -> None:
    parts = explained(server, "--from", "", "--to", "anna@example.org", *words, status=[1])
    assert parts[-1]["reply"].startswith(reply)
    assert parts[-1]["steps"][-1]["row"] == row


def test_people_get_lines(server: Instance) -> None:
    words = ["--from", "", "--to", "anna@example.org", "--ip", "192.0.2.1"]
    text = mta("-f", str(server.configuration), "explain", *words).stdout
    assert "    it goes into the mailbox anna  [user anna@example.org]\n    " in text
    assert "recipient <anna@example.org>\n" in text
    assert "    250 2.1.5 recipient ok\n" in text


def test_without_a_server_the_file_and_the_tree_tell(tmp_path: Path) -> None:
    instance = Instance(tmp_path, (), LISTED)
    parts = explained(instance, "--from", "", "--to", "anna@example.org", "--ip", "192.0.2.1", status=[1])
    assert [part["reply"] for part in parts if part["refused"]] == ["550 5.1.1 no such mailbox here"]
    assert list(instance.maildir.iterdir()) == []


@pytest.mark.parametrize("word", ["a@b\r\nRCPT TO:<c@d>", "\udcff"])
def test_what_cannot_stand_in_a_command_is_wrong_usage(tmp_path: Path, word: str) -> None:
    instance = Instance(tmp_path, (), LISTED)
    words = ["explain", "--from", word, "--to", "anna@example.org", "--ip", "192.0.2.1"]
    done = mta("-f", str(instance.configuration), *words, check=False)
    assert done.returncode == 2
    assert "cannot stand in a command" in done.stderr
