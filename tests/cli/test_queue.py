"""`mta queue`, on a locked tree and through a running server."""

from __future__ import annotations

import json
import os
import pwd
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.daemon.lock import lock_tree
from mta.store import Entry
from tests.instance import CONFIGURATION, PATIENCE, Instance
from tests.instance import mta as run
from tests.relay.queued import accept, entries, store, tried, waits

MISSING = "0" * 20


class Tree:
    """A configuration and its tree; a server runs there or not."""

    def __init__(self, folder: Path) -> None:
        self.configuration = folder / "etc" / "mta.conf"
        self.root = folder / "maildir"

    def make(self) -> Tree:
        self.configuration.parent.mkdir()
        self.configuration.write_text(CONFIGURATION.replace("enabled = false", "enabled = true"))
        self.root.mkdir()
        return self

    def queue(self, *words: str, status: int = 0) -> str:
        """What the command prints."""
        done = run("-f", str(self.configuration), "queue", *words, check=False)
        assert done.returncode == status, done
        return done.stdout

    def complaint(self, *words: str, status: int) -> str:
        done = run("-f", str(self.configuration), "queue", *words, check=False)
        assert (done.returncode, done.stdout) == (status, ""), done
        return done.stderr

    def entries(self) -> list[Entry]:
        return entries(store(self.root).queue)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path).make()


# words


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["list", "--older", "soon"],
        ["list", "--domain", "a b"],
        ["show", "other.example"],
        ["hold"],
        ["hold", "a b"],
        ["delete", "--all"],
        ["retry"],
        ["retry", "--all", "other.example"],
        ["reroute", "other.example"],
        ["reroute", "other.example", "backup", "--undo"],
    ],
)
def test_wrong_usage(tree: Tree, words: list[str]) -> None:
    assert tree.complaint(*words, status=2).startswith("usage: mta queue")


@pytest.mark.parametrize("words", [["list", "--reason", "x"], ["reroute", "other.example", "ftp://host"]])
def test_words_that_the_relay_does_not_know(tree: Tree, words: list[str]) -> None:
    assert tree.complaint(*words, status=2).startswith("mta: ")


# without a server


def test_a_list_for_people(tree: Tree) -> None:
    letter = accept(tree.root, "u@other.example", sender="")
    lines = tree.queue("list").splitlines()
    assert lines[0].startswith(f"other.example/{letter}  24 B, ")
    assert lines[0].endswith("from <>")
    assert lines[1:] == ["    to <u@other.example>", "    waiting for its turn (new); next try now"]


def test_an_empty_list(tree: Tree) -> None:
    assert tree.queue("list") == ""
    assert tree.queue("list", "--json") == "[]\n"
    assert tree.queue("why") == tree.queue("stats") == "the queue is empty\n"


def test_a_list_for_programs(tree: Tree) -> None:
    letters = {accept(tree.root, "u@other.example", "v@third.example") for _ in range(2)}
    rows = json.loads(tree.queue("list", "--json"))
    assert {row["id"] for row in rows} == letters
    assert len(rows) == 4
    assert (
        json.loads(tree.queue("list", "--json", "--domain", "THIRD.example"))[0]["domain"] == "third.example"
    )


def test_strangers_cannot_write_to_the_terminal(tree: Tree) -> None:
    letter = accept(tree.root, "u\x1b[2J\u202e@other.example")
    reply = "452 full\x1b]0;title\x07"
    queue = store(tree.root).queue
    tried(queue, tree.entries()[0], 1, {"u\x1b[2J\u202e@other.example": waits("mailbox-full", reply)})
    shown = tree.queue("list") + tree.queue("show", letter)
    assert "u\\x1b[2J\\u202e@" in shown
    assert "452 full\\x1b]0;title\\x07" in shown
    assert set(shown) - {"\n"} == {character for character in shown if character.isprintable()}


def test_a_letter_for_people(tree: Tree) -> None:
    letter = accept(tree.root, "u@other.example")
    reply = waits("mailbox-full", "452 4.2.2 full")
    tried(store(tree.root).queue, tree.entries()[0], 1, {"u@other.example": reply})
    shown = tree.queue("show", f"other.example/{letter}")
    assert "at mx.example: the mailbox is full (mailbox-full)" in shown
    assert "        452 4.2.2 full\n" in shown
    assert shown.endswith("\n    Subject: hello\n")


def test_the_message_of_a_letter(tree: Tree) -> None:
    letter = accept(tree.root, "u@other.example")
    assert tree.queue("show", "--message", letter) == "Subject: hello\n\ntext\n"
    assert "no such letter" in tree.complaint("show", "--message", MISSING, status=1)


def test_why_for_people(tree: Tree) -> None:
    accept(tree.root, "u@other.example")
    tried(store(tree.root).queue, tree.entries()[0], 1, {"u@other.example": waits("dns-silent")})
    assert tree.queue("why").splitlines() == [
        "other.example  1 letter: their DNS does not answer",
        "               dns-silent: nothing to do, it will be tried again",
        "no server is running: nothing is sent before one is",
    ]


