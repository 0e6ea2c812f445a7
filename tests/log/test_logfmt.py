"""Records as text: what is written can be read back, and nothing a stranger sends gets out of its quotes."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mta.log.logfmt import MOST_OCTETS, NotARecord, format_record, parse_record

NOON = 1_795_262_400.0


def line(**fields: object) -> bytes:
    return format_record(NOON, "INFO", "receiver", "accepted", fields)


def value(written: object) -> bytes:
    """A value as it is written."""
    return line(x=written).partition(b" x=")[2].removesuffix(b"\n")


def test_a_record_is_one_line_of_time_level_process_event_and_fields() -> None:
    assert line(id="abc", size=4096) == (
        b"2026-11-21T12:00:00.000Z INFO receiver accepted id=abc size=4096\n"
    )


def test_a_record_may_have_no_fields() -> None:
    assert line() == b"2026-11-21T12:00:00.000Z INFO receiver accepted\n"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, b"1970-01-01T00:00:00.000Z"),
        (NOON + 0.001, b"2026-11-21T12:00:00.001Z"),
        (NOON + 0.9994, b"2026-11-21T12:00:00.999Z"),
        (NOON + 0.9996, b"2026-11-21T12:00:01.000Z"),
        (NOON - 0.001, b"2026-11-21T11:59:59.999Z"),
    ],
)
def test_the_time_is_utc_in_milliseconds(seconds: float, written: bytes) -> None:
    assert format_record(seconds, "INFO", "receiver", "x", {}).split()[0] == written


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("user+box@example.org", b"user+box@example.org"),
        ("", b'""'),
        ("two words", b'"two words"'),
        ("a=b", b'"a=b"'),
        ('say "hi"', rb'"say \"hi\""'),
        ("back\\slash", rb'"back\\slash"'),
        ("a\r\nb\tc", rb'"a\r\nb\tc"'),
        ("\x1b[2J\x00\x7f", rb'"\x1b[2J\x00\x7f"'),
        ("ü", '"ü"'.encode()),
        ("\x85\u2028\u202e\xa0", rb'"\u0085\u2028\u202e\u00a0"'),
        ("\U000e0001", rb'"\U000e0001"'),
        ("\ud800", rb'"\ud800"'),
        (b"\xff\xfe", rb'"\xff\xfe"'),
        (b"plain", b"plain"),
        (True, b"true"),
        (False, b"false"),
        (17, b"17"),
        (0.00321, b"0.0032"),
        (["a@b.c", "d@e.f"], b"a@b.c,d@e.f"),
        (['"a,b"@c', "d@e.f"], rb'"\"a\x2cb\"@c,d@e.f"'),
        ([], b'""'),
        (OSError(28, "No space left"), b'"[Errno 28] No space left"'),
    ],
)
def test_how_values_are_written(given: object, written: bytes) -> None:
    assert value(given) == written


def test_what_is_none_is_left_out() -> None:
    assert line(tls=None, size=1).endswith(b" accepted size=1\n")


TEXT = st.text(st.characters(), max_size=60)


@given(TEXT)
@example("%s %n {}")
@example("\\x41")
@example('" level=ERROR')
@example("\n2026-11-21T12:00:00.000Z INFO receiver accepted id=forged")
def test_text_comes_back_and_stays_printable(text: str) -> None:
    written = line(before=1, x=text, after=2)
    assert written.count(b"\n") == 1
    assert re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", written) is None
    record = parse_record(written)
    assert record.text("x") == text
    assert (record.text("before"), record.text("after")) == ("1", "2")


@given(st.binary(max_size=60))
def test_octets_come_back(octets: bytes) -> None:
    assert parse_record(line(x=octets)).text("x").encode("utf-8", "surrogateescape") == octets


@given(st.lists(TEXT.filter(bool), max_size=6))
def test_lists_come_back(elements: list[str]) -> None:
    expected = [e.encode("utf-8", "surrogatepass") for e in elements]
    read = parse_record(line(x=elements)).list("x")
    assert [e.encode("utf-8", "surrogatepass") for e in read] == expected


# too long


@given(st.lists(st.text(max_size=3000), min_size=1, max_size=5))
@example(["x" * 65536])
@example(["\x00" * 65536, "ü" * 65536])
def test_no_record_is_longer_than_one_atomic_write(values: list[str]) -> None:
    written = line(**{f"k{n}": text for n, text in enumerate(values)})
    assert len(written) <= MOST_OCTETS
    assert written.endswith(b"\n")
    parse_record(written)


def test_the_mark_itself_always_has_room() -> None:
    for length in range(1900, 2048):
        assert len(line(short="x" * length, long="y" * 5000)) <= MOST_OCTETS


def test_the_longest_values_are_cut_and_the_others_stay_whole() -> None:
    record = parse_record(line(id="abc", name="x" * 65536, size=5))
    assert (record.text("id"), record.text("size")) == ("abc", "5")
    assert set(record.text("name")) == {"x"}
    assert int(record.text("cut")) == 65536 - len(record.text("name"))


def test_a_record_that_just_fits_is_not_cut() -> None:
    room = MOST_OCTETS - len(line(x="")) + len('""')
    assert "cut" not in parse_record(line(x="y" * room)).fields
    assert "cut" in parse_record(line(x="y" * (room + 1))).fields


def test_a_list_is_cut_between_elements() -> None:
    addresses = [f"user{n}@example.org" for n in range(1000)]
    kept = parse_record(line(recipients=addresses)).list("recipients")
    assert 50 < len(kept) < 1000
    assert kept == addresses[: len(kept)]


def test_an_absurd_number_of_fields_still_makes_a_record() -> None:
    written = line(**{f"key{n}": "x" for n in range(2000)})
    assert len(written) <= MOST_OCTETS
    assert int(parse_record(written).text("cut")) > 10_000


# reading


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"2026-11-21T12:00:00.000Z INFO receiver",
        b"2026-11-21T12:00:00.000Z INFO receiver accepted id",
        b'2026-11-21T12:00:00.000Z INFO receiver accepted id="open',
        b'2026-11-21T12:00:00.000Z INFO receiver accepted id="a"b',
        b"2026-11-21T12:00:00.000Z INFO receiver accepted id=a  b=c",
    ],
)
def test_what_is_no_record_is_not_read_as_one(text: bytes) -> None:
    with pytest.raises(NotARecord):
        parse_record(text)


def test_a_record_read_back_has_all_its_parts() -> None:
    record = parse_record(line(id="abc"))
    assert (record.time, record.level, record.process, record.event, record.text("id")) == (
        "2026-11-21T12:00:00.000Z", "INFO", "receiver", "accepted", "abc",
    )  # fmt: skip
    with pytest.raises(KeyError):
        record.text("nothing")
