"""Peers that break off, stall, pour or talk nonsense, at every stage of a session.

One receiver meets them all, one after another. After each it is as it was before: no descriptor, no share of
the memory, no place and no file is left of the peer; a message is stored if and only if its end had been
sent; whatever was replied was a reply; and the next client is served.
"""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from mta.server.tls import server_context
from tests.server.ward import LARGE, TEXT, Peer, Ward

GARBAGE = random.Random(5321).randbytes(65536)
FLOOD = b"NOOP\r\n" * 20_000
reply_line = re.compile(rb"[2-5][0-9]{2}[ -][ -~]+").fullmatch


class Stage(NamedTuple):
    """How far a session has come."""

    name: str
    dialogue: list[tuple[bytes, bytes]]
    """What is said, and the reply waited for."""
    last: bytes
    """What is said last, without waiting."""
    messages: int = 0
    """How many have been sent whole."""


BANNER = (b"", b"220 ")
HELO = (b"EHLO client.example\r\n", b"250")
MAIL = (b"MAIL FROM:<s@client.example>\r\n", b"250 ")
RCPT = (b"RCPT TO:<user@example.org>\r\n", b"250 ")
DATA = (b"DATA\r\n", b"354 ")

STAGES = [
    Stage("connect", [], b""),
    Stage("banner", [BANNER], b""),
    Stage("HELO", [BANNER], HELO[0]),
    Stage("MAIL", [BANNER, HELO], MAIL[0]),
    Stage("RCPT", [BANNER, HELO, MAIL], RCPT[0]),
    Stage("354", [BANNER, HELO, MAIL, RCPT], DATA[0]),
    Stage("mid-DATA", [BANNER, HELO, MAIL, RCPT, DATA], TEXT),
    Stage("mid-large-DATA", [BANNER, HELO, MAIL, RCPT, DATA], LARGE),
    Stage("after-dot", [BANNER, HELO, MAIL, RCPT, DATA], TEXT + b".\r\n", messages=1),
    Stage("after-large-dot", [BANNER, HELO, MAIL, RCPT, DATA], LARGE + b".\r\n", messages=1),
    Stage("RSET", [BANNER, HELO, MAIL, RCPT], b"RSET\r\n"),
    Stage("mid-BDAT", [BANNER, HELO, MAIL, RCPT], b"BDAT 200000\r\n" + LARGE[:150_000]),
    Stage("after-BDAT", [BANNER, HELO, MAIL, RCPT], b"BDAT 21 LAST\r\n" + TEXT, messages=1),
    Stage("STARTTLS", [BANNER, HELO, (b"STARTTLS\r\n", b"220 ")], b""),
    Stage("QUIT", [BANNER, HELO], b"QUIT\r\n"),
]


def close(ward: Ward, peer: Peer, last: bytes) -> None:
    peer.close()


def reset(ward: Ward, peer: Peer, last: bytes) -> None:
    peer.reset()


def half_close(ward: Ward, peer: Peer, last: bytes) -> None:
    """Ends by itself, without the help of any timeout."""
    peer.sock.shutdown(socket.SHUT_WR)
    ward.until(lambda: not ward.receiver._sessions)


def stall(ward: Ward, peer: Peer, last: bytes) -> None:
    pass


def drip(ward: Ward, peer: Peer, last: bytes) -> None:
    peer.drip(b"NOOP x" * 8, seconds=10)


def garbage(ward: Ward, peer: Peer, last: bytes) -> None:
    peer.pour(GARBAGE)


def flood(ward: Ward, peer: Peer, last: bytes) -> None:
    peer.pour(FLOOD)


def never_read(ward: Ward, peer: Peer, last: bytes) -> None:
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    peer.pour(b"HELP\r\n" * 20_000)


def duplicate(ward: Ward, peer: Peer, last: bytes) -> None:
    peer.pour(last)


Fault = Callable[[Ward, Peer, bytes], None]
FAULTS: list[Fault] = [close, reset, half_close, stall, drip, garbage, flood, never_read, duplicate]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory, pair: tuple[bytes, bytes]) -> Iterator[Ward]:
    made = Ward(tmp_path_factory.mktemp("ward"), server_context(*pair))
    yield made
    made.close()


@pytest.fixture(scope="module")
def base_line(ward: Ward) -> tuple[int, int]:
    """Descriptors in use when nobody is there and whatever is opened once is open."""
    for text in (TEXT, LARGE):
        assert ward.greeted().deliver(text, b"user@example.org").startswith(b"250 ")
    assert ward.greeted().deliver(TEXT, b"control@example.org").startswith(b"250 ")
    ward.wait_until_alone()
    return ward.descriptors()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_nothing_is_left_of_a_hostile_peer(
    ward: Ward, base_line: tuple[int, int], stage: Stage, fault: Fault
) -> None:
    before = len(ward.files("user/new"))
    peer = ward.peer()
    for line, reply in stage.dialogue:
        peer.say(line, reply)
    peer.send(stage.last)
    fault(ward, peer, stage.last)
    replies = peer.end_of_talk()
    if fault is not reset:
        ward.until(lambda: len(ward.files("user/new")) - before >= stage.messages)
    ward.wait_until_alone()

    messages = len(ward.files("user/new")) - before
    assert messages == stage.messages or (fault is reset and not messages)
    assert all(map(reply_line, replies[:-1]))
    assert sum(b"queued as" in reply for reply in replies[:-1]) <= messages
    assert ward.receiver._admission.current == 0
    ward.until(lambda: not ward.receiver._memory.reserved)
    ward.until(lambda: all(map(int.__le__, ward.descriptors(), base_line)))
    assert ward.greeted().deliver(TEXT, b"control@example.org").startswith(b"250 ")
    ward.wait_until_alone()
