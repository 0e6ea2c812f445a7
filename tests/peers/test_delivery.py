"""What real clients hand in lies where it belongs, byte for byte, with and without TLS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.instance import Instance, mta
from tests.peers.clients import BODY, CLIENTS, SENDER, Client


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("peers")


@pytest.fixture(scope="module")
def certificate(tree: Path) -> Path:
    """A certificate for mx.example.org; its key lies beside it."""
    pair = tree / "tls"
    pair.mkdir()
    configuration = tree / "names.conf"
    configuration.write_text('hostname = "mx.example.org"\nlocal: { domains = [ "example.org" ] }\n')
    mta("-f", str(configuration), "tls", "self-signed", "--out", str(pair))
    (found,) = pair.glob("*.crt")
    return found


@pytest.fixture(scope="module")
def server(tree: Path, certificate: Path) -> Iterator[Instance]:
    """One server for all tests of this file: each has mailboxes of its own."""
    key = certificate.with_suffix(".key")
    words = ["--set", f'tls.certificate="{certificate}"', "--set", f'tls.key="{key}"']
    with Instance(tree / "server", words).running() as instance:
        yield instance


@pytest.fixture(params=[False, True], ids=["plain", "starttls"])
def trusted(request: pytest.FixtureRequest, certificate: Path) -> Path | None:
    """The certificate when the client is to use TLS."""
    return certificate if request.param else None


@pytest.fixture(params=CLIENTS, ids=lambda client: client.__name__.removeprefix("by_"))
def client(request: pytest.FixtureRequest) -> Client:
    chosen: Client = request.param
    return chosen


@pytest.fixture
def name(client: Client, trusted: Path | None) -> str:
    """Part of a mailbox's or a domain's name that no other test uses."""
    return f"{client.__name__.removeprefix('by_')}-{'plain' if trusted is None else 'tls'}"


def stored_once(found: Sequence[bytes]) -> bytes:
    (content,) = found
    return content


def test_to_one_mailbox(server: Instance, client: Client, trusted: Path | None, name: str) -> None:
    mailbox = f"one-{name}"

    client(server.port, [f"{mailbox}@example.org"], trusted)

    content = stored_once(server.messages(mailbox))
    assert content.startswith(f"Return-Path: <{SENDER}>\nReceived: ".encode())
    assert content.partition(b"\n\n")[2].rstrip(b"\n") == BODY.rstrip(b"\n")


def test_to_several_mailboxes(server: Instance, client: Client, trusted: Path | None, name: str) -> None:
    mailboxes = [f"first-{name}", f"second-{name}", f"third-{name}"]

    client(server.port, [f"{mailbox}@example.org" for mailbox in mailboxes], trusted)

    assert all(BODY.rstrip(b"\n") in stored_once(server.await_messages(mailbox)) for mailbox in mailboxes)


def test_to_other_servers(server: Instance, client: Client, trusted: Path | None, name: str) -> None:
    domain = f"{name}.other.example"

    client(server.port, [f"someone@{domain}"], trusted)

    letter = stored_once(server.letters(domain))
    assert letter.startswith(b"mta-letter/1 ")
    # Line ends of a letter are those of the wire.
    assert BODY.replace(b"\n", b"\r\n").rstrip() in letter


def test_the_log_knows_whether_it_was_encrypted(
    server: Instance, client: Client, trusted: Path | None, name: str
) -> None:
    recipient = f"log-{name}@example.org"

    client(server.port, [recipient], trusted)

    record = server.await_record("accepted", recipients=recipient)
    assert ("tls" in record.fields) == (trusted is not None)
    assert record.text("sender") == SENDER
