"""Text and names that want to be read as something else: header, envelope, log record.

A message is stored as it came or not at all; what a client says of itself can add no header line, no record
and no line to a log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.log.logfmt import parse_record
from tests.server.ward import TEXT, Ward

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    folder = tmp_path_factory.mktemp("ward")
    made = Ward(folder, None, "limits.errors=1000", 'relay.domains=["backup.example"]')
    yield made
    made.close()


def send(ward: Ward, text: bytes, reply: bytes) -> None:
    assert ward.greeted().deliver(text, b"a@example.org").startswith(reply)


def stored(ward: Ward) -> tuple[list[bytes], bytes]:
    """The lines that we put on top of the only message, and its text with CRLF line ends; taken out."""
    (mail,) = ward.files("a/new")
    lines = mail.read_bytes().split(b"\n")
    mail.unlink()
    own = next(number for number in range(2, len(lines)) if not lines[number].startswith(b"\t"))
    return lines[:own], b"\r\n".join(lines[own:])


# text


STRANGE = {
    "a return path of its own": b"Return-Path: <evil@x.example>\r\nSubject: x\r\n\r\n",
    "a thousand return paths": b"Return-Path: <evil@x.example>\r\n" * 1000 + b"\r\nx\r\n",
    "hops in an order": b"Received: one\r\nReceived: two\r\n\tfolded\r\nReceived: three\r\n\r\nx\r\n",
    "a hundred hops": b"Received: x\r\n" * 100 + b"\r\nx\r\n",
    "a hundred folded hops": b"Received: x\r\n Received: y\r\n" * 100 + b"\r\nx\r\n",
    "hops in the body": b"Subject: x\r\n\r\n" + b"Received: x\r\n" * 100_000,
    "delivered to": b"Delivered-To: a@example.org\r\n" * 100 + b"\r\n",
    "lines without a colon": b"nonsense\r\nmore nonsense\r\n\r\nx\r\n",
    "a blank first": b" folded from nowhere\r\nSubject: x\r\n\r\n",
    "an empty line first": b"\r\nbody only\r\n",
    "no separator": b"Subject: x\r\n",
    "a From line": b"From evil@x.example Thu Jan  1 00:00:00 1970\r\nSubject: x\r\n\r\nFrom here on\r\n",
    "an end of another letter": b'mta-letter/1 envelope=00000000 message=000000000000\r\n{"sender": ""}\r\n',
    "NUL": b"Subject: \0\r\n\r\n\0\0\r\n",
    "all octets but CR and LF": b"X: " + bytes(set(range(256)) - {10, 13}) + b"\r\n\r\n" + b"\xff\xfe\r\n",
    "nested parts": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" * 20_000,
    "addresses": b"To: " + b"a@b.example,\r\n " * 100_000 + b"\r\n",
    "a line without an end": b"Subject: " + b"x" * 10 * MEGABYTE + b"\r\n\r\n",
    "a header of ten megabytes": b"X-Header: value\r\n" * (10 * MEGABYTE // 17) + b"\r\nx\r\n",
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_message_is_stored_as_it_came(ward: Ward, name: str) -> None:
    send(ward, STRANGE[name], b"250 ")
    own, text = stored(ward)
    assert text == STRANGE[name]
    assert own[0] == b"Return-Path: <s@client.example>"
    assert own[1].startswith(b"Received: from client.example ([127.0.0.1])")


@pytest.mark.parametrize(
    "header",
    [b"Received: x\r\n" * 101, b"rEcEiVeD: x\r\n" * 101, b"Received: x\r\n\ty\r\n" * 101,
    b"Received: x\r\n" * 100_000],
    ids=["101", "any case", "folded", "100000"],
)  # fmt: skip
def test_too_many_hops_are_a_loop(ward: Ward, header: bytes) -> None:
    send(ward, header + b"\r\nx\r\n", b"554 5.4.6 ")
    ward.wait_until_alone()
    assert ward.files("a/new") == []


# names


@pytest.mark.parametrize(
    "name",
    [b"x) by evil (y", b"a;b", b"=?utf-8?q?x?=", b"a b", b"<x>", b"[127.0.0.1] x", b"[127.0.0.1", b"a\tb",
    b"a,b", b'"a"', b"a" * 256, b"a" * 2000, b"\xc3\xa9.example", b"a\x1b[2Jb", b"a\0b", b"a\rb", b"a\nb",
    b"", b"-", b"(x)", b"%s%n"],
)  # fmt: skip
@pytest.mark.parametrize("verb", [b"EHLO", b"HELO"])
def test_a_name_that_is_none_is_refused(ward: Ward, verb: bytes, name: bytes) -> None:
    peer = ward.greeted()
    peer.say(verb + b" " + name + b"\r\n", b"50")
    peer.say(b"MAIL FROM:<>\r\n", b"503 ")


INJECTIONS = [
    b'RCPT TO:<"a\\\nBcc: x"@example.org>', b'RCPT TO:<"a\nBcc: x"@example.org>',
    b'RCPT TO:<"a\rb"@example.org>', b"RCPT TO:<a@example.org> ORCPT=rfc822;a+0D+0ABcc:x",
    b"RCPT TO:<a@example.org> ORCPT=rfc822;a+0", b"RCPT TO:<a@example.org> NOTIFY=NEVER,FAILURE",
    b"RCPT TO:<a@example.org>\tX=Y", b"RCPT TO:<a@example.org\0>",
    b"MAIL FROM:<x@y.example> ENVID=a+0D+0Ab", b"MAIL FROM:<x@y.example> AUTH=<>",
    b'MAIL FROM:<"a\nb"@y.example>', b"MAIL FROM:<x@y.example>\x0bSIZE=1",
]  # fmt: skip


@pytest.mark.parametrize("line", INJECTIONS, ids=ascii)
def test_nothing_can_be_smuggled_into_an_envelope(ward: Ward, line: bytes) -> None:
    peer = ward.greeted()
    peer.say(b"EHLO client.example\r\n", b"250")
    if line.startswith(b"RCPT"):
        peer.say(b"MAIL FROM:<>\r\n", b"250 ")
    peer.say(line + b"\r\n", b"5")


def test_what_an_odd_envelope_holds_stays_one_value(ward: Ward) -> None:
    """Quotes, backslashes and braces in addresses neither end a header line nor a value of the record."""
    sender = b'"} , {\\"sender\\": \\\\ <b> \\" for <c>;"@client.example'
    recipient = b'"\\"},{\\\\"@backup.example'
    peer = ward.greeted()
    peer.say(b"EHLO client.example\r\n", b"250")
    peer.say(b"MAIL FROM:<" + sender + b">\r\n", b"250 ")
    peer.say(b"RCPT TO:<" + recipient + b">\r\n", b"250 ")
    peer.say(b"DATA\r\n", b"354 ")
    peer.say(TEXT + b".\r\n", b"250 ")
    (letter,) = ward.files(".OTHER_SERVERS/backup.example")
    _, first, second, trace = letter.read_bytes().split(b"\n", 3)
    assert json.loads(first)["sender"] == sender.decode()
    assert json.loads(second)["address"] == recipient.decode()
    assert trace.startswith(b"Received: from client.example ([127.0.0.1])\r\n\tby ")
    assert trace.endswith(TEXT)


# logs


TO_THE_LOG = [
    b"\x1b[2J\x1b]0;owned\x07", b"a\x00b", b"NOOP\rfake", b"NOOP\nfake", b"\xff\xfe\xfd", b"\x7f\x80\x9b2J",
    "x \u2028 \u202e \u0085 \u200b y".encode(), b"%s%n {} {0} ${x}", b'x" level=ERROR event="y', b"a\\",
    b"a\\x0a", b"x" * 9000, b"\x1b" * 9000, b"EHLO \x1b[31m", b"MAIL FROM:<\x1b@x.example>",
    b"HELP \x08\x08\x08", "MAIL FROM:<\u202e@x.example> SMTPUTF8".encode(), b"BDAT \x1b", b"VRFY \x1b",
    b"AUTH PLAIN AGEAc2VjcmV0", b"AGEAc2VjcmV0",
]  # fmt: skip


@pytest.fixture
def own_ward(tmp_path: Path) -> Iterator[Ward]:
    """With a log of its own."""
    made = Ward(tmp_path, None, "application.debug=true")
    yield made
    made.close()


def test_a_log_holds_printable_lines_whatever_was_said(own_ward: Ward) -> None:
    logged = b""
    for line in TO_THE_LOG:
        peer = own_ward.greeted()
        peer.say(b"EHLO client.example\r\n", b"250")
        peer.say(line + b"\r\n", b"")
        peer.close()
        own_ward.until(lambda: not own_ward.receiver._sessions)
        logged += own_ward.logged()
    lines = logged.decode("utf-8").split("\n")
    assert lines.pop() == ""
    assert [line for line in lines if not line.isprintable()] == []
    records = [parse_record(line.encode()) for line in lines]
    assert len([record for record in records if record.event == "rejected"]) == len(TO_THE_LOG)
    assert {record.level for record in records} == {"INFO", "DEBUG"}
    assert all(len(line.encode()) < 4096 for line in lines)
    assert b"c2VjcmV0" not in logged
