"""The header of a message that passes through."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.protocol.smtp.header import MOST, Header

MESSAGE = b"Subject: a\nX-Folded: one\n\ttwo\nfrom :b\n: no name\nDate: c\n\nTo: not me\n"
FIELDS = [(b"subject", b"a"), (b"x-folded", b"one\n\ttwo"), (b"from", b"b")]


def read(*pieces: bytes) -> Header:
    """The header of a message that comes in these pieces."""
    header = Header()
    for piece in pieces:
        header.feed(piece)
    assert header.feed(b"", last=True)
    return header


def test_fields_are_read_up_to_what_is_none() -> None:
    assert read(MESSAGE).fields() == FIELDS


@given(st.lists(st.integers(0, len(MESSAGE))))
def test_it_does_not_matter_how_it_arrives(cuts: list[int]) -> None:
    places = sorted({0, *cuts, len(MESSAGE)})
    pieces = [MESSAGE[start:end] for start, end in pairwise(places)]
    assert read(*pieces).fields() == FIELDS


def test_it_is_seen_when_the_empty_line_is() -> None:
    header = Header()
    assert not header.feed(b"A: b\n")
    assert header.feed(b"\nC: d\n")
    assert header.feed(b"\n\nmore")
    assert header.fields() == [(b"a", b"b")]


@pytest.mark.parametrize(
    ("octets", "is_one", "fields"),
    [
        (b"", True, []),
        (b"\nA: b\n", True, []),
        (b"hello\n", False, []),
        (b"hello\n\nA: b\n", False, []),
        (b" folded: from nothing\n", False, []),
        (b"A: b", True, [(b"a", b"b")]),
        (b"A:\n", True, [(b"a", b"")]),
    ],
)
def test_odd_beginnings(octets: bytes, is_one: bool, fields: list[tuple[bytes, bytes]]) -> None:
    header = read(octets)
    assert header.is_one is is_one
    assert header.fields() == fields


def test_one_without_end_is_not_kept_for_ever() -> None:
    header = Header()
    piece = b"X: " + b"y" * 997 + b"\n"
    count = 1
    while not header.feed(piece):
        count += 1
    assert count * len(piece) <= MOST + len(piece)
