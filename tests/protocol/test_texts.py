"""The text of messages: pieces, loops, sizes, and hosts that run out of space."""

from __future__ import annotations

import pytest

from mta.protocol import replies
from mta.protocol.events import NEED_DATA, Discarded, Text
from tests.protocol.host import ENVELOPE, Host, advance, chunked, codes, fresh, host, in_data


def test_a_long_text_is_handed_out_in_pieces_of_whole_lines() -> None:
    session = in_data()
    session.hold = 100
    line = b"x" * 38 + b"\r\n"
    session.receive_data(line * 3 + b"half")
    assert session.next_event() == Text(line * 3, line.replace(b"\r", b"") * 3, False)
    assert session.next_event() is NEED_DATA
    session.receive_data(b"\r\n.\r\n")
    assert session.next_event() == Text(b"half\r\n", b"half\n", True)


def test_a_very_long_line_is_handed_out_too() -> None:
    town = host(message_limit=10_000_000)
    town.say(ENVELOPE + b"DATA\r\n")
    assert town.say(*[b"x" * 65536] * 20) == b""
    assert len([event for event in town.events if isinstance(event, Text)]) > 5
    town.say(b"\r\n.\r\n")
    assert town.accepted[0].crlf == b"x" * (20 * 65536) + b"\r\n"


def test_a_host_that_runs_out_of_space_lets_the_rest_pass() -> None:
    session = in_data()
    session.hold = 0
    session.receive_data(b"first\r\nmore\r\n")
    assert isinstance(session.next_event(), Text)
    session.discard(replies.NO_SPACE)
    session.receive_data(b"second\r\nthird\r\nQUIT\r\n.\r\nNOOP\r\n")
    marked = replies.NO_SPACE.with_id("0abc")
    assert session.next_event() == Discarded(marked)
    assert session.next_event() is NEED_DATA
    assert session.data_to_send() == marked.octets + replies.OK.octets


def test_a_host_that_runs_out_of_space_within_chunks() -> None:
    session = fresh()
    session.hold = 0
    answers = replies.SENDER_OK, replies.RECIPIENT_OK, replies.GO_AHEAD
    advance(session, ENVELOPE + b"BDAT 5\r\nabc\r\n", *answers)
    assert session.next_event() == Text(b"abc\r\n", b"abc\n", False)
    session.discard(replies.NO_SPACE)
    session.receive_data(b"BDAT 5\r\nabc\r\nBDAT 0 LAST\r\n")
    assert session.next_event() == Discarded(replies.NO_SPACE.with_id("0abc"))
    assert session.next_event() is NEED_DATA
    assert codes(session.data_to_send())[-3:] == [250, 452, 503]


def test_rset_between_chunks_tells_the_host_to_drop_them() -> None:
    town = host()
    town.say(ENVELOPE + b"BDAT 3\r\nabcRSET\r\n")
    assert town.events[-1] == Discarded(replies.OK)


@pytest.mark.parametrize(("hops", "code"), [(100, 250), (101, 554)])
@pytest.mark.parametrize("name", [b"Received", b"RECEIVED", b"received"])
@pytest.mark.parametrize(("hold", "portion"), [(None, 50), (None, 100_000), (0, 50), (0, 2000)])
def test_40_more_than_a_hundred_received_lines_are_a_loop(
    hops: int, code: int, name: bytes, hold: int | None, portion: int
) -> None:
    town = Host(hold=hold)
    town.say(ENVELOPE + b"DATA\r\n")
    folded = name + b": from a\r\n\tby b\r\n  Received: no\r\n"
    text = folded * hops + b"X-Received: no\r\n\r\n" + b"Received: in the body\r\n" * 200 + b".\r\n"
    assert codes(town.say(*chunked(text, range(0, len(text), portion)))) == [code]


@pytest.mark.parametrize("behind", range(8))
def test_a_long_line_is_never_cut_between_cr_and_lf(behind: int) -> None:
    text = b"x" * 2000 + b"\r\n" + b"y" * 20 + b"\r\n"
    cuts = (2000 + behind,)
    dotted, sized = Host(hold=0), Host(hold=0)
    dotted.say(ENVELOPE + b"DATA\r\n")
    assert codes(dotted.say(*chunked(text + b".\r\n", cuts))) == [250]
    sized.say(ENVELOPE + b"BDAT %d LAST\r\n" % len(text))
    assert codes(sized.say(*chunked(text, cuts))) == [250]
    assert dotted.accepted[0].crlf == sized.accepted[0].crlf == text


@pytest.mark.parametrize("cut", range(1500, 1530))
def test_dots_in_a_long_line_that_is_handed_out_in_parts_are_kept(cut: int) -> None:
    text = b"x" * 1500 + b"." * 20 + b"\r\n..\r\n"
    town = Host(hold=0)
    town.say(ENVELOPE + b"DATA\r\n")
    assert codes(town.say(*chunked(text + b".\r\n", (cut,)))) == [250]
    assert town.accepted[0].crlf == text[:-3] + b"\r\n"


def test_40_received_lines_are_counted_across_pieces_and_chunks() -> None:
    header = b"Received: x\r\n" * 101
    for size in (1, 3, 64, 1000):
        town = Host(hold=0)
        chunks = [header[i : i + size] for i in range(0, len(header), size)]
        town.say(ENVELOPE)
        town.say(*(b"BDAT %d\r\n%b" % (len(chunk), chunk) for chunk in chunks))
        assert codes(town.say(b"BDAT 0 LAST\r\n")) == [554]


def test_a_header_of_ten_megabytes() -> None:
    town = host(message_limit=50_000_000)
    town.say(ENVELOPE + b"DATA\r\n")
    assert codes(town.say(*[b"X: y\r\n" * 11000] * 160, b"\r\n.\r\n")) == [250]


def test_a_text_without_end_ends_the_session() -> None:
    town = host(message_limit=1000)
    town.say(ENVELOPE + b"DATA\r\n")
    assert town.say(b"x\r\n" * 3000) == b""
    assert codes(town.say(b"x\r\n" * 1000)) == [552]
    assert town.closed == "endless text"


def test_31_a_text_line_of_1000_octets_and_a_message_of_64_kilobytes() -> None:
    town = host()
    town.say(ENVELOPE + b"DATA\r\n")
    assert codes(town.say((b"x" * 998 + b"\r\n") * 66 + b".\r\n")) == [250]
