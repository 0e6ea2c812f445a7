"""Two servers with forwards between them: mail gets through, bounces come home, circles end."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from mta.users.accounts import Accounts
from mta.users.database import Database
from tests.instance import CONFIGURATION, Instance, eventually
from tests.peers.neighbours import free_port

STRANGERS = CONFIGURATION.replace("relay: { enabled = false }", 'relay: { from = [ ], retry = [ "1s" ] }')

FIRST_ALIASES = {
    "team@example.org": "user@b.example",
    "lost@example.org": "further@b.example",
    "loop@example.org": "loop@b.example",
}
SECOND_ALIASES = {
    "further@b.example": "v@nowhere.example",
    "loop@b.example": "loop@example.org",
}


class Neighbours:
    """example.org, and the server of b.example, where the senders from c.example live too."""

    def __init__(self, folder: Path) -> None:
        first, second = free_port(), free_port()
        self.first = _server(
            folder / "a", first, {"b.example": second, "c.example": second}, ["example.org"], FIRST_ALIASES
        )
        # What goes to nowhere.example is taken to a server that does not want it.
        self.second = _server(
            folder / "b",
            second,
            {"example.org": first, "nowhere.example": first},
            ["b.example", "c.example"],
            SECOND_ALIASES,
        )

    def send(self, recipient: str) -> None:
        with smtplib.SMTP("127.0.0.1", self.first.port) as client:
            client.sendmail("anna@c.example", [recipient], b"Subject: tidings\r\n\r\nHello.\r\n")


def _server(
    folder: Path, port: int, routes: Mapping[str, int], domains: list[str], aliases: Mapping[str, str]
) -> Instance:
    folder.mkdir()
    there = ", ".join(f'"{domain} smtp://127.0.0.1:{at}"' for domain, at in routes.items())
    ours = ", ".join(f'"{each}"' for each in domains)
    values = {
        "smtp.listen": f'["127.0.0.1:{port}"]',
        "relay.routes": f"[{there}]",
        "local.domains": f"[{ours}]",
        "hostname": f'"mx.{domains[0]}"',
    }
    more = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    people = Accounts(Database(f"sqlite:///{folder}/users.db"))
    for alias, target in aliases.items():
        local, _, domain = alias.partition("@")
        people.add_alias(local, domain, [target])
    return Instance(folder, more, STRANGERS)


@pytest.fixture
def neighbours(tmp_path: Path) -> Iterator[Neighbours]:
    made = Neighbours(tmp_path)
    with ExitStack() as running:
        running.enter_context(made.first.running())
        running.enter_context(made.second.running())
        yield made


def return_paths(messages: list[bytes]) -> list[bytes]:
    return [message.partition(b"\n")[0].removeprefix(b"Return-Path: ") for message in messages]


def test_forwarded_mail_arrives_with_a_return_address(neighbours: Neighbours) -> None:
    neighbours.send("team@example.org")
    [arrived] = neighbours.second.await_messages("user")
    [path] = return_paths([arrived])
    assert path.startswith(b"<SRS0=")
    assert path.endswith(b"=c.example=anna@example.org>")
    assert b"\nDelivered-To: team@example.org\nReceived: " in arrived
    neighbours.first.await_record("delivered", recipient="user@b.example")
    assert eventually(lambda: not neighbours.first.letters("b.example"))


def test_a_bounce_goes_all_the_way_home(neighbours: Neighbours) -> None:
    neighbours.send("lost@example.org")
    # Forwarded twice, refused at the end, reported to our return address, and from there to the sender.
    [report] = neighbours.second.await_messages("anna")
    assert return_paths([report]) == [b"<>"]
    assert b"To: <SRS0=" in report
    assert b"Final-Recipient: rfc822; v@nowhere.example" in report
    assert b"Original-Recipient: rfc822; lost@example.org" in report
    neighbours.first.await_record("delivered", recipient="anna@c.example")


def test_a_circle_of_two_servers_ends_with_one_report(neighbours: Neighbours) -> None:
    neighbours.send("loop@example.org")
    [report] = neighbours.second.await_messages("anna")
    assert b"554 5.4.6" in report
    neighbours.first.await_record("delivered", recipient="anna@c.example")
    assert eventually(lambda: not neighbours.first.letters("b.example"))
    assert eventually(lambda: not neighbours.second.letters("example.org"))
    assert len(neighbours.second.messages("anna")) == 1
