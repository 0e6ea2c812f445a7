"""Openings, cookies and numbers, without a socket."""

from __future__ import annotations

import pytest

from mta.protocol.datagram import (
    KEPT,
    Again,
    Cookies,
    Line,
    Numbers,
    challenge,
    cookie_in,
    is_line,
    is_opening,
)

PEER = "192.0.2.1 4000"


@pytest.mark.parametrize("datagram", [b"\r\n", b"NOOP\r\n", b"1 NOOP\r\n", b" \r\n", b"a\rb\nc\r\n"])
def test_one_line_with_its_end_is_a_line(datagram: bytes) -> None:
    assert is_line(datagram)


@pytest.mark.parametrize(
    "datagram", [b"", b"\r", b"\n", b"NOOP", b"NOOP\n", b"A\r\nB\r\n", b"\r\n\r\n", b"A\r\nB"]
)
def test_anything_else_is_none(datagram: bytes) -> None:
    assert not is_line(datagram)


def test_an_opening_is_blanks_and_a_line_end() -> None:
    assert is_opening(b"\r\n")
    assert is_opening(b" " * 500 + b"\r\n")
    assert not any(map(is_opening, (b"", b" ", b"\t\r\n", b"x\r\n", b"\n", b"\r\n\r\n")))


def test_a_cookie_comes_back_as_it_went_out() -> None:
    cookie = Cookies(b"secret").make(PEER, 100.0)
    assert challenge(b"mx.example.org", cookie) == b"220 mx.example.org ready cookie=%b\r\n" % cookie
    assert cookie_in(b"COOKIE %b\r\n" % cookie) == cookie
    assert cookie_in(b"cookie %b\r\n" % cookie.upper()) == cookie


@pytest.mark.parametrize(
    "datagram", [b"COOKIE\r\n", b"COOKIE 12\r\n", b"COOKIE %b" % (b"a" * 32), b"NOOP\r\n"]
)
def test_what_is_no_cookie(datagram: bytes) -> None:
    assert cookie_in(datagram) is None


def test_a_cookie_is_bound_to_its_peer_to_time_and_to_the_process() -> None:
    cookies = Cookies(b"secret")
    cookie = cookies.make(PEER, 100.0)
    assert cookies.holds(cookie, PEER, 100.0)
    assert cookies.holds(cookie, PEER, 120.0)
    assert not cookies.holds(cookie, PEER, 160.0)
    assert not cookies.holds(cookie, PEER, 40.0)
    assert not cookies.holds(cookie, "192.0.2.1 4001", 100.0)
    assert not cookies.holds(cookie, "192.0.2.2 4000", 100.0)
    assert not Cookies(b"other").holds(cookie, PEER, 100.0)


# numbers


def served(numbers: Numbers, datagram: bytes, reply: bytes, *, text: bool = False) -> bytes:
    line = numbers.receive(datagram, text=text)
    assert isinstance(line, Line)
    return numbers.answered(line, reply)


def test_a_numbered_line_is_answered_with_its_number() -> None:
    numbers = Numbers(optional=False)
    assert numbers.receive(b"1 HELO x\r\n", text=False) == Line(1, b"HELO x\r\n")
    assert numbers.answered(Line(1, b"HELO x\r\n"), b"250 ok\r\n") == b"1 250 ok\r\n"


def test_a_repeated_number_gets_the_stored_reply_whatever_it_says() -> None:
    numbers = Numbers(optional=False)
    served(numbers, b"1 HELO x\r\n", b"250 one\r\n")
    served(numbers, b"2 NOOP\r\n", b"250 two\r\n")
    assert numbers.receive(b"2 QUIT\r\n", text=False) == Again(b"2 250 two\r\n")
    assert numbers.receive(b"1 HELO x\r\n", text=False) == Again(b"1 250 one\r\n")


def test_a_line_that_is_being_served_is_not_served_twice() -> None:
    numbers = Numbers(optional=False)
    numbers.receive(b"1 NOOP\r\n", text=False)
    assert numbers.receive(b"1 NOOP\r\n", text=False) is None


def test_a_gap_is_ignored_until_it_is_filled() -> None:
    numbers = Numbers(optional=False)
    assert numbers.receive(b"2 NOOP\r\n", text=False) is None
    served(numbers, b"1 NOOP\r\n", b"250\r\n")
    assert numbers.receive(b"2 NOOP\r\n", text=False) == Line(2, b"NOOP\r\n")


@pytest.mark.parametrize("number", [b"0", b"00", b"3", b"999999999", b"1000000000", b"-1", b"+1", b"1.0"])
def test_numbers_that_are_not_the_next(number: bytes) -> None:
    assert Numbers(optional=False).receive(number + b" NOOP\r\n", text=False) is None


def test_only_so_many_replies_are_kept() -> None:
    numbers = Numbers(optional=False)
    for number in range(1, KEPT + 2):
        served(numbers, b"%d NOOP\r\n" % number, b"250\r\n")
    assert numbers.receive(b"1 NOOP\r\n", text=False) is None
    assert numbers.receive(b"2 NOOP\r\n", text=False) == Again(b"2 250\r\n")


def test_equal_lines_in_a_row_count_each() -> None:
    numbers = Numbers(optional=False)
    for number in (1, 2, 3):
        assert served(numbers, b"%d \r\n" % number, b"", text=number > 1) == b"%d " % number


def test_an_empty_line_may_lack_its_blank() -> None:
    assert Numbers(optional=False).receive(b"1\r\n", text=False) == Line(1, b"\r\n")


def test_without_a_number_only_where_that_is_enough() -> None:
    assert Numbers(optional=False).receive(b"NOOP\r\n", text=False) is None
    numbers = Numbers(optional=True)
    for _ in range(2):
        assert served(numbers, b"NOOP\r\n", b"250\r\n") == b"250\r\n"


def test_digits_in_the_text_of_who_does_not_number_are_text() -> None:
    numbers = Numbers(optional=True)
    served(numbers, b"DATA\r\n", b"354\r\n")
    assert numbers.receive(b"1 monkey\r\n", text=True) == Line(None, b"1 monkey\r\n")


def test_digits_in_the_text_of_who_numbers_come_after_the_number() -> None:
    numbers = Numbers(optional=True)
    served(numbers, b"1 DATA\r\n", b"354\r\n")
    assert numbers.receive(b"2 12 monkeys\r\n", text=True) == Line(2, b"12 monkeys\r\n")


def test_no_line_without_a_number_gets_into_a_numbered_text() -> None:
    numbers = Numbers(optional=True)
    served(numbers, b"1 DATA\r\n", b"354\r\n")
    assert numbers.receive(b"text\r\n", text=True) is None


def test_a_late_opening_does_not_become_an_empty_line_of_a_text() -> None:
    numbers = Numbers(optional=True)
    served(numbers, b"1 DATA\r\n", b"354\r\n")
    assert numbers.receive(b"   \r\n", text=True) is None
    assert numbers.receive(b"\r\n", text=False) is None
