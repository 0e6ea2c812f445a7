"""Replies as a client reads them: well formed ones whole, everything else refused within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.protocol.client.answers import LINE_BOUND, LINES_BOUND, Answer, AnswerWire, Malformed
from tests.protocol.exchanger import pieces


def answers(octets: bytes, size: int = 1 << 20) -> list[Answer]:
    wire = AnswerWire()
    found = []
    for part in pieces(octets, size):
        wire.receive_data(part)
        while (answer := wire._take_answer()) is not None:
            found.append(answer)
    return found


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"250 ok\r\n", [Answer(250, ("ok",))]),
        (b"250\r\n", [Answer(250, ("",))]),
        (b"250 \r\n", [Answer(250, ("",))]),
        (b"250-a\r\n250-\r\n250 b\r\n", [Answer(250, ("a", "", "b"))]),
        (b"220 a\r\n250 b\r\n", [Answer(220, ("a",)), Answer(250, ("b",))]),
        (b"250-a\r\n", []),
        (b"250 a\r", []),
        (b"200 500\r\n", [Answer(200, ("500",))]),
        (b"299 a\x1b[2J\x00\r\r\n", [Answer(299, (r"a\x1b[2J\x00\r",))]),
        ("550 nö\r\n".encode(), [Answer(550, (r"n\xf6",))]),
        (b"550 \xff\r\n", [Answer(550, (r"\xff",))]),
    ],
)
def test_replies(octets: bytes, size: int, expected: list[Answer]) -> None:
    assert answers(octets, size) == expected


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize(
    "octets",
    [
        b"199 a\r\n",
        b"600 a\r\n",
        b"2x\r\n",
        b"25\r\n",
        b"2500 a\r\n",
        b"250+a\r\n",
        b"\r\n",
        b" 250 a\r\n",
        b"250 a\n",
        b"250-a\r\n550 b\r\n",
        "２５０ a\r\n".encode(),
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50\n",
        b"x" * LINE_BOUND,
        b"250 " + b"x" * LINE_BOUND + b"\r\n",
    ],
)
def test_no_replies(octets: bytes, size: int) -> None:
    with pytest.raises(Malformed):
        answers(octets, size)


def test_a_long_line_is_taken_and_shown_short() -> None:
    (answer,) = answers(b"550 " + b"x" * (LINE_BOUND - 6) + b"\r\n")
    assert answer.text == "550 " + "x" * 440


def test_lines_are_bounded() -> None:
    whole = b"250-x\r\n" * (LINES_BOUND - 1) + b"250 x\r\n"
    assert len(answers(whole)[0].lines) == LINES_BOUND
    with pytest.raises(Malformed, match="more than 100 lines"):
        answers(b"250-x\r\n" * (LINES_BOUND + 1))


@pytest.mark.parametrize(
    ("octets", "enhanced"),
    [
        (b"550 5.1.1 no\r\n", "5.1.1"),
        (b"550 5.1.1\r\n", "5.1.1"),
        (b"550-5.7.26 a\r\n550 5.1.1 b\r\n", "5.7.26"),
        (b"550 4.1.1 contradicts the code\r\n", ""),
        (b"550 5.1.1x\r\n", ""),
        (b"550 no\r\n", ""),
        (b"354 3.0.0 go\r\n", ""),
    ],
)
def test_enhanced_codes(octets: bytes, enhanced: str) -> None:
    assert answers(octets)[0].enhanced == enhanced


def test_text_is_one_line() -> None:
    assert answers(b"550-5.1.1 a\r\n550 5.1.1 b\r\n")[0].text == "550 5.1.1 a / 5.1.1 b"


@given(st.binary(max_size=60), st.integers(1, 7))
def test_any_octets_in_any_portions_give_the_same(octets: bytes, size: int) -> None:
    def verdict(size: int) -> object:
        try:
            return answers(b"250-a\r\n" + octets, size)
        except Malformed as malformed:
            return str(malformed)

    assert verdict(size) == verdict(1 << 20)
