"""The channel: whole messages, in order, with their descriptors, however the octets arrive."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from mta.channel import MOST_OCTETS, Channel, ChannelError
from mta.loop import Loop


@dataclass
class End:
    """One end of a channel, and what it has heard."""

    sock: socket.socket
    loop: Loop
    messages: list[dict[str, Any]] = field(default_factory=list)
    fds: list[list[int]] = field(default_factory=list)
    ended: int = 0

    def __post_init__(self) -> None:
        self.channel = Channel(self.sock, self.loop, self._message, self._end)

    def _message(self, message: dict[str, Any], fds: list[int]) -> None:
        self.messages.append(message)
        self.fds.append(fds)

    def _end(self) -> None:
        self.ended += 1

    def close(self) -> None:
        self.channel.close()
        for fds in self.fds:
            for fd in fds:
                os.close(fd)


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def pair(loop: Loop) -> Iterator[tuple[End, End]]:
    left, right = (End(sock, loop) for sock in socket.socketpair())
    yield left, right
    left.close()
    right.close()


@pytest.fixture
def raw(loop: Loop) -> Iterator[tuple[socket.socket, End]]:
    """A bare socket that can send anything, and a channel at the other end."""
    sock, other = socket.socketpair()
    end = End(other, loop)
    with sock:
        yield sock, end
    end.close()


def frame(text: bytes, fds: int = 0) -> bytes:
    """A header of two numbers of 32 bits, the length and how many descriptors; then the text."""
    return struct.pack("!II", len(text), fds) + text


def turn_until(loop: Loop, done: Callable[[], object]) -> None:
    """Take turns until it is so; what never comes hangs no test, since nothing ready means nothing coming."""
    for _ in range(20_000):
        if done():
            return
        loop.turn()
    raise AssertionError("it did not come to this")


# messages


def test_messages_arrive_both_ways_and_in_order(loop: Loop, pair: tuple[End, End]) -> None:
    left, right = pair
    left.channel.send({"n": 1})
    left.channel.send({"n": 2, "text": "ü\n\x00"})
    right.channel.send({"back": [True, None, 1.5]})
    loop.turn()
    assert right.messages == [{"n": 1}, {"n": 2, "text": "ü\n\x00"}]
    assert left.messages == [{"back": [True, None, 1.5]}]


def test_a_frame_in_single_octets_is_one_message(loop: Loop, raw: tuple[socket.socket, End]) -> None:
    sock, end = raw
    for octet in frame(b'{"a":1}') + frame(b"{}"):
        sock.send(bytes([octet]))
        loop.turn()
    assert end.messages == [{"a": 1}, {}]


def test_many_frames_in_one_piece_are_many_messages(loop: Loop, raw: tuple[socket.socket, End]) -> None:
    sock, end = raw
    sock.send(b"".join(frame(b'{"n":%d}' % n) for n in range(100)))
    loop.turn()
    assert end.messages == [{"n": n} for n in range(100)]


def test_a_slow_peer_gets_everything_later_and_in_order(loop: Loop, pair: tuple[End, End]) -> None:
    left, right = pair
    sent = [{"n": n, "text": "x" * 50_000} for n in range(40)]
    for message in sent:
        left.channel.send(message)
    turn_until(loop, lambda: len(right.messages) == len(sent))
    assert right.messages == sent


def test_the_longest_message_passes_and_a_longer_one_is_refused(loop: Loop, pair: tuple[End, End]) -> None:
    left, right = pair
    longest = {"t": "x" * (MOST_OCTETS - len('{"t":""}'))}
    left.channel.send(longest)
    turn_until(loop, lambda: right.messages)
    assert right.messages == [longest]
    with pytest.raises(ChannelError, match="longer"):
        left.channel.send({"t": longest["t"] + "x"})


# descriptors


def test_descriptors_arrive_open_with_their_message(loop: Loop, pair: tuple[End, End]) -> None:
    left, right = pair
    reading, writing = os.pipe()
    left.channel.send({"n": 1})
    left.channel.send({"n": 2}, [reading, writing])
    left.channel.send({"n": 3})
    os.close(reading)
    os.close(writing)
    turn_until(loop, lambda: len(right.messages) == 3)
    assert [len(fds) for fds in right.fds] == [0, 2, 0]
    os.write(right.fds[1][1], b"through")
    assert os.read(right.fds[1][0], 10) == b"through"


def test_received_descriptors_are_not_for_our_children(loop: Loop, pair: tuple[End, End]) -> None:
    left, right = pair
    left.channel.send({}, [0])
    turn_until(loop, lambda: right.messages)
    assert fcntl.fcntl(right.fds[0][0], fcntl.F_GETFD) & fcntl.FD_CLOEXEC


@pytest.mark.parametrize("number", [249, 250, 251, 253, 254, 501])
def test_more_descriptors_than_one_call_takes(loop: Loop, pair: tuple[End, End], number: int) -> None:
    left, right = pair
    files = [os.memfd_create(f"n{n}") for n in range(7)]
    for n, fd in enumerate(files):
        os.write(fd, b"%d" % n)
    left.channel.send({}, [files[n % 7] for n in range(number)])
    left.channel.send({"n": 2}, files[:1])
    for fd in files:
        os.close(fd)
    turn_until(loop, lambda: len(right.messages) == 2)
    assert [os.pread(fd, 10, 0) for fd in right.fds[0]] == [b"%d" % (n % 7) for n in range(number)]
    assert len(right.fds[1]) == 1


def test_descriptors_wait_with_their_message_for_a_slow_peer(loop: Loop, pair: tuple[End, End]) -> None:
    left, right = pair
    reading, writing = os.pipe()
    left.channel.send({"t": "x" * 2_000_000})
    left.channel.send({"with": "fd"}, [writing])
    os.close(writing)
    turn_until(loop, lambda: len(right.messages) == 2)
    os.write(right.fds[1][0], b"x")
    assert os.read(reading, 10) == b"x"
    os.close(reading)


def test_unsent_descriptors_are_closed_with_the_channel(loop: Loop, pair: tuple[End, End]) -> None:
    left, _ = pair
    reading, writing = os.pipe()
    left.channel.send({"t": "x" * 2_000_000})
    left.channel.send({}, [writing])
    os.close(writing)
    left.channel.close()
    assert os.read(reading, 1) == b""  # nobody can write any more
    os.close(reading)


# the end


def test_the_end_of_the_peer_is_told_once_after_its_last_message(loop: Loop, pair: tuple[End, End]) -> None:
    left, right = pair
    left.channel.send({"last": "words"})
    left.channel.close()
    for _ in range(3):
        loop.turn()
    assert (right.messages, right.ended, right.channel.broken) == ([{"last": "words"}], 1, None)


def test_the_peer_that_left_our_messages_unread_has_still_been_heard(
    loop: Loop, raw: tuple[socket.socket, End]
) -> None:
    sock, end = raw
    end.channel.send({"unread": 1})
    sock.send(frame(b'{"last":"words"}'))
    sock.close()
    end.channel.send({"to": "nobody"})
    assert end.ended == 0  # never from within send
    for _ in range(3):
        loop.turn()
    assert (end.messages, end.ended) == ([{"last": "words"}], 1)


def test_our_own_close_is_silent_and_sending_after_it_does_nothing(loop: Loop, pair: tuple[End, End]) -> None:
    left, _ = pair
    left.channel.close()
    left.channel.close()
    left.channel.send({}, [0])
    loop.turn()
    assert left.ended == 0


def test_closing_from_within_a_message_drops_the_rest(loop: Loop) -> None:
    heard: list[dict[str, Any]] = []
    sock, other = socket.socketpair()

    def close_at_once(message: dict[str, Any], _fds: list[int]) -> None:
        heard.append(message)
        channel.close()

    channel = Channel(other, loop, close_at_once, lambda: heard.append({"ended": True}))
    sock.send(frame(b'{"n":1}') + frame(b'{"n":2}'))
    loop.turn()
    loop.turn()
    sock.close()
    assert heard == [{"n": 1}]


# nonsense


@pytest.mark.parametrize(
    "octets",
    [
        frame(b"[]"),
        frame(b'"text"'),
        frame(b""),
        frame(b"{"),
        frame(b"\xff\xfe"),
        frame(b"[" * 100_000),
        frame(b"{}", fds=1),
        struct.pack("!II", MOST_OCTETS + 1, 0),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["list", "text", "empty", "half", "no UTF-8", "deep", "no descriptor", "too long", "HTTP"],
)
def test_what_is_no_frame_ends_the_channel(loop: Loop, raw: tuple[socket.socket, End], octets: bytes) -> None:
    sock, end = raw
    sock.send(frame(b'{"good":1}') + octets)
    for _ in range(10):
        loop.turn()
    assert (end.messages, end.ended) == ([{"good": 1}], 1)
    assert isinstance(end.channel.broken, ChannelError)


def test_descriptors_that_find_no_room_end_the_channel(loop: Loop, raw: tuple[socket.socket, End]) -> None:
    """The kernel throws away what exceeds the limit of open files, and only says so in a flag."""
    sock, end = raw
    socket.send_fds(sock, [frame(b"{}", fds=1)], [0])
    _, hard = before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        loop.turn()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert (end.messages, end.ended) == ([], 1)
    assert isinstance(end.channel.broken, ChannelError)
