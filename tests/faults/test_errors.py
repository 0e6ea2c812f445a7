"""The system says no to one call of a running server: 451 or 452, nothing left, and it goes on."""

from __future__ import annotations

import os
import signal
import smtplib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.rig import LONG, ONE, SENDER, SEVERAL, Server, comes_true, running, send, some, traced
from tests.instance import PATIENCE

FULL, BROKEN = ("ENOSPC", "EDQUOT"), ("EIO",)
CASES = [
    *[("openat", error, 1) for error in (*FULL, *BROKEN, "EMFILE", "ENFILE", "EACCES", "EROFS")],
    *[("writev", error, 1) for error in (*FULL, *BROKEN)],
    *[("fsync", error, nth) for error in (*FULL, *BROKEN) for nth in (1, 2)],
    *[("close", error, 1) for error in BROKEN],
    *[("renameat2", error, 1) for error in (*FULL, *BROKEN, "EROFS", "EXDEV", "EEXIST")],
]
"""A call of the committer, the error, and which of its calls for one message."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as server:
        assert send(server.port, SEVERAL).accepted
        yield server


@pytest.mark.parametrize(("call", "error", "nth"), some(CASES, 12))
@pytest.mark.parametrize("recipients", [ONE, SEVERAL] if LONG else [ONE], ids=len)
def test_one_error(
    server: Server, tmp_path: Path, call: str, error: str, nth: int, recipients: Sequence[str]
) -> None:
    options = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={nth}"]
    with traced([server.pid_of("committer")], options, tmp_path / "trace"):
        refused = send(server.port, recipients)
    assert refused.code == (452 if error in FULL else 451)
    server.tree.check(refused)
    assert server.tree.drafts() == []
    accepted = send(server.port, recipients)
    assert accepted.accepted
    assert comes_true(lambda: server.tree.drafts() == [])
    server.tree.check(accepted)


def test_a_sync_that_fails_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    options = ["-e", "trace=fsync,syncfs", "-e", "inject=fsync:error=EIO:when=1"]
    with traced([server.pid_of("committer")], options, tmp_path / "trace") as trace:
        assert send(server.port).code == 451
    assert [event.name for event in trace.events()] == ["fsync"]


def test_links_that_fail_after_the_reply_are_made_later(server: Server, tmp_path: Path) -> None:
    options = ["-e", "trace=linkat", "-e", "inject=linkat:error=EIO"]
    with traced([server.pid_of("committer")], options, tmp_path / "trace"):
        mail = send(server.port, SEVERAL)
        assert mail.accepted
        server.await_record("fault", what="linking an accepted message")
    assert server.tree.copies(mail) == [0, 0, 0, 0]
    # With the next batch, after its reply.
    assert send(server.port).accepted
    assert comes_true(lambda: server.tree.drafts() == [])
    server.tree.check(mail)


def test_a_disk_that_hangs_delays_nobody_else(server: Server) -> None:
    """It hangs as long as its process stands still."""
    committer = server.pid_of("committer")
    with (
        smtplib.SMTP("127.0.0.1", server.port, timeout=PATIENCE) as waiting,
        smtplib.SMTP("127.0.0.1", server.port, timeout=PATIENCE) as other,
    ):
        waiting.ehlo("client.example")
        waiting.mail(SENDER)
        waiting.rcpt(ONE[0])
        waiting.putcmd("data")
        assert waiting.getreply()[0] == 354
        before = len(server.records("accepted"))
        os.kill(committer, signal.SIGSTOP)
        try:
            waiting.send(b"Subject: slow\r\n\r\nend\r\n.\r\n")
            assert [other.noop()[0] for _ in range(20)] == [250] * 20
            assert len(server.records("accepted")) == before
        finally:
            os.kill(committer, signal.SIGCONT)
        assert waiting.getreply()[0] == 250


def test_no_descriptor_for_a_new_client(server: Server, tmp_path: Path) -> None:
    """It waits in the listener's queue and is served once there is one."""
    options = ["-e", "trace=accept4,accept", "-e", "inject=accept4:error=EMFILE:when=1"]
    with traced([server.pid_of("receiver")], options, tmp_path / "trace") as trace:
        assert send(server.port).accepted
    assert 2 <= len(trace.events()) < 20
