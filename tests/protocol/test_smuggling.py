"""Only CRLF.CRLF ends a message, and no octet of a message is ever a command.

Each vector stands between an honest beginning and a smuggled transaction. Whatever the session makes of
it, the smuggled sender must not appear, the text must end where CRLF.CRLF stands, and the session must go
on in step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from mta.protocol.events import Discarded, Sender
from tests.protocol.host import TERMS, Host, chunked, codes

OPENING = b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@example.org>\r\nDATA\r\n"
HONEST = b"Subject: one\r\n\r\nfirst"
SMUGGLED = (
    b"MAIL FROM:<evil@ext.example>\r\nRCPT TO:<user@example.org>\r\nDATA\r\n"
    b"Subject: smuggled\r\n\r\nsecond\r\n.\r\n"
)

REFUSED = {
    "S01": b"\n.\n",
    "S02": b"\n.\r\n",
    "S03": b"\r\n.\n",
    "S04": b"\r.\r",
    "S05": b"\r.\r\n",
    "S06": b"\r\n.\r",
    "S07": b"\n.\r",
    "S08": b"\r.\n",
    "S09": b"\r\n.\r\r\n",
    "S10": b"\r\r\n.\r\r\n",
    "S13-a": b"\n\n.\r\n",
    "S13-b": b"\r\r.\r\r",
    "S13-c": b"\n\r.\n\r",
    "S13-d": b"\r\n\n.\r\n",
    "S13-e": b"\r\n.\n\r\n",
}
"""A CR or LF stands alone: one 5xx after the true end, nothing stored."""

KEPT = {
    "S11": b"\r\n\x00.\r\n",
    "S12": b"\r\n.\x00\r\n",
    "S14-blank": b"\r\n. \r\n",
    "S14-tab": b"\r\n.\t\r\n",
    "S14-vt": b"\r\n.\x0b\r\n",
    "S14-ff": b"\r\n.\x0c\r\n",
    **{
        f"S15-{end.hex()}": end + b"." + end for end in (b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x85")
    },
    **{
        f"S15-{char.encode().hex()}": char.encode() + b"." + char.encode()
        for char in ("\x85", "\u2028", "\u2029")
    },
}
"""Every line end is a pair, so the text is correct: it is one message, with the smuggled part as its text."""

ENDS = (b"\n", b"\r", b"\r\n", b"\n\r", b"\r\r\n")
PERMUTED = [
    before + b"." + after
    for before, after in product(ENDS, ENDS)
    if b"\r\n.\r\n" not in before + b"." + after
]
SIZES = [
    n + d
    for n in (510, 512, 998, 1000, 1022, 1024, 2048, 4096, 8192, 16384, 65535, 65536)
    for d in range(-2, 3)
]


def portions(octets: bytes) -> Iterator[list[bytes]]:
    """Whole, octet by octet, and cut in odd places."""
    yield [octets]
    yield [octets[i : i + 1] for i in range(len(octets))]
    yield chunked(octets, range(0, len(octets), 7))


def hosts(**changes: object) -> Iterator[Host]:
    """One that keeps the text to its end, one that hands it out as it comes."""
    for hold in (None, 0):
        yield Host(replace(TERMS, **changes), hold=hold)  # type: ignore[arg-type]


def senders(host: Host) -> list[str]:
    return [str(event.path) for event in host.events if isinstance(event, Sender)]


def deliver(host: Host, text: list[bytes]) -> bytes:
    assert codes(host.say(OPENING))[-1] == 354
    return host.say(*text)


@pytest.mark.parametrize("vector", [*REFUSED.values(), *PERMUTED], ids=[*REFUSED, *map(repr, PERMUTED)])
@pytest.mark.parametrize("trusted", [False, True], ids=["stranger", "S18-trusted"])
def test_bare_line_end_is_refused_after_the_true_end(vector: bytes, trusted: bool) -> None:
    for text in portions(HONEST + vector + SMUGGLED):
        for host in hosts(trusted=trusted):
            assert codes(deliver(host, text)) == [554]
            assert senders(host) == ["a@b.example"]
            assert isinstance(host.events[-1], Discarded)
            assert not host.accepted
            assert host.say(b"QUIT\r\n").startswith(b"221 ")


@pytest.mark.parametrize("vector", KEPT.values(), ids=KEPT)
def test_what_only_looks_like_an_end_is_text(vector: bytes) -> None:
    for text in portions(HONEST + vector + SMUGGLED):
        for host in hosts():
            assert codes(deliver(host, text)) == [250]
            assert senders(host) == ["a@b.example"]
            (message,) = host.accepted
            wire = b"".join(text).removesuffix(b".\r\n")
            assert message.crlf == wire.replace(b"\r\n.", b"\r\n")
            assert host.say(b"QUIT\r\n").startswith(b"221 ")


@pytest.mark.parametrize("size", SIZES)
def test_s16_dot_behind_a_long_line_ends_nothing(size: int) -> None:
    text = b"A" * size + b".\r\n"
    for parts in ([text], chunked(text, (size, size + 1, size + 2)), chunked(text, range(0, size, 512))):
        for host in hosts():
            assert deliver(host, parts) == b""
            assert codes(host.say(b".\r\n")) == [250]
            assert host.accepted[0].crlf == text


def test_s17_dot_in_a_message_too_big_is_no_end() -> None:
    for text in portions(b"x" * 101 + b"\r\n.\nHELP\r\nHELP\r\n.\r\n"):
        for host in hosts(message_limit=100):
            assert codes(deliver(host, text)) == [552]
            assert host.say(b"QUIT\r\n").startswith(b"221 ")


@pytest.mark.parametrize("cut", range(6))
def test_the_legal_end_may_come_in_any_portions(cut: int) -> None:
    end = b"\r\n.\r\n"
    for host in hosts():
        assert codes(deliver(host, [b"text", end[:cut], end[cut:]])) == [250]
        assert host.accepted[0].crlf == b"text\r\n"


def test_a_dot_right_behind_354_is_an_empty_message() -> None:
    for text in portions(b".\r\n"):
        for host in hosts():
            assert codes(deliver(host, text)) == [250]
            assert host.accepted[0].crlf == host.accepted[0].lf == b""


def test_cr_before_the_legal_end_ends_and_is_refused() -> None:
    for text in portions(b"text\r\r\n.\r\nNOOP\r\n"):
        for host in hosts():
            assert codes(deliver(host, text)) == [554, 250]


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (b"\r\n..\r\n", b"\r\n.\r\n"),
        (b"\r\n.a\r\n", b"\r\na\r\n"),
        (b"\r\n .\r\n", b"\r\n .\r\n"),
        (b"...\r\n", b"..\r\n"),
    ],
)
def test_stuffed_dots_are_taken_out_and_end_nothing(wire: bytes, text: bytes) -> None:
    for parts in portions(wire + b".\r\n"):
        for host in hosts():
            assert codes(deliver(host, parts)) == [250]
            assert host.accepted[0].crlf == text