def test_a_letter_s_life_by_the_operator_s_word(tree: Tree) -> None:
    letter = accept(tree.root, "u@other.example", "v@third.example")
    assert tree.queue("hold", letter) == "2 letters held\n"
    assert all(entry.is_held for entry in tree.entries())
    assert tree.queue("release", f"third.example/{letter}") == "1 letter released\n"
    assert tree.queue("reroute", "third.example", "::1") == "1 letter to go to ::1\n"
    shown = json.loads(tree.queue("show", "--json", letter))["letters"]
    assert [each["reroute"] for each in shown] == ["", "smtp://[::1]"]
    assert tree.queue("reroute", "third.example", "--undo") == "1 letter to go as usual\n"
    assert tree.queue("retry", "--all") == "1 letter due now\n"
    assert tree.queue("bounce", "third.example") == "1 letter given up\n"
    assert tree.queue("delete", "other.example") == "1 letter deleted\n"
    assert [(entry.domain, entry.is_unfinished) for entry in tree.entries()] == [("third.example", True)]
    assert "sent or reported on" in tree.complaint("delete", letter, status=75)


def test_no_such_letter(tree: Tree) -> None:
    for action in ("show", "hold", "release", "delete", "bounce", "retry"):
        assert tree.complaint(action, MISSING, status=1) == "mta: there is no such letter\n"
    answer = json.loads(tree.queue("delete", "--json", MISSING, status=1))
    assert answer == {"status": 1, "letters": 0, "busy": 0, "text": "there is no such letter"}


def test_a_tree_that_is_in_use_without_a_server_that_answers(tree: Tree) -> None:
    held = lock_tree(tree.root)
    try:
        assert "the tree is in use" in tree.complaint("list", status=75)
    finally:
        os.close(held)


def test_there_is_no_tree(tree: Tree) -> None:
    tree.root.rmdir()
    done = run("-f", str(tree.configuration), "queue", "list", check=False)
    assert done.returncode in (1, 75)
    assert (done.stderr.count("\n"), done.stdout) == (1, "")
    assert not tree.root.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_root_becomes_the_owner_of_the_tree(tree: Tree) -> None:
    letter = accept(tree.root, "u@other.example")
    nobody = pwd.getpwnam("nobody")
    for folder in (tree.root, *tree.root.parents):
        folder.chmod(folder.stat().st_mode | 0o011)
    for path in (tree.root, *tree.root.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    assert tree.queue("hold", letter) == "1 letter held\n"
    assert {path.stat().st_uid for path in tree.root.rglob("*")} == {nobody.pw_uid}


# with a server


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Tree]:
    """A running server that sends nothing on, with a letter."""
    with Instance(tmp_path).running() as server:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=PATIENCE) as session:
            session.sendmail("s@example.org", ["u@other.example"], "Subject: hello\r\n\r\ntext\r\n")
        yield Tree(tmp_path)


def test_through_a_server(served: Tree) -> None:
    [row] = json.loads(served.queue("list", "--json"))
    assert (row["recipients"], row["reason"]) == (["u@other.example"], "disabled")
    assert served.queue("why").splitlines() == [
        "other.example  1 letter: relay.enabled is false",
        "               disabled: set relay.enabled = true when mail may leave",
    ]
    assert served.queue("hold", row["id"]) == "1 letter held\n"
    assert [entry.is_held for entry in served.entries()] == [True]
    assert "hello" in served.queue("show", row["id"])
    assert served.queue("show", "--message", row["id"]).endswith("\n\ntext\n")
    assert served.queue("stats").splitlines()[1].split()[:4] == ["other.example", "1", "0", "1"]
    assert served.queue("release", "other.example") == "1 letter released\n"
    assert served.queue("scan") == "looking through 1 domain\n"
    assert served.complaint("list", "--reason", "x", status=2).startswith("mta: ")
    assert served.queue("delete", row["id"]) == "1 letter deleted\n"
    assert served.entries() == []


def test_a_letter_bounced_through_a_server_is_reported(tmp_path: Path) -> None:
    with Instance(tmp_path).running() as server:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=PATIENCE) as session:
            session.sendmail("s@example.org", ["u@other.example"], "Subject: hello\r\n\r\ntext\r\n")
        assert Tree(tmp_path).queue("bounce", "other.example") == "1 letter given up\n"
        [report] = server.await_messages("s")
    assert b"The operator of this server has given it up." in report


def test_why_a_letter_waits_and_a_retry_once_they_are_back(tmp_path: Path) -> None:
    of_theirs = CONFIGURATION.replace("example.org", "other.example")
    theirs = Instance(tmp_path / "theirs", configuration=of_theirs)
    with theirs.running():
        port = theirs.port
    words = ("--set", "relay.enabled=true", "--set", f"relay.routes=other.example smtp://127.0.0.1:{port}")
    with Instance(tmp_path / "ours", words).running() as ours:
        with smtplib.SMTP("127.0.0.1", ours.port, timeout=PATIENCE) as session:
            session.sendmail("s@example.org", ["u@other.example"], "Subject: hello\r\n\r\ntext\r\n")
        ours.await_record("deferred")
        tree = Tree(tmp_path / "ours")
        happened, advice = tree.queue("why").splitlines()
        assert happened == "other.example  1 letter: their host refuses connections"
        assert advice.lstrip().startswith("connection-refused: nothing to do, it will be tried again")
        again = Instance(tmp_path / "again", configuration=of_theirs.replace(":0", f":{port}"))
        with again.running():
            assert tree.queue("retry", "other.example") == "1 letter due now\n"
            assert b"Subject: hello" in again.await_messages("u")[0]
            ours.await_record("delivered")
