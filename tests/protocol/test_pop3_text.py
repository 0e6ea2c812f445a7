"""The text of a message on the wire: whatever the file holds and wherever it is cut."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from mta.protocol.pop3.text import WireText, added_octets, whole_text

OCTETS = st.lists(st.sampled_from((b"\n", b"\r\n", b"\r", b".", b"..", b"a", b"\0", b"\xff", b"text"))).map(
    b"".join
)
CUTS = st.lists(st.integers(0, 60))


def cut(octets: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(octets), *(place for place in cuts if place < len(octets))})
    return [octets[a:b] for a, b in pairwise(places)]


def sent(pieces: list[bytes], lines: int | None = None) -> bytes:
    """What leaves for a file that is read in these pieces."""
    text, output = WireText(lines), b""
    for piece in pieces:
        output += text.feed(piece)
        if text.ended:
            break
    return output + text.finish()


def received(wire: bytes) -> bytes:
    """What a client makes of it (RFC 1939 3), by the book."""
    assert wire.endswith(b"\r\n.\r\n") or wire == b".\r\n"
    lines = wire.split(b"\r\n")[:-2]
    assert b"." not in lines, "the text ends before its end"
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)


def stored(octets: bytes) -> bytes:
    """The file with CRLF line ends, the last one included; a CR alone is a character."""
    text = re.sub(rb"\r?\n", b"\r\n", octets)
    return text if not text or text.endswith(b"\r\n") else text + b"\r\n"


@given(OCTETS, CUTS)
@example(b"a\r\n.\r\nb", [2, 3, 4])
@example(b"\n.", [1])
@example(b"a\r", [])
def test_a_client_gets_what_is_stored(octets: bytes, cuts: list[int]) -> None:
    assert received(sent(cut(octets, cuts))) == stored(octets)


@given(OCTETS, CUTS)
def test_the_size_is_what_a_client_gets(octets: bytes, cuts: list[int]) -> None:
    pieces = cut(octets, cuts)

    assert len(octets) + added_octets(pieces) == len(received(sent(pieces)))


@given(OCTETS)
@example(b"a\r")
@example(b".")
def test_a_whole_text_is_the_same(octets: bytes) -> None:
    assert whole_text(octets) == sent([octets])


@given(OCTETS, CUTS, st.integers(0, 4))
@example(b"a\n\nb\nc\n", [2], 1)
@example(b"\nb\nc\n", [], 0)
@example(b"a\r\n\r\nb", [3], 0)
def test_top_ends_so_many_lines_below_the_header(octets: bytes, cuts: list[int], lines: int) -> None:
    whole = stored(octets).splitlines(keepends=True) if b"\r" not in octets.replace(b"\r\n", b"") else None
    if whole is None:
        return
    top = []
    below = -1
    for line in whole:
        if below >= lines:
            break
        top.append(line)
        if below >= 0 or line == b"\r\n":
            below += 1

    assert received(sent(cut(octets, cuts), lines)) == b"".join(top)
