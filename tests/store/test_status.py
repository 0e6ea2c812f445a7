"""The status as a value: its transitions, its name, its written form."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta import identifier
from mta.store import Entry, Report, Standing, State, Status
from mta.store.letters.status import BrokenStatus, parse_name, read_status, report_id, write_status

ENTRY = Entry("other.example", "6" * 20, 5, 2)
FAILED, DELIVERED = Standing(State.FAILED, "no-such-user", "5.1.1", "550 no"), Standing(State.DELIVERED)

texts = st.text(st.characters(exclude_categories=["Cs"]))
identifiers = st.text(string.ascii_lowercase + string.digits, min_size=20, max_size=20)
standings = st.builds(Standing, st.sampled_from(State), *[texts] * 4)
reports = st.builds(Report, identifiers, texts, st.lists(texts).map(tuple), st.booleans())
statuses = st.builds(
    Status,
    attempts=st.integers(0),
    due=st.none() | st.integers(0),
    hold=st.booleans(),
    reroute=texts,
    recipients=st.dictionaries(texts, standings),
    reports=st.lists(reports).map(tuple),
    note=texts,
)


@given(statuses)
def test_what_is_written_can_be_read(status: Status) -> None:
    written = write_status(status)
    assert read_status(written) == status
    assert written.isascii()
    assert written.endswith(b"\n")
    assert written.count(b"\n") == 1


@given(statuses, st.integers(0), st.binary(max_size=1))
def test_what_is_cut_or_spoilt_is_broken_or_another_status(status: Status, at: int, octet: bytes) -> None:
    written = write_status(status)
    at %= len(written)
    try:
        read_status(written[:at] + octet + written[at + 1 :])
    except BrokenStatus:
        return


@given(st.binary())
def test_anything_is_a_status_or_broken(octets: bytes) -> None:
    with pytest.raises(BrokenStatus):
        read_status(octets)


def test_what_a_later_version_adds_is_skipped() -> None:
    written = write_status(Status(1, 2)).replace(b'"version": 1', b'"version": 2, "new": []')
    assert read_status(written) == Status(1, 2)


@pytest.mark.parametrize(
    ("status", "due"),
    [
        (Status(due=77), 77),
        (Status(due=0), 1),
        (Status(due=77, hold=True), None),
        (Status(due=None), 0),
        (Status(due=None, hold=True), 0),
        (Status(due=77, reports=(Report("r" * 20, "delay", ()),)), 0),
        (Status(due=77, reports=(Report("r" * 20, "delay", (), made=True),)), 77),
    ],
)
def test_its_name_tells_when_it_is_due(status: Status, due: int | None) -> None:
    entry = status.entry(ENTRY)
    assert entry == ENTRY._replace(due=due, serial=3)
    assert parse_name(entry.domain, entry.status_name) == (entry, True)
    assert entry.is_unfinished == (due == 0)


def test_an_attempt_adds_to_what_is_known() -> None:
    status = Status(3, 5, recipients={"a": DELIVERED}).tried({"b": FAILED}, None)
    assert status == Status(4, None, recipients={"a": DELIVERED, "b": FAILED})
    assert [status.waits(address) for address in "abc"] == [False, False, True]
    assert status.has_failed


def test_a_report_is_promised_and_made() -> None:
    status = Status().promise(ENTRY, "delay", ("a",), 1e9).promise(ENTRY, "failure", ("b",), 1e9)
    assert [report.kind for report in status.pending] == ["delay", "failure"]
    assert status.is_warned
    made = status.reported(status.pending[0].id)
    assert [report.kind for report in made.pending] == ["failure"]
    assert made.reported(made.pending[0].id).pending == ()


def test_renewed_forgets_who_failed() -> None:
    status = Status(9, None, True, "there", {"a": DELIVERED, "b": FAILED}, note="why").renewed(5)
    assert status == Status(0, 5, False, "there", {"a": DELIVERED})


def test_a_reports_identifier_is_derived_and_has_an_age_of_its_own() -> None:
    one = report_id("other.example", "6" * 20, 0, 1.8e9)
    assert one == report_id("other.example", "6" * 20, 0, 1.8e9)
    assert identifier.PATTERN.fullmatch(one)
    assert identifier.made_at(one) == 1.8e9
    others = [("else.example", "6" * 20, 0), ("other.example", "7" * 20, 0), ("other.example", "6" * 20, 1)]
    assert one not in [report_id(*other, 1.8e9) for other in others]
