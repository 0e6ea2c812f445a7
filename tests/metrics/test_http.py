"""HTTP requests: the two that are meant, and everything else that comes to an open port."""

from __future__ import annotations

import pytest

from mta.metrics.http import HEAD_LIMIT, Answer, HttpSession, Request
from mta.protocol.events import NEED_DATA, PAUSED, Closed


def session(octets: bytes) -> HttpSession:
    made = HttpSession()
    made.receive_data(octets)
    return made


def test_a_request_is_asked_and_its_answer_ends_the_connection() -> None:
    made = session(b"GET /metrics?x=1 HTTP/1.1\r\nHost: h\r\naccept: text/plain\r\n\r\n")
    assert made.next_event() == Request("/metrics", "text/plain")
    assert made.next_event() is PAUSED
    made.reply(Answer(200, b"page\n", "text/x"))
    assert made.next_event() == Closed("served")
    head, _, content = made.data_to_send().partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"HTTP/1.1 200 OK"
    assert {b"Content-Type: text/x", b"Content-Length: 5", b"Connection: close"} <= set(head.splitlines())
    assert content == b"page\n"


def test_a_head_request_gets_the_length_and_no_content() -> None:
    made = session(b"HEAD / HTTP/1.0\n\n")
    assert made.next_event() == Request("/", "")
    made.reply(Answer(200, b"page\n"))
    sent = made.data_to_send()
    assert b"Content-Length: 5\r\n" in sent
    assert sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 405),
        (b"DELETE / HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\n\r\n", 400),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
        (b"EHLO client\r\n\r\n", 400),
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"x" * HEAD_LIMIT, 431),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 2000, 431),
    ],
)
def test_what_else_comes_is_answered_with_a_status_and_the_end(octets: bytes, status: int) -> None:
    made = session(octets)
    assert made.next_event() == Closed("served")
    assert made.data_to_send().startswith(b"HTTP/1.1 %d " % status)
    made.receive_data(b"GET / HTTP/1.1\r\n\r\n")
    assert made.next_event() == Closed("served")
    assert made.data_to_send() == b""


def test_a_second_request_behind_the_first_is_not_served() -> None:
    made = session(b"GET / HTTP/1.1\r\n\r\nGET /other HTTP/1.1\r\n\r\n")
    assert made.next_event() == Request("/", "")
    made.reply(Answer(200, b""))
    assert made.next_event() == Closed("served")


def test_byte_by_byte() -> None:
    made = HttpSession()
    for octet in b"GET / HTTP/1.1\r\nHost: h\r\n\r":
        made.receive_data(bytes([octet]))
        assert made.next_event() is NEED_DATA
    made.receive_data(b"\n")
    assert made.next_event() == Request("/", "")


def test_who_says_too_little_is_told_so_in_the_end() -> None:
    made = session(b"GET / HT")
    assert made.next_event() is NEED_DATA
    made.time_out()
    assert made.next_event() == Closed("served")
    assert made.data_to_send().startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("octets", [b"", b"GET / HTTP/1.1\r\n"])
def test_who_leaves_is_not_answered(octets: bytes) -> None:
    made = session(octets)
    made.receive_eof()
    assert made.next_event() == Closed("lost")
    assert made.data_to_send() == b""
