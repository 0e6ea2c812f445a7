"""The letter: what is written is read, and nothing else is taken for a letter."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.store import Domain, Envelope, Mailbox, Recipient
from mta.store.letter import BrokenLetter, Letter, envelope_lines, first_line, read_letter

ENVELOPE = Envelope(
    "0123456789abcdefghij",
    "sénder@example",
    1_800_000_000.5,
    (Recipient("a@example", Mailbox("a")), Recipient('"b\\"c"@example', Domain("example"))),
    {"helo": "a\ud800\n", "smtputf8": True},
)
WISHES = replace(
    ENVELOPE,
    recipients=(
        Recipient("a@example", Mailbox("a"), "SUCCESS,DELAY", "rfc822;a+2Bb@example"),
        Recipient("b@example", Domain("example"), "NEVER"),
        Recipient("c@example", Domain("example"), reverse_path="SRS0=x@mx.example", via="list@mx.example"),
    ),
    ret="FULL",
    envid="order+207",
)
LINES = envelope_lines(ENVELOPE)
MESSAGE = b"Received: x\r\n\r\nhi\r\n"
LETTER = first_line(len(LINES), len(MESSAGE)) + LINES + MESSAGE


def read(path: Path, octets: bytes) -> Letter:
    path.write_bytes(octets)
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_letter(fd)
    finally:
        os.close(fd)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    letter = read(tmp_path / "letter", LETTER)
    assert letter == Letter(ENVELOPE, LETTER.index(MESSAGE), len(MESSAGE))


def test_wishes_for_reports_and_ways_of_forwarding_are_kept(tmp_path: Path) -> None:
    lines = envelope_lines(WISHES)
    letter = read(tmp_path / "letter", first_line(len(lines), len(MESSAGE)) + lines + MESSAGE)
    assert letter.envelope == WISHES


def test_it_can_be_read_by_eye() -> None:
    assert LETTER.decode("ascii").split("\n")[:4] == [
        "mta-letter/1 envelope=00000236 message=000000000019",
        '{"id": "0123456789abcdefghij", "sender": "s\\u00e9nder@example", "arrived": 1800000000.5, '
        '"client": {"helo": "a\\ud800\\n", "smtputf8": true}}',
        '{"address": "a@example", "mailbox": "a"}',
        '{"address": "\\"b\\\\\\"c\\"@example", "domain": "example"}',
    ]


def test_what_a_later_version_adds_is_skipped(tmp_path: Path) -> None:
    lines = LINES.replace(b'{"address"', b'{"later": ["x"], "address"')
    letter = read(tmp_path / "letter", first_line(len(lines), len(MESSAGE)) + lines + MESSAGE)
    assert letter.envelope == ENVELOPE


@pytest.mark.parametrize("length", range(0, len(LETTER), 7))
def test_a_cut_letter_is_broken(tmp_path: Path, length: int) -> None:
    with pytest.raises(BrokenLetter):
        read(tmp_path / "letter", LETTER[:length])


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"no json\n",
        b"[]\n",
        b"[" * 100_000 + b"\n",
        b"\xff\n",
        LINES.replace(b"0123456789abcdefghij", b"../../../etc/passwd/"),
        LINES.replace(b'"domain": "example"', b'"domain": ".."'),
        LINES.replace(b'"domain": "example"', b'"domain": 1'),
        LINES.replace(b'"mailbox": "a"', b'"mailbox": "../a"'),
        LINES.replace(b'"mailbox": "a"', b'"box": "a"'),
        LINES.replace(b'"mailbox": "a"', b'"mailbox": "a", "notify": ["NEVER"]'),
        LINES.replace(b'"client"', b'"envid": 1, "client"'),
        LINES.replace(b"1800000000.5", b'"now"'),
        LINES.replace(b"1800000000.5", b"NaN"),
        LINES.replace(b"1800000000.5", b"-1"),
        LINES.replace(b"1800000000.5", b"1e300"),
        LINES.replace(b"1800000000.5", b"9" * 400),
        LINES.replace(b'"arrived"', b'"left"'),
        LINES.splitlines(keepends=True)[0],
    ],
)
def test_an_envelope_that_makes_no_sense_is_broken(tmp_path: Path, lines: bytes) -> None:
    with pytest.raises(BrokenLetter, match="envelope"):
        read(tmp_path / "letter", first_line(len(lines), len(MESSAGE)) + lines + MESSAGE)


@given(st.integers(0, len(LETTER) - 1), st.integers(0, 255))
def test_a_changed_octet_breaks_it_or_nothing(at: int, octet: int) -> None:
    """Whatever is wrong with a letter is a BrokenLetter, never another error."""
    fd = os.memfd_create("letter")
    try:
        os.write(fd, LETTER[:at] + bytes((octet,)) + LETTER[at + 1 :])
        length = _length(fd)
    finally:
        os.close(fd)
    assert length in (None, len(MESSAGE))


def _length(fd: int) -> int | None:
    try:
        return read_letter(fd).length
    except BrokenLetter:
        return None
