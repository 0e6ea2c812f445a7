"""The desk: what an operator sees of the queue, and what becomes of letters by their word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mta.identifier import Identifiers
from mta.relay.requests import desk as desk_module
from mta.relay.requests import views
from mta.relay.requests.desk import QueueDesk, fill
from mta.relay.requests.errand import run_beside, run_through
from mta.relay.schedule import Attempt, Plan, Rules, Schedule
from mta.store import Entry, Helpers, Queue, Standing, State
from tests.relay.queued import ARRIVED, CRLF, accept, entries, opened, store, tried, waits

NOW = ARRIVED + 3600
RULES = Rules((300.0, 900.0), 432_000.0, 14_400.0, 20)
Answer = dict[str, Any]


class Office:
    """Notes what the desk asks for."""

    def __init__(self) -> None:
        self.resumed: list[Entry] = []
        self.forgotten: list[str] = []
        self.rescans = 0

    def resume(self, entry: Entry) -> None:
        self.resumed.append(entry)

    def forget(self, domain: str) -> None:
        self.forgotten.append(domain)

    def rescan(self) -> None:
        self.rescans += 1


class Room:
    """A tree with a desk in front of it; `office` None: a locked tree."""

    def __init__(self, root: Path, office: Office | None) -> None:
        self.root = root
        self.office = office
        self.queue: Queue = store(root).queue
        self.schedule = Schedule(RULES, Random(1))
        self.desk = QueueDesk(self.schedule, self.queue, lambda: NOW, office)

    def accept(self, *addresses: str, sender: str = "s@example.org", arrived: float = ARRIVED) -> str:
        letter = accept(self.root, *addresses, sender=sender, arrived=arrived)
        self.learn()
        return letter

    def learn(self) -> None:
        fill(self.schedule, self.queue, lambda: NOW)

    def tried(self, letter: str, standings: Mapping[str, Standing], due: float = NOW + 700) -> None:
        """An attempt, as the ledger writes it down."""
        [entry] = [each for each in entries(self.queue) if each.id == letter]
        changed = tried(self.queue, entry, int(due), standings)
        reason = next(iter(standings.values())).reason
        plan = Plan(int(due), changed.serial, warn=False, expired=False)
        self.schedule.defer(entry.domain, letter, plan, reason, NOW)

    def ask(self, request: str, **more: object) -> Answer:
        return run_through(self.desk.answer({"request": request, **more}))

    def listed(self, **wanted: object) -> list[str]:
        return [row["id"] for row in self.ask("list", **wanted)["letters"]]

    def row(self, letter: str) -> Answer:
        [row] = [row for row in self.ask("list")["letters"] if row["id"] == letter]
        return dict(row)

    def entry(self, letter: str) -> Entry:
        [entry] = [each for each in entries(self.queue) if each.id == letter]
        return entry

    def take(self) -> Attempt:
        """Somebody begins to send what is due."""
        work = self.schedule.take(NOW, 10)
        assert isinstance(work, Attempt)
        return work


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """Behind this one a relay works."""
    return Room(tmp_path, Office())


@pytest.fixture
def locked(tmp_path: Path) -> Room:
    return Room(tmp_path, None)


def office(room: Room) -> Office:
    assert room.office is not None
    return room.office


# requests that are none


@pytest.mark.parametrize(
    "request_",
    [
        None,
        [],
        {},
        {"request": "dance"},
        {"request": ["list"]},
        {"request": "list", "domain": 5},
        {"request": "list", "domain": "../etc"},
        {"request": "list", "older": "1h"},
        {"request": "list", "older": -1},
        {"request": "list", "older": float("nan")},
        {"request": "list", "reason": "bad-mood"},
        {"request": "list", "after": ["a"]},
        {"request": "list", "after": [1, 2]},
        {"request": "show"},
        {"request": "show", "id": "other.example"},
        {"request": "show", "id": "other.example/../../x"},
        {"request": "read", "id": "0" * 20, "offset": -1},
        {"request": "hold"},
        {"request": "hold", "which": []},
        {"request": "hold", "which": [7]},
        {"request": "delete", "which": "all"},
        {"request": "delete", "all": "yes"},
        {"request": "reroute", "which": ["other.example"], "to": "ftp://host"},
        {"request": "reroute", "which": ["other.example"], "to": 25},
    ],
)
def test_nothing_is_done_for_words_that_mean_nothing(room: Room, request_: object) -> None:
    letter = room.accept("u@other.example")
    assert run_through(room.desk.answer(request_))["status"] == 2
    assert room.listed() == [letter]


def test_a_tree_that_cannot_be_read_is_told(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[str]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(room.queue, "domains", broken)
    answer = room.ask("list")
    assert (answer["status"], answer["text"]) == (
        75,
        "the queue cannot be read: [Errno 5] Input/output error",
    )


# list


def test_a_list_shows_each_letter_at_each_of_its_domains(room: Room) -> None:
    letter = room.accept("u@other.example", "v@other.example", "w@third.example")
    rows = room.ask("list")["letters"]
    assert [(row["domain"], row["recipients"]) for row in rows] == [
        ("other.example", ["u@other.example", "v@other.example"]),
        ("third.example", ["w@third.example"]),
    ]
    assert {row["id"] for row in rows} == {letter}
    assert rows[0] == {
        "domain": "other.example",
        "id": letter,
        "state": "waiting",
        "sender": "s@example.org",
        "recipients": ["u@other.example", "v@other.example"],
        "more": 0,
        "octets": len(CRLF),
        "arrived": ARRIVED,
        "attempts": 0,
        "next": ARRIVED,
        "reason": "new",
        "text": "waiting for its turn",
    }


def test_a_list_shows_who_still_waits(room: Room) -> None:
    letter = room.accept(*(f"u{number}@other.example" for number in range(9)))
    room.tried(letter, {"u0@other.example": Standing(State.DELIVERED), "u1@other.example": waits("no-space")})
    row = room.row(letter)
    assert (len(row["recipients"]), row["more"], row["recipients"][0]) == (5, 3, "u1@other.example")
    assert (row["attempts"], row["reason"], row["next"]) == (1, "no-space", NOW + 700)


def test_a_list_by_what_is_wanted(room: Room) -> None:
    one = room.accept("U@other.example", sender="Anna@example.org")
    two = room.accept("v@third.example", sender="", arrived=NOW - 10)
    room.tried(one, {"U@other.example": waits("dns-silent")})
    assert room.listed(domain="third.example") == [two]
    assert room.listed(domain="fourth.example") == []
    assert room.listed(sender="anna@example.org") == room.listed(sender="@EXAMPLE.org") == [one]
    assert room.listed(sender="<>") == [two]
    assert room.listed(recipient="u@other.example") == [one]
    assert room.listed(recipient="@third.example") == [two]
    assert room.listed(older=60) == [one]
    assert room.listed(reason="dns-silent") == [one]
    assert room.listed(reason="held") == []


def test_a_long_list_comes_in_pages(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "PAGE", 2)
    letters = {room.accept(f"u@{domain}.example") for domain in "aab" for _ in range(2)}
    after, seen, pages = ["", ""], [], 0
    while after is not None:
        page = room.ask("list", after=after)
        seen += [row["id"] for row in page["letters"]]
        after, pages = page["after"], pages + 1
    assert (set(seen), len(seen), pages) == (letters, len(letters), 4)


def test_states_in_a_list(room: Room) -> None:
    sending, held = room.accept("u@a.example"), room.accept("u@b.example")
    room.ask("hold", which=[held])
    assert [letter.id for letter in room.take().letters] == [sending]
    assert (room.row(sending)["state"], room.row(held)["state"]) == ("sending", "held")
    assert (room.row(held)["reason"], room.row(held)["next"]) == ("held", None)


def test_a_letter_waits_with_its_domain(room: Room) -> None:
    tried, new = room.accept("u@other.example"), room.accept("v@other.example")
    room.take()
    room.schedule.put_back("other.example", new, NOW)
    room.tried(tried, {"u@other.example": waits("connection-refused")})
    resumes = room.schedule.failed("other.example", "connection-refused", NOW)
    assert (room.row(new)["reason"], room.row(new)["next"]) == ("connection-refused", resumes)


def test_when_the_relay_is_switched_off_the_list_says_so(room: Room) -> None:
    letter = room.accept("u@other.example")
    room.desk.enabled = False
    assert (room.row(letter)["reason"], room.row(letter)["next"]) == ("disabled", None)


# show


def test_a_letter_is_shown_with_all_that_is_known(room: Room) -> None:
    letter = room.accept("u@other.example", "v@third.example")
    [entry] = [each for each in entries(room.queue) if each.domain == "other.example"]
    tried(room.queue, entry, int(NOW), {"u@other.example": waits("mailbox-full", "452 4.2.2 full")})
    here, there = room.ask("show", id=letter)["letters"]
    assert here["recipients"] == [
        {
            "address": "u@other.example",
            "state": "waiting",
            "reason": "mailbox-full",
            "text": "the mailbox is full",
            "status": "4.0.0",
            "reply": "452 4.2.2 full",
            "detail": "",
            "host": "mx.example",
            "when": int(ARRIVED),
        }
    ]
    assert there["recipients"] == [{"address": "v@third.example", "state": "waiting"}]
    assert (here["header"], here["client"]) == ("Subject: hello\n", {"helo": "me"})
    assert len(room.ask("show", id=f"third.example/{letter}")["letters"]) == 1


def test_no_such_letter(room: Room) -> None:
    missing = Identifiers().next()
    for request in ("show", "read"):
        assert room.ask(request, id=missing) == {"status": 1, "text": "there is no such letter"}
    for request in ("hold", "release", "delete", "bounce", "retry"):
        for which in (missing, f"other.example/{missing}", "other.example"):
            assert room.ask(request, which=[which])["status"] == 1


def test_what_is_no_letter_is_shown_as_that(room: Room) -> None:
    letter = room.accept("u@other.example")
    (room.root / ".OTHER_SERVERS/other.example" / letter).write_bytes(b"nonsense")
    [shown] = room.ask("show", id=letter)["letters"]
    assert (shown["state"], shown["note"]) == ("broken", "the first line is not that of a letter")
    assert room.listed() == []


def test_a_message_is_read_piece_by_piece(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "PIECE", 20)
    letter = room.accept("u@other.example")
    first = room.ask("read", id=letter)
    second = room.ask("read", id=letter, offset=20)
    assert (first["last"], second["last"]) == (False, True)
    assert first["octets"] == "U3ViamVjdDogaGVsbG8NCg0KdGU="
    assert second["octets"] == "eHQNCg=="


# why


def reasons(room: Room) -> dict[tuple[str, str], tuple[int, float | None]]:
    groups = room.ask("why")["groups"]
    return {(each["domain"], each["reason"]): (each["letters"], each["next"]) for each in groups}


def test_why_by_domain_and_reason(room: Room) -> None:
    first, second, _ = (room.accept(f"u{number}@other.example") for number in range(3))
    held = room.accept("u@third.example")
    room.ask("hold", which=[held])
    room.tried(first, {"u0@other.example": waits("mailbox-full")}, NOW + 900)
    room.tried(second, {"u1@other.example": waits("mailbox-full")}, NOW + 800)
    assert reasons(room) == {
        ("other.example", "mailbox-full"): (2, NOW + 800),
        ("other.example", "new"): (1, ARRIVED),
        ("third.example", "held"): (1, None),
    }
    [full] = [each for each in room.ask("why")["groups"] if each["reason"] == "mailbox-full"]
    assert full["text"] == "the mailbox is full"
    assert full["advice"].startswith("nothing to do")


def test_letters_of_a_domain_that_fails_wait_for_what_it_fails_of(room: Room) -> None:
    for _ in range(3):
        room.accept("u@other.example")
    work = room.take()
    for letter in work.letters:
        room.schedule.put_back("other.example", letter.id, NOW)
    resumes = room.schedule.failed("other.example", "dns-silent", NOW)
    assert reasons(room) == {("other.example", "dns-silent"): (3, resumes)}


def test_what_an_earlier_run_has_tried_is_read_from_its_status(locked: Room, tmp_path: Path) -> None:
    letter = locked.accept("u@other.example")
    tried(locked.queue, locked.entry(letter), int(NOW + 100), {"u@other.example": waits("greylisted")})
    after = Room(tmp_path, None)
    after.learn()
    assert reasons(after) == {("other.example", "greylisted"): (1, NOW + 100)}


def test_only_so_many_are_read(locked: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_MOST_READ", 2)
    for _ in range(5):
        letter = accept(locked.root, "u@other.example")
        tried(locked.queue, locked.entry(letter), int(NOW + 100), {"u@other.example": waits("greylisted")})
    locked.learn()
    counts = {reason: count for (_, reason), (count, _) in reasons(locked).items()}
    assert counts == {"greylisted": 2, "not-tried-yet": 3}


def test_why_nothing_is_sent_when_the_relay_is_switched_off(room: Room) -> None:
    one, _ = room.accept("u@other.example"), room.accept("v@other.example")
    room.ask("hold", which=[one])
    room.desk.enabled = False
    assert reasons(room) == {("other.example", "disabled"): (1, None), ("other.example", "held"): (1, None)}


def test_stats_have_the_largest_domain_first(room: Room) -> None:
    for address in ("u@a.example", "u@b.example", "v@b.example"):
        room.accept(address)
    answer = room.ask("stats")
    assert [(each["domain"], each["letters"]) for each in answer["domains"]] == [
        ("b.example", 2),
        ("a.example", 1),
    ]


# hold and release


def test_a_held_letter_is_not_tried_until_it_is_released(room: Room) -> None:
    letter = room.accept("u@other.example")
    assert room.ask("hold", which=[letter]) == {"status": 0, "letters": 1, "busy": 0, "text": ""}
    assert room.schedule.take(NOW, 10) is None
    assert room.entry(letter).is_held
    assert room.ask("release", which=["other.example"])["letters"] == 1
    assert [each.id for each in room.take().letters] == [letter]
    assert room.entry(letter).due == int(NOW)


def test_a_letter_is_held_at_one_domain_or_at_all(room: Room) -> None:
    letter = room.accept("u@a.example", "u@b.example")
    assert room.ask("hold", which=[f"a.example/{letter}"])["letters"] == 1
    assert [each.is_held for each in entries(room.queue)] == [True, False]
    assert room.ask("hold", which=[letter])["letters"] == 1
    assert [each.is_held for each in entries(room.queue)] == [True, True]


def test_a_letter_that_is_being_sent_is_left_alone(room: Room) -> None:
    letter = room.accept("u@other.example")
    room.take()
    for request in ("hold", "delete", "bounce"):
        answer = room.ask(request, which=[letter])
        assert (answer["status"], answer["letters"], answer["busy"]) == (75, 0, 1)
    assert room.entry(letter) == Entry("other.example", letter)


def test_a_letter_being_changed_is_not_sent_meanwhile(room: Room) -> None:
    letter = room.accept("u@other.example")
    errand = room.desk.answer({"request": "release", "which": [letter]})
    assert run_through(errand)["status"] == 1  # it is not held
    errand = room.desk.answer({"request": "hold", "which": [letter]})
    find = errand.send(None)
    change = errand.send(find.work())
    assert room.schedule.take(NOW, 10) is None
    assert room.ask("delete", which=[letter])["busy"] == 1
    with pytest.raises(StopIteration):
        errand.send(change.work())
    assert room.entry(letter).is_held


def test_what_could_not_be_changed_goes_on_as_it_was(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    letter = room.accept("u@other.example")

    def full(batch: list[Entry], _how: object) -> list[OSError]:
        return [OSError(28, "No space left on device")] * len(batch)

    monkeypatch.setattr(room.queue, "change", full)
    answer = room.ask("hold", which=[letter])
    assert (answer["status"], answer["text"]) == (75, "[Errno 28] No space left on device")
    assert [each.id for each in room.take().letters] == [letter]


def test_many_letters_are_changed_in_batches(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "_BATCH", 2)
    for _ in range(5):
        room.accept("u@other.example")
    assert room.ask("hold", which=["other.example"])["letters"] == 5
    assert all(entry.is_held for entry in entries(room.queue))


# delete and bounce


def test_a_deleted_letter_is_gone(room: Room) -> None:
    letter, other = room.accept("u@other.example"), room.accept("u@other.example")
    assert room.ask("delete", which=[letter])["letters"] == 1
    assert room.listed() == [other]
    assert not room.schedule.knows("other.example", letter)


def test_a_bounced_letter_is_left_to_the_office_with_its_promise(room: Room) -> None:
    letter = room.accept("u@other.example", "v@other.example")
    standings = {
        "u@other.example": Standing(State.DELIVERED),
        "v@other.example": waits("mailbox-full", "452 4.2.2 full"),
    }
    room.tried(letter, standings)
    assert room.ask("bounce", which=[letter])["letters"] == 1
    [resumed] = office(room).resumed
    assert resumed.is_unfinished
    status = opened(room.queue, resumed).status
    assert [(each.kind, each.recipients) for each in status.pending] == [("failure", ("v@other.example",))]
    standing = status.recipients["v@other.example"]
    assert (standing.state, standing.reason, standing.status) == (State.FAILED, "given-up", "5.0.0")
    assert standing.reply == "452 4.2.2 full"
    assert not room.schedule.knows("other.example", letter)
    assert room.row(letter)["state"] == "finishing"


def test_nobody_is_told_of_a_report(room: Room) -> None:
    letter = room.accept("u@other.example", sender="")
    room.ask("bounce", which=[letter])
    status = opened(room.queue, office(room).resumed[0]).status
    assert (status.pending, status.due, status.note) == ((), None, "no report: it has no sender to tell")


def test_what_is_being_reported_on_is_left_alone(locked: Room) -> None:
    letter = locked.accept("u@other.example")
    locked.ask("bounce", which=[letter])
    before = locked.entry(letter)
    for request in ("delete", "hold", "bounce"):
        assert locked.ask(request, which=[letter])["busy"] == 1
    assert locked.ask("retry", all=True)["letters"] == 0
    assert locked.entry(letter) == before


# retry


def test_a_retry_brings_a_letter_forward(room: Room) -> None:
    letter, other = room.accept("u@other.example"), room.accept("u@third.example")
    room.tried(letter, {"u@other.example": waits("dns-silent")})
    room.tried(other, {"u@third.example": waits("dns-silent")})
    assert room.schedule.take(NOW, 10) is None
    assert room.ask("retry", which=[letter])["letters"] == 1
    assert [each.id for each in room.take().letters] == [letter]
    assert room.schedule.take(NOW, 10) is None
    assert office(room).forgotten == ["other.example"]


def test_a_retry_by_reason(room: Room) -> None:
    full, silent = room.accept("u@other.example"), room.accept("u@other.example")
    room.tried(full, {"u@other.example": waits("mailbox-full")})
    room.tried(silent, {"u@other.example": waits("dns-silent")})
    assert room.ask("retry", reason="mailbox-full")["letters"] == 1
    assert [each.id for each in room.take().letters] == [full]
    assert room.ask("retry", reason="throttled") == {"status": 0, "letters": 0, "busy": 0, "text": ""}


def test_a_retry_for_what_a_whole_domain_fails_of(room: Room) -> None:
    letters = {room.accept("u@other.example") for _ in range(2)}
    for letter in room.take().letters:
        room.schedule.put_back("other.example", letter.id, NOW)
    room.schedule.failed("other.example", "connection-refused", NOW)
    assert room.schedule.take(NOW, 10) is None
    assert room.ask("retry", reason="connection-refused")["letters"] == 2
    assert {each.id for each in room.take().letters} == letters


def test_a_retry_of_everything(room: Room) -> None:
    for address in ("u@a.example", "u@b.example"):
        room.tried(room.accept(address), {address: waits("dns-silent")})
    assert room.ask("retry", all=True)["letters"] == 2
    assert {room.take().domain, room.take().domain} == {"a.example", "b.example"}


def test_a_retry_says_when_nothing_will_come_of_it(room: Room) -> None:
    room.accept("u@other.example")
    room.desk.enabled = False
    assert room.ask("retry", all=True)["text"].startswith("relay.enabled is false")


def test_on_a_locked_tree_a_retry_is_written_down(locked: Room) -> None:
    full, silent = locked.accept("u@other.example"), locked.accept("u@other.example")
    held = locked.accept("u@other.example")
    locked.tried(full, {"u@other.example": waits("mailbox-full")})
    locked.tried(silent, {"u@other.example": waits("dns-silent")})
    locked.ask("hold", which=[held])
    assert locked.ask("retry", reason="mailbox-full")["letters"] == 1
    assert [locked.entry(each).due for each in (full, silent)] == [int(NOW), int(NOW + 700)]
    new = locked.accept("u@other.example")
    assert locked.ask("retry", all=True)["letters"] == 3
    assert [locked.entry(each).due for each in (full, silent, held)] == [int(NOW), int(NOW), None]
    assert locked.entry(new) == Entry("other.example", new)


# error/


def test_letters_in_error_are_listed_shown_and_tried_again(room: Room) -> None:
    letter = room.accept("u@other.example")
    failed = {"u@other.example": Standing(State.FAILED, "no-such-user", "5.1.1")}
    [saved] = room.queue.change(
        [room.entry(letter)], lambda status: status.tried(failed, None).ended("so it is")
    )
    assert isinstance(saved, Entry)
    room.queue.bury([saved], NOW)
    room.schedule.finish("other.example", letter, NOW)
    assert room.listed() == []
    [row] = room.ask("list", errors=True)["letters"]
    assert (row["state"], row["text"], row["recipients"]) == ("error", "so it is", ["u@other.example"])
    assert room.ask("show", id=letter)["letters"][0]["state"] == "error"
    assert room.ask("read", id=letter)["last"]
    assert room.ask("retry", which=[letter])["status"] == 1
    assert room.ask("retry", which=[letter], errors=True)["letters"] == 1
    assert [each.id for each in room.take().letters] == [letter]
    assert room.listed(errors=True) == []


def test_letters_in_error_are_deleted(room: Room) -> None:
    letter = room.accept("u@other.example")
    room.queue.bury([room.entry(letter)], NOW)
    assert room.ask("delete", which=["other.example"], errors=True)["letters"] == 1
    assert room.listed(errors=True) == []


# reroute and scan


def test_a_rerouted_domain_is_tried_at_once(room: Room) -> None:
    letter, held = room.accept("u@other.example"), room.accept("u@other.example")
    room.ask("hold", which=[held])
    room.take()
    room.tried(letter, {"u@other.example": waits("connection-refused")})
    room.schedule.failed("other.example", "connection-refused", NOW)
    assert room.ask("reroute", which=["other.example"], to="smtp://backup.example")["letters"] == 2
    assert opened(room.queue, room.entry(letter)).status.reroute == "smtp://backup.example"
    assert room.entry(held).is_held
    assert [each.id for each in room.take().letters] == [letter]


def test_a_scan_is_the_office_s(room: Room) -> None:
    room.accept("u@other.example")
    assert room.ask("scan") == {"status": 0, "domains": 1, "text": ""}
    assert office(room).rescans == 1


# beside a loop


def test_beside_a_loop_the_disk_is_for_helpers(room: Room) -> None:
    letter = room.accept("u@other.example")
    posted: list[Any] = []
    helpers = Helpers(1, posted.append)
    answers: list[Answer] = []
    run_beside(room.desk.answer({"request": "hold", "which": [letter]}), helpers, answers.append)
    while not answers:
        if posted:
            posted.pop(0)()
    helpers.close()
    assert answers[0]["letters"] == 1
    assert room.entry(letter).is_held


def test_what_stands_in_a_list_is_never_too_much(room: Room) -> None:
    """A page of the worst letters is less than a message between processes may be."""
    letter = room.accept(*(f"{'u' * 60}{number}@{'o' * 60}.example" for number in range(1000)))
    row = room.row(letter)
    assert len(str(row)) * views.PAGE < 16 << 20
