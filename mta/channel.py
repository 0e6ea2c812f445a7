"""A channel: JSON objects, with open descriptors, between two processes that belong together.

Under it lies a unix stream socket. A frame is eight octets, the length of its text and the number of its
descriptors, and then the text, a JSON object in UTF-8. Descriptors travel beside the octets (SCM_RIGHTS),
tied to the first octets of their frame, at most 250 in one call; the kernel may hand them over together with
the end of the frame before, which is why a frame says how many are its own.

Neither side ever waits for the other: what a slow peer does not take is kept, in order. A peer that sends
nonsense is treated like one that has gone. The channel must never know what its messages mean.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from mta.loop import READ, WRITE, Loop

MOST_OCTETS = 16 * 1024 * 1024
"""The longest text of a frame; a longer one is an error on either side."""

_HEADER = struct.Struct("!II")
_FDS_IN_ONE_CALL = 250
_ANCILLARY = socket.CMSG_SPACE(253 * array("i").itemsize)
"""Room for SCM_MAX_FD descriptors, the most that one sendmsg(2) can have carried."""
_PIECE = 1 << 16

Message = dict[str, Any]


class ChannelError(Exception):
    """A message too long to be sent, or something received that is no frame."""


class Channel:
    """One end. For each frame `on_message(message, fds)` is called; the descriptors are the callee's then.

    `on_end()` is called once, when the peer has gone or has sent something that is no frame (`broken` tells
    which); never from within `send`, and not after `close`."""

    def __init__(
        self,
        sock: socket.socket,
        loop: Loop,
        on_message: Callable[[Message, list[int]], None],
        on_end: Callable[[], None],
    ) -> None:
        self.broken: ChannelError | None = None
        self._sock = sock
        self._loop = loop
        self._on_message = on_message
        self._on_end = on_end
        self._received = bytearray()
        self._received_fds: deque[int] = deque()
        self._outgoing: deque[tuple[memoryview, list[int]]] = deque()
        self._open = True
        sock.setblocking(False)
        loop.watch(sock.fileno(), self._ready)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message, now or as soon as the peer takes it. The caller may close its `fds` at once.

        When the peer has gone this does nothing: `on_end` tells. Raises ChannelError for one too long."""
        text = json.dumps(message, separators=(",", ":")).encode()
        if len(text) > MOST_OCTETS:
            raise ChannelError(f"a message of {len(text)} octets is longer than {MOST_OCTETS}")
        if self._open:
            self._outgoing.extend(_pieces(text, fds))
            self._flush()

    def close(self) -> None:
        """Give up this end: what the peer has not taken yet is lost. Closing again is no error."""
        if not self._open:
            return
        self._open = False
        self._loop.unwatch(self._sock.fileno())
        self._sock.close()
        self._forget_output()
        _close_all(self._received_fds)

    # out

    def _flush(self) -> None:
        while self._outgoing:
            octets, fds = self._outgoing[0]
            try:
                sent = socket.send_fds(self._sock, [octets], fds) if fds else self._sock.send(octets)
            except BlockingIOError:
                break
            except OSError:
                # Gone. What it said before that is still to be read, and then the end is seen there.
                self._forget_output()
                break
            _close_all(fds)
            self._outgoing[0] = (octets[sent:], [])
            if sent == len(octets):
                self._outgoing.popleft()
        self._loop.watch(self._sock.fileno(), self._ready, READ | WRITE if self._outgoing else READ)

    def _forget_output(self) -> None:
        for _, fds in self._outgoing:
            _close_all(fds)
        self._outgoing.clear()

    # in

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~WRITE:
            self._receive()

    def _receive(self) -> None:
        try:
            alive = self._take()
            self._dispatch()
        except ChannelError as error:
            self.broken = error
            alive = False
        if not alive and self._open:
            self.close()
            self._on_end()

    def _take(self) -> bool:
        """Move what the kernel holds into our buffers; False when the peer has gone."""
        try:
            octets, ancillary, _, _ = self._sock.recvmsg(_PIECE, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._received_fds.extend(_descriptors(data))
        self._received += octets
        return bool(octets)

    def _dispatch(self) -> None:
        while self._open and len(self._received) >= _HEADER.size:
            length, count = _HEADER.unpack_from(self._received)
            if length > MOST_OCTETS:
                raise ChannelError(f"a frame of {length} octets is longer than {MOST_OCTETS}")
            end = _HEADER.size + length
            if len(self._received) < end:
                return
            message = _parse(bytes(self._received[_HEADER.size : end]))
            # They came with the first octets, but for those that the kernel threw away (MSG_CTRUNC).
            if count > len(self._received_fds):
                raise ChannelError(f"descriptors were lost, {count} were sent: too many open files?")
            del self._received[:end]
            self._on_message(message, [self._received_fds.popleft() for _ in range(count)])


def _pieces(text: bytes, fds: Sequence[int]) -> list[tuple[memoryview, list[int]]]:
    """A frame as (octets, descriptors) for one call each: descriptors need at least one octet to ride on."""
    groups = [fds[start : start + _FDS_IN_ONE_CALL] for start in range(0, len(fds), _FDS_IN_ONE_CALL)]
    text = text.ljust(len(groups))  # blanks behind an object mean nothing in JSON
    frame = memoryview(_HEADER.pack(len(text), len(fds)) + text)
    riding = [(frame[at : at + 1], [os.dup(fd) for fd in group]) for at, group in enumerate(groups)]
    return [*riding, (frame[len(groups) :], [])]


def _parse(text: bytes) -> Message:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ChannelError(f"a frame that is no JSON: {error}") from error
    if not isinstance(message, dict):
        raise ChannelError("a frame that is no JSON object")
    return message


def _descriptors(data: bytes) -> array[int]:
    fds = array("i")
    fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return fds


def _close_all(fds: deque[int] | list[int]) -> None:
    while fds:
        os.close(fds.pop())
