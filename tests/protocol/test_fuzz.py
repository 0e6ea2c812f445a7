"""Whatever comes in: no exception, one well-formed reply for each command, and the same answer to the
same octets in whatever portions they arrive."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mta.protocol.events import Event, Text
from tests.protocol.host import TERMS, Host, chunked, codes, replies_of

LINES = st.sampled_from(
    [
        b"EHLO c.example\r\n",
        b"HELO c.example\r\n",
        b"MAIL FROM:<a@b.example>\r\n",
        b"MAIL FROM:<\xc3\xbc@b.example> SMTPUTF8 SIZE=5\r\n",
        b"MAIL FROM: loose@b.example\r\n",
        b"RCPT TO:<user@example.org>\r\n",
        b"RCPT TO:<nobody@example.org>\r\n",
        b'RCPT TO:<@x,@y:"q q"@example.org>\r\n',
        b"DATA\r\n",
        b"Subject: x\r\n\r\nbody\r\n.\r\n",
        b"Received: x\r\n" * 3,
        b"..\r\n",
        b".\r\n",
        b"bare\nline\r\n",
        b"cr\r\r\n",
        b"x" * 3000,
        b"BDAT 3\r\nabc",
        b"BDAT 7 LAST\r\nabc\r\n\r\n",
        b"BDAT 200000\r\n",
        b"BDAT x\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"VRFY user\r\n",
        b"HELP\r\n",
        b"QUIT\r\n",
        b"STARTTLS\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"\r\n",
        b"\r",
        b"\n",
    ]
)
INPUT = st.lists(st.one_of(LINES, LINES, LINES, st.binary(max_size=20)), max_size=30).map(b"".join)
OPENED = INPUT.map(
    lambda rest: b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@example.org>\r\n" + rest
)
CUTS = st.lists(st.integers(0, 4000), max_size=40)


def town(trusted: bool, hold: int | None = None) -> Host:
    return Host(replace(TERMS, trusted=trusted, starttls=True, message_limit=20_000), hold=hold)


def told(host: Host) -> tuple[list[Event], list[tuple[str, bytes, bytes]]]:
    """The events, text aside, and the messages accepted."""
    return (
        [event for event in host.events if not isinstance(event, Text)],
        [(str(message.sender), message.crlf, message.lf) for message in host.accepted],
    )


@given(st.one_of(INPUT, OPENED), CUTS, st.booleans(), st.sampled_from([None, 0, 50]))
@settings(max_examples=600, deadline=None, derandomize=True)
def test_the_same_octets_get_the_same_answer(
    octets: bytes, cuts: list[int], trusted: bool, hold: int | None
) -> None:
    whole, parts = town(trusted), town(trusted, hold)
    whole.say(octets)
    parts.say(*chunked(octets, cuts))
    for host in (whole, parts):
        replies_of(host.output)
        host.leave()
    if whole.closed in ("input behind STARTTLS", "input behind a refused DATA"):
        # Closed for what came before its turn; cut there, it may come in its turn. All before is the same.
        assert parts.output.startswith(b"".join(replies_of(whole.output)[:-1]))
    elif parts.closed not in ("input behind STARTTLS", "input behind a refused DATA"):
        assert parts.output == whole.output
        assert told(parts) == told(whole)
        assert parts.closed == whole.closed


@given(st.lists(st.text('abcEHLOMAILRCPTFROM:<>@. \t\x00\xffü="\\[]', max_size=40), max_size=15))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_one_reply_for_each_line(lines: list[str]) -> None:
    host = town(trusted=True)
    for line in lines:
        octets = line.replace("\r", "").encode()
        expected = 0 if host.closed else 1
        assert len(codes(host.say(octets + b"\r\n"))) == expected


@given(
    st.lists(st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"x", b"Received: y"]), max_size=60).map(b"".join),
    CUTS,
)
@settings(max_examples=600, deadline=None, derandomize=True)
def test_text_against_a_plain_reading_of_the_rfc(octets: bytes, cuts: list[int]) -> None:
    """The end is the first CRLF.CRLF, counting the CRLF of DATA; a bare CR or LF refuses; stuffing goes."""
    host = town(trusted=False, hold=0)
    host.say(b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@example.org>\r\nDATA\r\n")
    answer = host.say(*chunked(octets + b"\r\n.\r\n", cuts))
    text = (b"\r\n" + octets + b"\r\n.\r\n").partition(b"\r\n.\r\n")[0] + b"\r\n"
    pairless = text.replace(b"\r\n", b"")
    if b"\r" in pairless or b"\n" in pairless:
        assert codes(answer)[0] == 554
        assert not host.accepted
    else:
        lines = [line.removeprefix(b".") for line in text.split(b"\r\n")[1:-1]]
        assert codes(answer)[0] == 250
        assert host.accepted[0].crlf == b"".join(line + b"\r\n" for line in lines)
        assert host.accepted[0].lf == b"".join(line + b"\n" for line in lines)
