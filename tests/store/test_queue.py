"""What the relay and the operator do with letters, and in which order it reaches the disk."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mta.store import (
    BrokenLetter,
    Delivery,
    Domain,
    Entry,
    Envelope,
    Mailbox,
    OpenLetter,
    Queue,
    Recipient,
    Standing,
    State,
    Status,
    Store,
    Stored,
)
from tests.store.relaying import NOW, accept, good
from tests.store.stage import ARRIVED, CRLF, HOST, LF, TRACE, TRACE_CRLF, Call, FailOnce, Stage

HOME = ".OTHER_SERVERS/other.example"
DELIVERED = Standing(State.DELIVERED)
WAITING = Standing(State.WAITING, "greylisted", "4.2.0", "450 4.2.0 wait", host="mx.other.example", when=NOW)


@pytest.fixture
def relay(root: Path, stage: Stage) -> Store:
    return Store(root, host=HOST, writer="relay", system=stage)


@pytest.fixture
def queue(relay: Store) -> Queue:
    return relay.queue


def entries(queue: Queue) -> list[Entry]:
    return [entry for entries in queue.scan() for entry in entries]


def kept(queue: Queue) -> list[Entry]:
    return [entry for entries in queue.kept("other.example") for entry in entries]


def opened(queue: Queue, entry: Entry) -> OpenLetter:
    letter = good(queue.open([entry])[0])
    letter.close()
    return letter


def steps(stage: Stage) -> list[str]:
    """The calls that change something or make it durable, in short."""
    shown = ("create", "write", "fsync", "syncfs", "rename", "link", "unlink", "mkdir")
    return [f"{call.name} {_short(call.paths[-1])}" for call in stage.calls if call.name in shown]


def _short(path: str) -> str:
    path = path.replace(HOME, "home").replace(".OTHER_SERVERS/", "")
    return re.sub(r"\b[0-9a-z]{20}\b", "ID", path)


# reading


def test_a_letter_is_read_with_its_recipients_and_its_text(root: Path, queue: Queue) -> None:
    letter = accept(root, "a@x", "b@x", "a@x")
    assert entries(queue) == [Entry("other.example", letter)]
    with good(queue.open(entries(queue))[0]) as found:
        assert [each.address for each in found.waiting] == ["a@x", "b@x"]
        assert (found.envelope.sender, found.status, found.trouble) == ("s@example", Status(), "")
        assert found.read(0, 10) + found.read(10, 1 << 20) == TRACE_CRLF + CRLF
        assert found.read(found.length, 5) == b""


def test_a_letter_stands_for_its_own_domain_only(relay: Store, queue: Queue) -> None:
    places = (Recipient("a@x", Domain("one.example")), Recipient("b@x", Domain("two.example")))
    delivery = Delivery(Envelope("1" * 20, "s@example", ARRIVED, places), TRACE)
    delivery.add(CRLF, LF)
    relay.commit([delivery])
    relay.finish([delivery])
    one, two = (opened(queue, entry) for entry in entries(queue))
    assert [each.address for letter in (one, two) for each in letter.recipients] == ["a@x", "b@x"]
    assert queue.find("1" * 20) == [one.entry, two.entry]


def test_a_letter_that_is_gone(root: Path, queue: Queue) -> None:
    accept(root, "a@x")
    gone = Entry("other.example", "0" * 20)
    never = Entry("nowhere.example", "0" * 20)
    assert all(isinstance(answer, FileNotFoundError) for answer in queue.open([gone, never]))
    assert queue.finish([gone, never]) == [None, None]
    assert not (root / ".OTHER_SERVERS/nowhere.example").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes().replace(path.name.encode(), b"0" * 20)),
        lambda path: path.write_bytes(path.read_bytes().replace(b"other.example", b"ather.example")),
    ],
    ids=["too long", "too short", "empty", "another letter", "another domain"],
)
def test_a_broken_letter_is_set_aside_with_its_reason(
    root: Path, queue: Queue, spoil: Callable[[Path], int]
) -> None:
    letter = accept(root, "a@x")
    spoil(root / HOME / letter)
    [entry] = entries(queue)
    [answer] = queue.open([entry])
    assert isinstance(answer, BrokenLetter)
    good(queue.set_aside(entry, str(answer), NOW))
    assert entries(queue) == []
    assert (root / HOME / "error" / letter).exists()
    [status] = root.glob(f"{HOME}/error/{letter}.status,{NOW},1")
    assert str(answer) in status.read_text()


def test_a_small_letter_is_read_in_one_call(root: Path, queue: Queue, stage: Stage) -> None:
    letter = accept(root, "a@x")
    letters = entries(queue)
    stage.begin()
    with good(queue.open(letters)[0]) as found:
        assert found.read(0, 1 << 20) == TRACE_CRLF + CRLF
        assert found.read(3, 4) == (TRACE_CRLF + CRLF)[3:7]
    assert [call.name for call in stage.calls if letter in str(call)] == ["open", "pread", "close"]


@pytest.mark.parametrize("ahead", [60, 100, 300])
def test_it_makes_no_difference_how_much_is_read_ahead(root: Path, queue: Queue, ahead: int) -> None:
    letter = accept(root, "a@x")
    size = (root / HOME / letter).stat().st_size
    for most in (ahead, size - 1, size, size + 1):
        with good(queue.open(entries(queue), most)[0]) as found:
            assert found.read(0, 1 << 20) == TRACE_CRLF + CRLF


def test_a_letter_that_shrinks_while_it_is_read_is_an_error(root: Path, queue: Queue) -> None:
    letter = accept(root, "a@x")
    with good(queue.open(entries(queue), 60)[0]) as found:
        os.truncate(root / HOME / letter, 100)
        with pytest.raises(OSError, match="shorter"):
            found.read(50, 100)


# status


def test_a_deferral_is_written_synced_named_and_synced(root: Path, stage: Stage, queue: Queue) -> None:
    accept(root, "a@x")
    letter = opened(queue, entries(queue)[0])
    stage.begin()
    [saved] = queue.save([(letter.entry, letter.status.tried({"a@x": WAITING}, NOW))])
    assert steps(stage) == [
        "create .tmp/ID.relay.status0", "write .tmp/ID.relay.status0", "fsync .tmp/ID.relay.status0",
        f"rename home/ID.status,{NOW},1", "fsync home",
    ]  # fmt: skip
    assert entries(queue) == [saved]
    assert opened(queue, good(saved)).status == Status(1, NOW, recipients={"a@x": WAITING})


def test_the_old_status_goes_when_the_new_one_is_safe(root: Path, stage: Stage, queue: Queue) -> None:
    accept(root, "a@x")
    [first] = queue.save([(entries(queue)[0], Status(1, NOW))])
    stage.begin()
    [second] = queue.save([(good(first), Status(2, NOW + 1))])
    *_, named, synced, removed = steps(stage)
    assert (named, synced) == (f"rename home/ID.status,{NOW + 1},2", "fsync home")
    assert removed == f"unlink home/ID.status,{NOW},1"
    assert entries(queue) == [second]


def test_a_batch_shares_its_syncs(root: Path, stage: Stage, queue: Queue) -> None:
    for _ in range(10):
        accept(root, "a@x")
    stage.begin()
    queue.save([(entry, Status(1, NOW)) for entry in entries(queue)])
    assert [step for step in steps(stage) if "sync" in step] == ["syncfs .", "fsync home"]


def test_who_is_delivered_waits_no_more(root: Path, queue: Queue) -> None:
    accept(root, "a@x", "b@x")
    letter = opened(queue, entries(queue)[0])
    [saved] = queue.save([(letter.entry, letter.status.tried({"a@x": DELIVERED, "b@x": WAITING}, NOW))])
    assert [each.address for each in opened(queue, good(saved)).waiting] == ["b@x"]


def test_the_highest_status_wins(root: Path, queue: Queue) -> None:
    letter = accept(root, "a@x")
    [saved] = queue.save([(entries(queue)[0], Status(1, NOW))])
    higher = f"{letter}.status,{NOW + 50},9"
    os.link(root / HOME / good(saved).status_name, root / HOME / higher)
    assert entries(queue) == [Entry("other.example", letter, NOW + 50, 9)]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 1, "attempts": "x"}', "\udcff"])
def test_a_broken_status_is_lost_and_nobody_counts_as_delivered(root: Path, queue: Queue, text: str) -> None:
    letter = accept(root, "a@x")
    (root / HOME / f"{letter}.status,{NOW},3").write_text(text, errors="surrogateescape")
    found = opened(queue, entries(queue)[0])
    assert [each.address for each in found.waiting] == ["a@x"]
    assert f"{letter}.status,{NOW},3" in found.trouble
    assert found.status == Status(note=found.trouble)
    [saved] = queue.save([(found.entry, Status(1, NOW))])
    assert entries(queue) == [saved] == [Entry("other.example", letter, NOW, 4)]


def test_below_a_broken_status_the_one_before_counts(root: Path, queue: Queue) -> None:
    letter = accept(root, "a@x", "b@x")
    queue.save([(entries(queue)[0], Status(1, NOW, recipients={"a@x": DELIVERED}))])
    (root / HOME / f"{letter}.status,{NOW},2").write_text("{")
    found = opened(queue, entries(queue)[0])
    assert [each.address for each in found.waiting] == ["b@x"]
    assert (found.entry.serial, bool(found.trouble)) == (2, True)


def test_an_entry_that_knows_another_status_finds_the_right_one(root: Path, queue: Queue) -> None:
    accept(root, "a@x")
    [saved] = queue.save([(entries(queue)[0], Status(7, NOW))])
    stale = good(saved)._replace(due=NOW - 5)
    assert opened(queue, stale).status.attempts == 7
    assert opened(queue, stale).entry == saved


def test_a_name_that_is_taken_is_not_overwritten(root: Path, queue: Queue) -> None:
    letter = accept(root, "a@x")
    (root / HOME / f"{letter}.status,{NOW},1").write_text("by hand")
    [saved] = queue.save([(Entry("other.example", letter), Status(1, NOW))])
    assert good(saved).serial == 2
    assert (root / HOME / f"{letter}.status,{NOW},1").read_text() == "by hand"


def test_what_fails_for_one_letter_fails_that_one_alone(root: Path, queue: Queue) -> None:
    accept(root, "a@x")
    [entry] = entries(queue)
    answers = queue.save([(Entry("nowhere.example", entry.id), Status()), (entry, Status(1, NOW))])
    assert isinstance(answers[0], FileNotFoundError)
    assert isinstance(answers[1], Entry)


def test_a_dead_relays_draft_is_in_nobodys_way(root: Path, queue: Queue) -> None:
    letter = accept(root, "a@x")
    (root / f".OTHER_SERVERS/.tmp/{letter}.relay.status0").write_text("half")
    assert isinstance(queue.save([(entries(queue)[0], Status(1, NOW))])[0], Entry)


def test_drafts_of_statuses_are_cleaned_away(root: Path) -> None:
    leftover = root / f".OTHER_SERVERS/.tmp/{accept(root, 'a@x')}.relay.status7"
    leftover.write_text("half")
    os.utime(leftover, (ARRIVED - 1e9, ARRIVED - 1e9))
    assert Store(root, host=HOST, writer="relay").clean() == 1


# the end


def test_a_letter_goes_before_its_status(root: Path, stage: Stage, queue: Queue) -> None:
    accept(root, "a@x")
    [saved] = queue.save([(entries(queue)[0], Status(1, NOW))])
    stage.begin()
    assert queue.finish([good(saved)]) == [None]
    assert steps(stage) == ["unlink home/ID", "fsync home", f"unlink home/ID.status,{NOW},1"]


def test_a_status_stays_as_long_as_its_letter(root: Path, stage: Stage, queue: Queue) -> None:
    letter = accept(root, "a@x")
    [saved] = queue.save([(entries(queue)[0], Status(1, NOW))])

    def refuse(_number: int, call: Call) -> None:
        if call.name == "unlink" and call.paths[0].endswith(letter):
            raise OSError(errno.EIO, "unlink")

    stage.begin(refuse)
    assert isinstance(queue.finish([good(saved)])[0], OSError)
    stage.begin()
    assert entries(queue) == [saved]
    assert queue.finish([good(saved)]) == [None]


def test_fresh_letters_go_without_a_sync(root: Path, stage: Stage, queue: Queue) -> None:
    accept(root, "a@x")
    accept(root, "a@x")
    stage.begin()
    assert queue.finish(entries(queue)) == [None, None]
    assert steps(stage) == ["unlink home/ID", "unlink home/ID"]


def test_what_is_given_up_is_in_error_before_it_leaves(root: Path, stage: Stage, queue: Queue) -> None:
    accept(root, "a@x")
    [saved] = queue.save([(entries(queue)[0], Status(1).ended("nobody to tell"))])
    assert good(saved).is_unfinished
    stage.begin()
    [grave] = queue.bury([good(saved)], NOW)
    done = steps(stage)
    assert done[:3] == ["mkdir home/error", f"link home/error/ID.status,{NOW},1", "link home/error/ID"]
    assert sorted(done[3:5]) == ["fsync home", "fsync home/error"]
    assert done[5:] == ["unlink home/ID", "fsync home", "unlink home/ID.status,0,1"]
    assert (entries(queue), kept(queue)) == ([], [grave])


def test_an_error_folder_forgets(root: Path, queue: Queue) -> None:
    for _ in range(3):
        accept(root, "a@x")
    saved = [good(each) for each in queue.save([(entry, Status().ended()) for entry in entries(queue)])]
    [one] = queue.bury(saved[:1], NOW)
    [two] = queue.bury(saved[1:2], NOW + 100)
    assert queue.expire("other.example", NOW) == 0
    assert queue.expire("other.example", NOW + 1) == 1
    assert (kept(queue), entries(queue)) == ([two], saved[2:])
    assert not list(root.glob(f"{HOME}/error/{good(one).id}*"))


def test_a_letter_without_a_status_in_error_goes_by_its_own_time(root: Path, queue: Queue) -> None:
    letter = accept(root, "a@x")
    (root / HOME / "error").mkdir()
    (root / HOME / letter).rename(root / HOME / "error" / letter)
    changed = os.stat(root / HOME / "error" / letter).st_ctime
    assert queue.expire("other.example", changed) == 0
    assert queue.expire("other.example", changed + 1) == 1


def test_a_status_without_a_letter_waits_for_it_for_a_while(root: Path, queue: Queue) -> None:
    letter = accept(root, "a@x")
    [saved] = queue.save([(entries(queue)[0], Status(1, NOW))])
    (root / HOME / letter).rename(root / "moved out")
    assert entries(queue) == []
    status = root / HOME / good(saved).status_name
    queue.expire("other.example", status.stat().st_ctime)
    (root / "moved out").rename(root / HOME / letter)
    queue.expire("other.example", status.stat().st_ctime + 1)
    assert entries(queue) == [saved]
    (root / HOME / letter).unlink()
    assert entries(queue) == []
    queue.expire("other.example", status.stat().st_ctime + 1)
    assert not status.exists()


# the operator


def test_a_letter_is_held_rerouted_and_released(root: Path, queue: Queue) -> None:
    letter = accept(root, "a@x")
    [held] = queue.change(entries(queue), Status.held)
    assert held == Entry("other.example", letter, None, 1)
    assert good(held).is_held
    assert (root / HOME / f"{letter}.status,hold,1").exists()
    [rerouted] = queue.change([good(held)], lambda status: status.rerouted("smtp://relay.example"))
    assert opened(queue, good(rerouted)).status == Status(hold=True, reroute="smtp://relay.example")
    [released] = queue.change([good(rerouted)], lambda status: status.released(NOW))
    assert released == Entry("other.example", letter, NOW, 3)


def test_a_letter_comes_back_from_error(root: Path, stage: Stage, queue: Queue) -> None:
    accept(root, "a@x", "b@x")
    failed = {"a@x": Standing(State.FAILED), "b@x": DELIVERED}
    [saved] = queue.save([(entries(queue)[0], Status(4, None, recipients=failed))])
    [grave] = queue.bury([good(saved)], NOW)
    stage.begin()
    [back] = queue.requeue([good(grave)], NOW + 5)
    assert (entries(queue), kept(queue)) == ([back], [])
    assert steps(stage).index(f"rename home/ID.status,{NOW + 5},2") < steps(stage).index("link home/ID")
    found = opened(queue, good(back))
    assert [each.address for each in found.waiting] == ["a@x"]
    assert found.status.attempts == 0


def test_letters_are_discarded_from_error(root: Path, queue: Queue) -> None:
    accept(root, "a@x")
    [saved] = queue.save([(entries(queue)[0], Status().ended())])
    [grave] = queue.bury([good(saved)], NOW)
    assert queue.discard([good(grave)]) == [None]
    assert list((root / HOME / "error").iterdir()) == []


def test_a_letter_is_found_by_what_an_operator_types(root: Path, queue: Queue) -> None:
    letter = accept(root, "a@x")
    assert queue.find(letter) == queue.find(letter, "other.example") == entries(queue)
    (root / "secret").touch()
    for typed in ("", "..", "../secret", f"../other.example/{letter}", "0" * 20):
        assert queue.find(typed) == queue.find(typed, "other.example") == []
    assert queue.find(letter, "../.OTHER_SERVERS/other.example") == queue.find(letter, "else.example") == []
    with pytest.raises(ValueError, match="no domain"):
        queue.finish([Entry("..", letter)])


# in flight


def test_a_letter_the_relay_died_of_waits_a_step(root: Path, queue: Queue) -> None:
    dying, other = sorted(accept(root, "a@x") for _ in range(2))
    both = sorted(entries(queue))
    queue.take_off(both)
    queue.land(both[1:])
    again = Store(root, host=HOST, writer="relay").queue
    assert again.recover(lambda attempts: NOW + attempts) == [Entry("other.example", dying, NOW + 1, 1)]
    assert sorted(entries(again))[1] == Entry("other.example", other)
    assert Store(root, host=HOST, writer="relay").queue.recover(lambda _: NOW) == []


def test_what_is_unfinished_or_gone_is_not_deferred(root: Path, queue: Queue) -> None:
    accept(root, "a@x")
    accept(root, "a@x")
    one, two = entries(queue)
    queue.take_off([one, two])
    [promised] = queue.save([(one, Status().promise(one, "failure", ("a@x",), NOW))])
    queue.finish([two])
    again = Store(root, host=HOST, writer="relay").queue
    assert again.recover(lambda _: NOW) == []
    assert entries(again) == [promised]


def test_a_letter_marked_as_delivered_is_removed_and_not_deferred(root: Path, queue: Queue) -> None:
    for _ in range(3):
        accept(root, "a@x")
    fresh, tried, other = entries(queue)
    [saved] = queue.save([(tried, Status().tried({}, NOW))])
    assert isinstance(saved, Entry)
    tried = saved
    queue.take_off([fresh, tried, other])
    queue.mark_delivered(tried)
    queue.mark_delivered(fresh)
    again = Store(root, host=HOST, writer="relay").queue
    assert again.recover(lambda _: NOW) == [Entry("other.example", other.id, NOW, 1)]
    left = sorted(path.name for path in (root / ".OTHER_SERVERS/other.example").iterdir())
    assert left == [other.id, f"{other.id}.status,{NOW},1"]
    assert (root / ".OTHER_SERVERS/.flight").read_bytes() == b""


def test_a_mark_goes_with_its_flight(root: Path, queue: Queue) -> None:
    accept(root, "a@x")
    [entry] = entries(queue)
    queue.take_off([entry])
    queue.mark_delivered(entry)
    queue.land([entry])
    with pytest.raises(KeyError):
        queue.mark_delivered(entry)
    assert Store(root, host=HOST, writer="relay").queue.recover(lambda _: NOW) == []
    assert entries(queue) == [entry]


def test_notes_of_flights_take_the_place_of_landed_ones(root: Path, queue: Queue) -> None:
    for _ in range(3):
        accept(root, "a@x")
    one, two, three = entries(queue)
    queue.take_off([one, two, two])
    queue.land([one, one])
    queue.take_off([three])
    lines = (root / ".OTHER_SERVERS/.flight").read_text().split("\n")
    assert [line.strip() for line in lines] == [f"other.example/{three.id}", f"other.example/{two.id}", ""]


def test_a_flight_file_of_anything_is_no_harm(root: Path, queue: Queue) -> None:
    odd = b"../../etc/passwd\n\xff\n/\nother.example/..\n" + b"x" * 300
    (root / ".OTHER_SERVERS/.flight").write_bytes(odd)
    assert queue.recover(lambda _: NOW) == []
    assert (root / ".OTHER_SERVERS/.flight").read_bytes() == b""


# reports


def report(way: Domain | Mailbox) -> Delivery:
    delivery = Delivery(Envelope("r" * 20, "", ARRIVED, (Recipient("s@example", way),)), TRACE)
    delivery.add(CRLF, LF)
    return delivery


@pytest.mark.parametrize(
    ("way", "folder"),
    [
        (Domain("other.example"), HOME),
        (Domain("other.example"), f"{HOME}/error"),
        (Mailbox("user1"), "user1/new"),
        (Mailbox("user1"), "user1/cur"),
    ],
)
def test_a_report_that_is_there_is_done(root: Path, relay: Store, way: Domain | Mailbox, folder: str) -> None:
    relay.commit_once([first := report(way)])
    assert first.outcome == Stored()
    [path] = root.rglob("*r" + "r" * 19 + "*")
    (root / folder).mkdir(exist_ok=True)
    path.rename(root / folder / path.name)
    relay.commit_once([again := report(way)])
    assert again.outcome == Stored()
    assert len(list(root.rglob("*" + "r" * 20 + "*"))) == 1


def test_a_report_that_is_there_is_synced_before_it_counts(root: Path, stage: Stage, relay: Store) -> None:
    relay.commit_once([report(Domain("other.example"))])
    stage.begin()
    relay.commit_once([report(Domain("other.example"))])
    assert "fsync home" in steps(stage)
    assert {step.partition(" ")[0] for step in steps(stage)} == {"fsync"}
    stage.begin(FailOnce(len(stage.calls) - 1, errno.EIO))
    relay.commit_once([failed := report(Domain("other.example"))])
    assert failed.outcome != Stored()
    assert (root / HOME / ("r" * 20)).exists()


def test_the_draft_of_a_dead_report_is_in_nobodys_way(root: Path, relay: Store) -> None:
    accept(root, "a@x")
    (root / ".OTHER_SERVERS/.tmp" / ("r" * 20 + ".relay")).write_text("half")
    relay.commit_once([delivery := report(Domain("other.example"))])
    assert delivery.outcome == Stored()
