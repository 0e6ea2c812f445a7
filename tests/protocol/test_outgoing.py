"""The text on its way out: whatever goes in, lines end in CRLF and nothing but the end looks like the end."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.protocol.client.mail import OutgoingText
from tests.protocol.exchanger import pieces

ENDS = (b"\n", b"\r", b"\r\n", b"\n\r", b"\r\r\n")
CONTROLS = (
    b"\x0b",
    b"\x0c",
    b"\x1c",
    b"\x1d",
    b"\x1e",
    b"\x85",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xe2\x80\xa9",
)
VECTORS = [  # S01-S15 of the smuggling table
    *(before + b"." + after for before, after in product(ENDS, ENDS)),
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\n\n.\r\n",
    b"\r\r.\r\r",
    b"\r\n\n.\r\n",
    b"\r\n.\n\r\n",
    *(b"\r\n." + blank + b"\r\n" for blank in (b" ", b"\t", b"\x0b", b"\x0c")),
    *(control + b"." + control for control in CONTROLS),
]
SMUGGLED = b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<u@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nsecond"


def sent(parts: list[bytes], *, dotted: bool = True) -> bytes:
    text = OutgoingText(dotted=dotted)
    return b"".join(text.piece(part, last=part_is_last) for part, part_is_last in marked(parts))


def marked(parts: list[bytes]) -> list[tuple[bytes, bool]]:
    return [(part, index == len(parts) - 1) for index, part in enumerate(parts)]


def received(wire: bytes) -> bytes:
    """What a receiver that knows only CRLF.CRLF takes; that must stand at the very end only."""
    text, end, rest = (b"\r\n" + wire).partition(b"\r\n.\r\n")
    assert end
    assert rest == b""
    lines = (text + b"\r\n").split(b"\r\n")[1:]
    return b"\r\n".join(line.removeprefix(b".") for line in lines)


def in_crlf(octets: bytes) -> bytes:
    """The same lines, ended by CRLF each; said another way than the code says it."""
    whole = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    return whole if whole.endswith(b"\r\n") or not whole else whole + b"\r\n"


@pytest.mark.parametrize("vector", VECTORS, ids=repr)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_nothing_can_be_smuggled(vector: bytes, size: int) -> None:
    body = b"Subject: one\r\n\r\nfirst" + vector + SMUGGLED
    wire = sent(pieces(body, size))
    assert re.search(rb"\r(?!\n)|(?<!\r)\n", wire) is None
    assert received(wire) == in_crlf(body)


@pytest.mark.parametrize(
    ("body", "wire"),
    [
        (b"", b".\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n.\r\n", b"..\r\n..\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a\r\r\n", b"a\r\n\r\n.\r\n"),
        (b"a\n.b\n", b"a\r\n..b\r\n.\r\n"),
        (b"a\r.b\r", b"a\r\n..b\r\n.\r\n"),
        (b"a.\r\n .\r\n", b"a.\r\n .\r\n.\r\n"),
    ],
)
def test_examples(body: bytes, wire: bytes) -> None:
    assert sent([body]) == wire
    assert sent(pieces(body, 1)) == wire


@given(st.lists(st.text(alphabet="\r\n.a\0", max_size=6).map(str.encode), min_size=1, max_size=8))
def test_any_text_in_any_pieces_arrives(parts: list[bytes]) -> None:
    wire = sent(parts)
    assert received(wire) == in_crlf(b"".join(parts))
    assert re.search(rb"\r(?!\n)|(?<!\r)\n", wire) is None


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=6))
def test_other_octets_are_left_alone(parts: list[bytes]) -> None:
    assert received(sent(parts)) == in_crlf(b"".join(parts))


@given(st.lists(st.text(alphabet="\r\n.a", max_size=6).map(str.encode), min_size=1, max_size=8))
def test_counted_text_is_not_stuffed(parts: list[bytes]) -> None:
    assert sent(parts, dotted=False) == in_crlf(b"".join(parts))
