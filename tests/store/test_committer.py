"""The committer's process as the loop meets it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mta.identifier import Identifiers
from mta.loop import Loop
from mta.store import (
    Committer,
    CommitterDied,
    Delivery,
    Domain,
    Envelope,
    Mailbox,
    Recipient,
    Recovery,
    Store,
    Stored,
    Unfinished,
)
from mta.store.handover import frame, pack_delivery, unframe, unpack_delivery

TRACE = b"Received: from a by b; now\n"
IDENTIFIERS = Identifiers()


def delivery(*ways: Mailbox | Domain, text: bytes = b"Subject: x\n\nhello\n") -> Delivery:
    recipients = tuple(Recipient(f"r{number}@example.org", way) for number, way in enumerate(ways))
    made = Delivery(Envelope(IDENTIFIERS.next(), "s@example.net", 1.5, recipients, {"helo": "x"}), TRACE)
    made.add(text.replace(b"\n", b"\r\n"), text)
    return made


class Stage:
    """A loop, a tree, and committers for it that are closed at the end."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.loop = Loop()
        self.unfinished: list[Unfinished] = []
        self.decided: list[Delivery] = []
        self.batches: list[tuple[int, float]] = []

    def start(self) -> Committer:
        return Committer(
            self.loop, self.root, host="mx", sync="batch", report=self._hear, committed=self._count
        )

    def _count(self, messages: int, seconds: float) -> None:
        self.batches.append((messages, seconds))

    def _hear(self, messages: Sequence[Unfinished]) -> None:
        self.unfinished += messages

    def commit(self, committer: Committer, *deliveries: Delivery) -> None:
        for each in deliveries:
            committer.submit(each, self.decided.append)
        self.loop.turn(0)  # what is submitted in a turn leaves at its end
        while len(self.decided) < len(deliveries):
            self.loop.turn(None)

    def names(self, folder: str) -> list[str]:
        return sorted(each.name for each in (self.root / folder).iterdir())


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.loop.close()


def test_a_crowd_is_committed_in_order_and_told_in_the_loop(stage: Stage) -> None:
    committer = stage.start()
    crowd = [delivery(Mailbox("anna")) for _ in range(50)]
    stage.commit(committer, *crowd)
    committer.close()
    assert stage.decided == crowd
    assert all(isinstance(each.outcome, Stored) for each in crowd)
    assert [name.split(".")[1] for name in stage.names("anna/new")] == sorted(c.envelope.id for c in crowd)
    assert stage.names("anna/tmp") == []


def test_each_batch_is_told_with_its_size_and_the_time_it_took(stage: Stage) -> None:
    committer = stage.start()
    began = stage.loop.clock()
    for size in (1, 30):
        stage.commit(committer, *(delivery(Mailbox("anna")) for _ in range(size)))
        stage.decided.clear()
    for _ in range(3):
        committer.submit(delivery(Mailbox("anna")), stage.decided.append)
        assert committer.waiting > 0
        stage.loop.turn(0)  # a frame for each of the three: the process may take them together
    while committer.waiting:
        stage.loop.turn(None)
    committer.close()
    assert [messages for messages, _ in stage.batches[:2]] == [1, 30]
    assert sum(messages for messages, _ in stage.batches) == 34
    assert all(0 < seconds < stage.loop.clock() - began for _, seconds in stage.batches)


def test_a_message_for_several_places_is_at_all_of_them(stage: Stage) -> None:
    committer = stage.start()
    several = delivery(Mailbox("anna"), Mailbox("bob"), Domain("other.example"), Domain("third.example"))
    stage.commit(committer, several)
    committer.close()
    for folder in ("anna/new", "bob/new", ".OTHER_SERVERS/other.example", ".OTHER_SERVERS/third.example"):
        assert len(stage.names(folder)) == 1, folder
    assert stage.names(".OTHER_SERVERS/.commit") == stage.names(".OTHER_SERVERS/.tmp") == []


