"""Putting stories together from records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mta.log.logfmt import Record, format_record, parse_record
from mta.log.story import story_of
from tests.log.conftest import NOON

SESSION, OTHER = "s" * 20, "t" * 20
FIRST, SECOND, REPORT = "1" * 20, "2" * 20, "3" * 20


class Book:
    """Records, a second apart."""

    def __init__(self) -> None:
        self._records: list[Record] = []

    def add(self, event: str, **fields: object) -> Book:
        moment = NOON + len(self._records)
        self._records.append(parse_record(format_record(moment, "INFO", "receiver", event, fields)))
        return self

    def find(self, asked: Sequence[str]) -> Iterable[Record]:
        def words(record: Record) -> set[str]:
            return {word for value in record.fields.values() for word in value.split(",")}

        return [record for record in self._records if set(asked) & words(record)]

    def story(self, subject: str) -> list[str]:
        """The events and what they are about, the first letters of each."""
        story = story_of(subject, self.find)
        assert story is not None
        return [
            f"{record.event} {record.fields.get('id', record.fields.get('command', ''))[:1]}".strip()
            for record in story.records
        ]


def two_messages() -> Book:
    book = Book()
    book.add("connected", session=SESSION, peer="127.0.0.1:5000")
    book.add("connected", session=OTHER)
    book.add("rejected", session=SESSION, command="A")
    book.add("accepted", id=FIRST, session=SESSION, sender="a@b.example", recipients=["c@d.example"])
    book.add("delivered", id=FIRST, recipient="c@d.example")
    book.add("rejected", session=OTHER, command="X")
    book.add("rejected", session=SESSION, command="B")
    book.add("accepted", id=SECOND, session=SESSION, sender="a@b.example", recipients=["e@f.example"])
    book.add("recipients", id=SECOND, session=SESSION, recipients=["g@f.example"])
    book.add("rejected", session=SESSION, command="C")
    book.add("closed", session=SESSION)
    book.add("failed", id=SECOND, recipient="e@f.example")
    book.add("reported", id=REPORT, about=[SECOND, "8" * 20], recipient="a@b.example")
    return book.add("delivered", id=REPORT, recipient="a@b.example")


def test_a_message_is_told_with_its_way_here_and_nobody_elses() -> None:
    assert two_messages().story(FIRST) == ["connected", "rejected A", "accepted 1", "delivered 1", "closed"]


def test_a_report_on_it_belongs_to_its_life() -> None:
    assert two_messages().story(SECOND) == [
        "connected", "rejected B", "accepted 2", "recipients 2", "closed", "failed 2",
        "reported 3", "delivered 3",
    ]  # fmt: skip


def test_a_session_is_told_whole_with_what_became_of_its_messages() -> None:
    assert two_messages().story(SESSION) == [
        "connected", "rejected A", "accepted 1", "delivered 1", "rejected B", "accepted 2", "recipients 2",
        "rejected C", "closed", "failed 2", "reported 3", "delivered 3",
    ]  # fmt: skip


def test_all_recipients_are_known() -> None:
    story = story_of(SECOND, two_messages().find)
    assert story is not None
    assert story.is_message
    assert story.recipients == ["e@f.example", "g@f.example"]


def test_a_session_is_no_message() -> None:
    story = story_of(SESSION, two_messages().find)
    assert story is not None
    assert not story.is_message


def test_of_what_nobody_wrote_there_is_no_story() -> None:
    assert story_of("9" * 20, two_messages().find) is None
