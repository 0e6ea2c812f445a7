"""Replies: well formed whatever they are told to say. RFC 5321 4.2, 4.5.3.1.5; RFC 2034."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.protocol import replies
from mta.protocol.replies import Reply
from tests.protocol.host import replies_of

CATALOGUE = {name: value for name, value in vars(replies).items() if isinstance(value, Reply)}


@pytest.mark.parametrize("reply", CATALOGUE.values(), ids=CATALOGUE)
def test_65_enhanced_code_is_of_the_class_of_the_code(reply: Reply) -> None:
    assert replies_of(reply.octets) == [reply.octets]
    _, enhanced = reply.octets.split(b" ")[:2]
    if reply.code != 354:
        assert enhanced.split(b".")[0] == b"%d" % (reply.code // 100)


@given(st.text(max_size=700), st.text(max_size=700))
def test_04_no_text_makes_two_replies_of_one(first: str, second: str) -> None:
    for reply in (Reply(550, "5.1.1", first), Reply(250, "", first, second), replies.queued(first)):
        assert replies_of(reply.octets) == [reply.octets]
        assert replies_of(reply.with_id("0" * 20).octets) == [reply.with_id("0" * 20).octets]


def test_04_a_long_text_is_cut_to_what_a_line_may_hold() -> None:
    reply = Reply(550, "5.1.1", "x" * 2000, "y" * 2000).with_id("0" * 20)
    assert replies_of(reply.octets) == [reply.octets]


def test_lines() -> None:
    assert Reply(250, "", "one", "two").octets == b"250-one\r\n250 two\r\n"
    assert Reply(214, "2.0.0", "one", "two").octets == b"214-2.0.0 one\r\n214 2.0.0 two\r\n"


def test_session_id_ends_the_last_line() -> None:
    marked = Reply(550, "5.1.1", "one", "two").with_id("0abc")
    assert marked.octets == b"550-5.1.1 one\r\n550 5.1.1 two (session 0abc)\r\n"
    assert marked.code == 550


def test_control_characters_show_as_escapes() -> None:
    assert Reply(550, "5.1.1", "a\r\n250 ok\x1b[2J").octets == b"550 5.1.1 a\\r\\n250 ok\\x1b[2J\r\n"


def test_value() -> None:
    assert Reply(250, "2.0.0", "ok") == replies.OK
    assert hash(Reply(250, "2.0.0", "ok")) == hash(replies.OK)
    assert replies.OK != replies.BYE
    assert repr(replies.OK) == "Reply('250 2.0.0 ok')"
    assert Reply(250, "", "one", "two").text == "250-one / 250 two"
