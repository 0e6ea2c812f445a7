"""SIGKILL in the middle of UPDATE: some of what was marked is removed, never anything else (RFC 1939 6)."""

from __future__ import annotations

import poplib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.faults.rig import Server, started, traced
from tests.instance import CONFIGURATION, PATIENCE, mta

MESSAGES = 8
MARKED = (2, 3, 5, 7)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with one user and eight messages."""
    listen = CONFIGURATION.replace("pop3: { listen = [ ] }", 'pop3: { listen = [ "127.0.0.1:0" ] }')
    server = Server(tmp_path, configuration=listen)
    users = tmp_path / "users"
    users.write_text("alice@example.org:correct horse 7\n")
    mta("-f", str(server.configuration), "user", "import", str(users))
    for name in ("tmp", "new", "cur"):
        (server.maildir / "alice" / name).mkdir(parents=True)
    for number in range(1, MESSAGES + 1):
        (server.maildir / "alice" / "new" / f"{number}.test").write_bytes(b"Subject: x\n\n")
    with started(server):
        yield server


def left(server: Server) -> set[int]:
    """The numbers of the messages that are there."""
    return {int(path.name.split(".")[0]) for path in (server.maildir / "alice" / "new").iterdir()}


def client(server: Server) -> poplib.POP3:
    client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
    client.user("alice")
    client.pass_("correct horse 7")
    return client


@pytest.mark.parametrize("call", range(1, len(MARKED) + 1))
def test_killed_at_any_removal(server: Server, tmp_path: Path, call: int) -> None:
    reader = client(server)
    for number in MARKED:
        reader.dele(number)
    options = ["-e", "trace=unlinkat", "-e", f"inject=unlinkat:signal=KILL:when={call}"]
    with traced([server.pid_of("receiver")], options, tmp_path / "trace"):
        with suppress(poplib.error_proto, ConnectionError), closing(reader):
            reader.quit()
        server.end_all()

    removed = set(range(1, MESSAGES + 1)) - left(server)
    assert removed in (set(MARKED[: call - 1]), set(MARKED[:call]))

    with started(server), closing(client(server)) as reader:  # nobody holds the lock any more
        assert len(reader.list()[1]) == MESSAGES - len(removed)


def test_killed_before_quit(server: Server) -> None:
    reader = client(server)
    for number in MARKED:
        reader.dele(number)

    server.end_all()

    assert left(server) == set(range(1, MESSAGES + 1))
    reader.close()