def test_a_large_message_that_was_sealed_here_is_committed_there(stage: Stage) -> None:
    committer = stage.start()
    store = Store(stage.root, host="mx")
    anna, bob, other = Mailbox("anna"), Mailbox("bob"), Domain("other.example")
    cases: list[list[Mailbox | Domain]] = [[anna], [other], [bob, other]]
    for ways in cases:
        large = delivery(*ways, text=b"x" * 998 + b"\n")
        store.append(large, large.take())
        large.add(b"end\r\n", b"end\n")
        store.seal(large, large.take())
        stage.commit(committer, large)
        stage.decided.clear()
        store.note_stored(large)
        assert large.outcome == Stored()
    assert store.has_mailbox("bob")
    assert store.has_domain("other.example")
    committer.close()
    (mail,) = (stage.root / "anna/new").iterdir()
    octets = mail.read_bytes()
    assert octets == b"Return-Path: <s@example.net>\n" + TRACE + b"x" * 998 + b"\nend\n"
    assert mail.name.endswith(f",S={len(octets)},W={len(octets) + octets.count(bytes([10]))}")
    assert stage.names("anna/tmp") == stage.names(".OTHER_SERVERS/.tmp") == []


def test_one_that_fails_fails_alone(stage: Stage) -> None:
    (stage.root / "broken").mkdir()
    (stage.root / "broken/new").write_text("a file where a folder should be")
    committer = stage.start()
    good, bad = delivery(Mailbox("anna")), delivery(Mailbox("broken"))
    stage.commit(committer, bad, good)
    committer.close()
    assert good.outcome == Stored()
    assert bad.outcome is not None
    assert bad.outcome != Stored()
    assert stage.names("broken/tmp") == []


def test_what_was_submitted_is_finished_before_it_closes(stage: Stage) -> None:
    committer = stage.start()
    crowd = [delivery(Mailbox("anna"), text=b"x" * 100_000 + b"\n") for _ in range(100)]
    for each in crowd:
        committer.submit(each, stage.decided.append)
    committer.close()
    assert stage.decided == crowd
    assert len(stage.names("anna/new")) == 100


def test_a_committer_that_dies_takes_the_loop_with_it(stage: Stage) -> None:
    committer = stage.start()
    os.kill(committer._process.pid, signal.SIGKILL)
    with pytest.raises(CommitterDied):
        stage.loop.run()


def test_the_next_one_waits_for_the_last_batch_and_recovers(stage: Stage) -> None:
    """The first one is stopped in the middle of its work, as a crash of the receiver would find it."""
    first = stage.start()
    store = Store(stage.root, host="mx")
    record = delivery(Mailbox("anna"), Domain("other.example"))
    store.commit([record])  # accepted, not yet linked to its places
    first.close()
    second = stage.start()
    assert second.recovery == Recovery((record.envelope.id,), (), ())
    assert len(stage.names("anna/new")) == len(stage.names(".OTHER_SERVERS/other.example")) == 1
    second.close()


def test_a_tree_that_cannot_be_used_is_an_error_at_the_start(stage: Stage) -> None:
    stage.root /= "missing"
    with pytest.raises(FileNotFoundError, match="missing"):
        stage.start()


def test_deliveries_cross_unchanged_however_the_frames_are_cut() -> None:
    sent = [delivery(Mailbox("a"), Domain("b.example")) for _ in range(3)]
    octets = b"".join(frame([pack_delivery(each)]) for each in sent)
    received, arrived = bytearray(), []
    for octet in octets:
        received.append(octet)
        arrived += [unpack_delivery(packed)[0] for group in unframe(received) for packed in group]
    assert not received
    for before, after in zip(sent, arrived, strict=True):
        assert (before.envelope, before.trace, before.text) == (after.envelope, after.trace, after.text)
        assert (before.octets, before.wire_size) == (after.octets, after.wire_size)


def test_wishes_for_reports_cross_too() -> None:
    recipient = Recipient("r@example.org", Mailbox("r"), "SUCCESS", "rfc822;r@example.net", "p@x", "v@x")
    envelope = Envelope(IDENTIFIERS.next(), "s@example.net", 1.5, (recipient,), ret="FULL", envid="x")
    assert unpack_delivery(pack_delivery(Delivery(envelope, TRACE)))[0].envelope == envelope
