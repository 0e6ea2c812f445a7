"""The local socket: one JSON request and one JSON answer per line, between a command and the running
server.

Only root and the server's own user are heard; the kernel says who calls (SO_PEERCRED). An answer always
has "status", the exit status the command is to end with, and when that is not 0 a "text" for people. What
a request means is for the handler to know; this module carries it.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mta.daemon.errors import CONFIGURATION, NOT_PERMITTED, TEMPORARY, USAGE, CannotStart
from mta.daemon.privileges import User
from mta.loop import READ, WRITE, Loop

Message = dict[str, Any]
Reply = Callable[[Message], None]
Handler = Callable[[Message, Reply], None]
"""Called with a request; must call the reply once, now or later."""

_LONGEST_REQUEST = 1 << 20
_PIECE = 1 << 16
_PEER = struct.Struct("3i")  # struct ucred: process, user, group


class LocalServer:
    """Listens at `path`, mode 0600, for us, for root, and for the `user` if given."""

    def __init__(self, path: Path, loop: Loop, handler: Handler, user: User | None = None) -> None:
        self.path = path
        self._loop = loop
        self._handler = handler
        self._welcome = {0, os.geteuid(), *([user.uid] if user else [])}
        self._listener = _listen(path)
        if user is not None:
            os.chown(path, user.uid, user.gid, follow_symlinks=False)
        self._callers: set[_Caller] = set()
        loop.watch(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Take the socket file away and hang up."""
        self._loop.unwatch(self._listener.fileno())
        self._listener.close()
        self.path.unlink(missing_ok=True)
        for caller in list(self._callers):
            caller.close()

    def _accept(self, _events: int) -> None:
        try:
            line, _ = self._listener.accept()
        except BlockingIOError:
            return
        if _peer_user(line) in self._welcome:
            self._callers.add(_Caller(line, self._loop, self._handler, self._callers.discard))
            return
        line.setblocking(False)
        line.send(_line({"status": NOT_PERMITTED, "text": "only root and the server's user may ask"}))
        line.close()


class _Caller:
    """One command at the other end. Its requests are answered in order, one at a time."""

    def __init__(
        self, line: socket.socket, loop: Loop, handler: Handler, forget: Callable[[_Caller], None]
    ) -> None:
        self._line = line
        self._loop = loop
        self._handler = handler
        self._forget = forget
        self._received = bytearray()
        self._to_send = bytearray()
        self._waiting = False
        self._open = True
        line.setblocking(False)
        loop.watch(line.fileno(), self._ready)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.unwatch(self._line.fileno())
            self._line.close()
            self._forget(self)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if self._open and events & ~WRITE:
            self._receive()

    def _receive(self) -> None:
        try:
            octets = self._line.recv(_PIECE)
        except BlockingIOError:
            return
        except ConnectionError:
            octets = b""
        self._received += octets
        if not octets or len(self._received) > _LONGEST_REQUEST:
            self.close()
        else:
            self._serve()

    def _serve(self) -> None:
        while self._open and not self._waiting and b"\n" in self._received:
            text, _, self._received = self._received.partition(b"\n")
            self._waiting = True
            request = _parse(bytes(text))
            if request is None:
                self._reply({"status": USAGE, "text": "a request is one JSON object on a line"})
            else:
                self._handler(request, self._replied)

    def _replied(self, answer: Message) -> None:
        self._reply(answer)
        self._loop.post(self._serve)

    def _reply(self, answer: Message) -> None:
        self._waiting = False
        if self._open:
            self._to_send += _line(answer)
            self._flush()

    def _flush(self) -> None:
        try:
            del self._to_send[: self._line.send(self._to_send)]
        except BlockingIOError:
            pass  # the peer is slow: the loop says when it takes more
        except ConnectionError:
            self.close()
            return
        self._loop.watch(self._line.fileno(), self._ready, READ | WRITE if self._to_send else READ)


class NoServer(CannotStart):
    """Nobody listens at the local socket."""


def ask(path: Path, request: Message, patience: float = 30.0) -> Message:
    """The answer of the server at `path`, as a command gets it; waits at most `patience` seconds.

    Raises CannotStart with the exit status for it when nobody answers, may not be asked, or understands;
    NoServer when there is none."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(patience)
            line.connect(str(path))
            # Who is not welcome is told so at once, and hung up on.
            with suppress(BrokenPipeError):
                line.sendall(_line(request))
            answer = _parse(line.makefile("rb").readline())
    except TimeoutError:
        raise CannotStart(TEMPORARY, f"{path}: the server does not answer; look into its log") from None
    except PermissionError:
        raise CannotStart(NOT_PERMITTED, f"{path}: only root and the server's user may ask") from None
    except OSError as error:
        text = f"{path}: no server answers here ({os.strerror(error.errno or 0)}); start one with mta -f FILE"
        raise NoServer(TEMPORARY, text) from None
    if answer is None:
        raise CannotStart(TEMPORARY, f"{path}: the server hung up; try again")
    if answer["status"] in (NOT_PERMITTED, USAGE):
        raise CannotStart(answer["status"], f"{path}: {answer['text']}")
    return answer


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        _bind_private(listener, path)
        listener.listen(16)
    except OSError as error:
        listener.close()
        status = CONFIGURATION if error.errno in (None, errno.ENAMETOOLONG) else TEMPORARY
        raise CannotStart(status, f"application.socket: {path}: {error.strerror or error}") from error
    return listener


def _bind_private(listener: socket.socket, path: Path) -> None:
    """Bind at `path`, replacing what a dead server left; never readable for others, not even for a moment."""
    if _is_stale(path):
        path.unlink()
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)


def _is_stale(path: Path) -> bool:
    """Whether a socket lies there that nobody listens at."""
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False


def _peer_user(line: socket.socket) -> int:
    _, uid, _ = _PEER.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(uid)


def _line(message: Message) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _parse(text: bytes) -> Message | None:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
