"""A mail exchanger on loopback that remembers what it took, from whom, over which connection, in which era.

It takes everything, unless a habit says otherwise. An era ends when the test says so, which it does when the
process on the other side has died: what the next process sends is of the next era. So it can be told which
repetition has an excuse: a message may be taken again when its final dot was not answered, or when the sender
died before it could write the answer down, and that can be so of one message of a connection only, the last.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from io import BufferedReader
from itertools import count, pairwise
from types import TracebackType
from typing import Self

USUAL = {
    "greeting": b"220 mx.sink.example\r\n",
    "EHLO": b"250-mx.sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    "MAIL": b"250 2.1.0 ok\r\n",
    "RCPT": b"250 2.1.5 ok\r\n",
    "DATA": b"354 go on\r\n",
    "END": b"250 2.0.0 taken\r\n",
    "QUIT": b"221 2.0.0 bye\r\n",
}


_numbers = count()
_NO_LINGERING = struct.pack("ii", 1, 0)


class Does(Enum):
    """What it does instead of saying something."""

    CLOSE = "closes the connection"
    RESET = "resets it"
    TAKE_AND_CLOSE = "takes the message and closes the connection without a word"


Saying = bytes | Does | None
Habit = Callable[[str, str], Saying]
"""From a stage (a key of USUAL) and the address, where there is one, to what it does; None: the usual."""


def no_habit(_stage: str, _address: str) -> None:
    return None


@dataclass
class Taken:
    """A message that was taken. Its text tells which one it is."""

    sender: str
    recipients: tuple[str, ...]
    text: bytes
    answered: bool
    number: int
    """They are numbered as they come, over all connections."""


@dataclass
class Connection:
    era: int
    taken: list[Taken] = field(default_factory=list)


@dataclass(frozen=True)
class Time:
    """One of the times that a recipient was given a message."""

    era: int
    answered: bool
    is_last: bool
    """Nothing was taken after it over the same connection."""

    def excuses(self, other: Time) -> bool:
        """Whether it may have happened again like this."""
        return not self.answered or (self.is_last and self.era < other.era)


class Sink:
    """A context: it listens while it is entered."""

    def __init__(self, habit: Habit = no_habit) -> None:
        self.habit = habit
        self.connections: list[Connection] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.port: int = self._listener.getsockname()[1]
        self.era = 0
        self._knocking: tuple[str, int] | None = None
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self._door = threading.Thread(target=self._open_door)

    def __enter__(self) -> Self:
        self._door.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._door.join()
        self._listener.close()
        for sock in list(self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def end_era(self) -> None:
        """Connections made from now on are of the next era. All that were made before are of this one, since
        they are taken from the queue in their order, and this knocks behind them."""
        with socket.socket() as knock:
            knock.bind(("127.0.0.1", 0))
            self._knocking = knock.getsockname()
            knock.connect(("127.0.0.1", self.port))
            assert knock.recv(1) == b"!"

    # what it took

    def messages(self) -> list[Taken]:
        """Everything."""
        return [taken for connection in self.connections for taken in connection.taken]

    def times(self, subject: bytes, recipient: str) -> list[Time]:
        """How often a recipient was given the message whose text has this, one after the other."""
        found = {
            taken.number: Time(connection.era, taken.answered, is_last=taken is connection.taken[-1])
            for connection in self.connections
            for taken in connection.taken
            if recipient in taken.recipients and subject in taken.text
        }
        return [found[number] for number in sorted(found)]

    # serving

    def _open_door(self) -> None:
        while True:
            try:
                sock, peer = self._listener.accept()
            except OSError:
                return
            if peer == self._knocking:
                self.era += 1
                sock.sendall(b"!")
                sock.close()
                continue
            connection = Connection(self.era)
            self.connections.append(connection)
            self._sockets.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock, connection))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, connection: Connection) -> None:
        with sock, suppress(ConnectionError):
            _Session(sock, connection, self.habit).run()
        self._sockets.discard(sock)


class _Gone(ConnectionError):
    """This side has ended the connection."""


class _Session:
    def __init__(self, sock: socket.socket, connection: Connection, habit: Habit) -> None:
        self._socket = sock
        self._lines: BufferedReader = sock.makefile("rb")
        self._connection = connection
        self._habit = habit
        self._sender = ""
        self._recipients: list[str] = []

    def run(self) -> None:
        with self._lines:
            self._say("greeting")
            for line in self._lines:
                self._obey(line)

    def _obey(self, line: bytes) -> None:
        verb = line[:4].decode("ascii").upper()
        if verb == "MAIL":
            self._sender, self._recipients = _address(line), []
            self._say(verb, self._sender)
        elif verb == "RCPT":
            if self._say(verb, _address(line)):
                self._recipients.append(_address(line))
        elif verb == "DATA":
            self._data()
        else:
            self._say(verb)
        if verb == "QUIT":
            raise _Gone

    def _data(self) -> None:
        if not self._recipients:
            self._socket.sendall(b"554 5.5.1 no recipients\r\n")
        elif self._say("DATA"):
            self._take(b"".join(self._text()))

    def _text(self) -> Iterator[bytes]:
        for line in self._lines:
            if line == b".\r\n":
                return
            yield line.removeprefix(b".")
        raise _Gone  # it broke off in the middle

    def _take(self, text: bytes) -> None:
        """Remember it before anybody can know that it was taken."""
        saying = self._habit("END", self._recipients[0])
        if saying in (None, Does.TAKE_AND_CLOSE):
            to, answered = tuple(self._recipients), saying is None
            self._connection.taken.append(Taken(self._sender, to, text, answered, next(_numbers)))
        self._do("END", saying)

    def _say(self, stage: str, address: str = "") -> bool:
        """Whether this was a yes."""
        return self._do(stage, self._habit(stage, address))

    def _do(self, stage: str, saying: Saying) -> bool:
        if isinstance(saying, Does):
            if saying is Does.RESET:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
            raise _Gone
        said = USUAL.get(stage, b"250 2.0.0 ok\r\n") if saying is None else saying
        self._socket.sendall(said)
        if said.startswith(b"421"):
            raise _Gone
        return said[:1] in b"23"


def _address(line: bytes) -> str:
    return line.partition(b"<")[2].partition(b">")[0].decode("ascii")


def unexcused(times: Sequence[Time]) -> bool:
    """Whether there is a repetition that none of the times before it excuses."""
    return any(not before.excuses(after) for before, after in pairwise(times))
