"""A mail drop in the hands of the loop: its messages on their way to the client, and its end.

Nothing is read in the loop. A helper thread opens a message, reads a piece and makes it ready to be sent;
while that piece is on its way, the next one is read. Small messages that are fetched one after the other are
read several at once, ever more of them as long as the client goes on in the same direction, so that most of
them are there when they are asked for. That is done while the client waits for the first of them: beside a
client that is being served, thread and loop would take the interpreter lock from each other at every system
call, which costs more than it saves.

What one client causes to be kept is its share of `limits.memory`, and only while something of it is under
way. This module must never know replies, sessions or sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeVar

from mta.protocol.pop3.surrogate import surrogate
from mta.protocol.pop3.text import WireText, whole_text
from mta.server.memory import Memory
from mta.store import Helpers, MailDrop, OpenMessage, Removal

T = TypeVar("T")

_LEAST_PIECE: Final = 16_384
"""Octets read at once when there is no share of the memory left."""
_MOST_AHEAD: Final = 128
"""Messages read ahead of the client."""


class Piece(NamedTuple):
    """Some of a message, as it is to be sent."""

    octets: bytes
    last: bool


Found = Piece | OSError
Arrived = Callable[[Found], None]
Action = Callable[[], None]


class OpenDrop:
    """A mail drop that is open for one session. All methods are called in the loop's thread, one message at a
    time."""

    __slots__ = (
        "_ahead", "_arrived", "_busy", "_drop", "_helpers", "_last", "_left", "_memory", "_next", "_ready",
        "_share", "_step", "_text", "_then", "_wanted",
    )  # fmt: skip

    def __init__(self, drop: MailDrop, helpers: Helpers, memory: Memory, arrived: Arrived) -> None:
        """`arrived` gets what `begin` and `go_on` could not return at once."""
        self._drop = drop
        self._helpers = helpers
        self._memory = memory
        self._arrived = arrived
        self._share = 0
        self._ready: dict[int, bytes] = {}
        """Whole messages that were read ahead, by position."""
        self._last = -2
        """The position asked for last, and the step that led to it."""
        self._step = 0
        self._ahead = 0
        self._text: Text | None = None
        """The message under way, if there is more of it to come."""
        self._next: bytes | OSError | None = None
        """Its next piece, once that has been read."""
        self._wanted = False
        """It is waited for."""
        self._busy = False
        """A thread is at the mail drop."""
        self._then: Action | None = None
        """What is to be done when it no longer is."""
        self._left = False

    def begin(self, position: int, lines: int | None, *, utf8: bool) -> Found | None:
        """A message is wanted; or its header, the empty line and so many lines of its body. `utf8`: the
        client takes a header in UTF-8, which is the same for all messages of a session."""
        if lines is None:
            self._follow(position)
            ready = self._ready.pop(position, None)
            if ready is not None:
                return self._delivered(ready)
        self._when_free(partial(self._open, Wish(position, lines, utf8)))
        return None

    def go_on(self) -> Found | None:
        """The next piece is wanted."""
        ready, self._next = self._next, None
        self._wanted = ready is None
        if isinstance(ready, OSError):
            self._text = None
            return ready
        return None if ready is None else self._delivered(ready)

    def update(self, positions: Sequence[int], done: Callable[[list[Removal]], None]) -> None:
        """Remove these messages and give the mail drop back; `done` hears which could not be removed."""
        self._left = True  # what was begun is done, whoever leaves meanwhile
        self._when_free(partial(self._update, positions, done))

    def leave(self) -> None:
        """The session is over: give the mail drop back, as soon as no thread is at it."""
        if not self._left:
            self._left = True
            self._when_free(self._close)

    # reading

    @property
    def _octets(self) -> int:
        """Of a piece. Large ones cost less: a quarter of a megabyte a third less than half of that."""
        return max(_LEAST_PIECE, self._share)

    def _follow(self, position: int) -> None:
        """Learn how the client goes through its messages."""
        step, self._last = position - self._last, position
        if step not in (1, -1):
            self._step = self._ahead = 0
        else:
            self._ahead = min(2 * self._ahead, _MOST_AHEAD) if step == self._step else 1
            self._step = step

    def _likely(self, wish: Wish) -> Sequence[int]:
        """Which messages the client will want after this one."""
        if wish.lines is not None or not self._step:
            return ()
        end = wish.position + self._step * (self._ahead + 1)
        return range(wish.position + self._step, max(-1, min(end, len(self._drop.sizes))), self._step)

    def _open(self, wish: Wish) -> None:
        self._ready.clear()
        self._share = self._share or self._memory.reserve() + self._memory.reserve()
        self._run(partial(_begin, self._drop, wish, self._likely(wish), self._octets), self._begun)

    def _begun(self, result: Begun | OSError) -> None:
        if isinstance(result, OSError):
            self._forget()
            self._arrived(result)
        else:
            self._text = result.text
            self._ready = result.ahead
            self._arrived(self._delivered(result.piece))

    def _delivered(self, octets: bytes) -> Piece:
        """What is handed out; what comes after it is read meanwhile."""
        if self._text is None or self._text.ended:
            self._text = None
            if not self._ready:
                self._forget()
            return Piece(octets, last=True)
        self._run(partial(self._text.piece, self._octets), self._read)
        return Piece(octets, last=False)

    def _read(self, result: bytes | OSError) -> None:
        self._next = result
        if self._wanted and (found := self.go_on()) is not None:
            self._arrived(found)

    # threads

    def _run(self, job: Callable[[], T], done: Callable[[T | OSError], None]) -> None:
        self._busy = True
        self._helpers.run(job, partial(self._ran, done))

    def _ran(self, done: Callable[[T | OSError], None], result: T | OSError) -> None:
        self._busy = False
        if not self._left:
            done(result)
        elif isinstance(result, Begun):
            self._text = result.text
        then, self._then = self._then, None
        if then is not None:
            self._when_free(then)

    def _when_free(self, action: Action) -> None:
        """Of several actions the last one counts: whoever leaves wants nothing else any more."""
        if self._busy:
            self._then = action
        else:
            action()

    def _update(self, positions: Sequence[int], done: Callable[[list[Removal]], None]) -> None:
        self._forget()
        self._helpers.run(partial(_update, self._drop, positions), _without_error(done))

    def _close(self) -> None:
        """In a thread: closing the last descriptor of a large file that was removed takes time."""
        self._forget()
        text, self._text = self._text, None
        self._helpers.run(partial(_close, self._drop, text), _without_error(lambda _: None))

    def _forget(self) -> None:
        self._ready = {}
        self._memory.release(self._share)
        self._share = 0


class Wish(NamedTuple):
    """What a client wants of which message."""

    position: int
    lines: int | None
    utf8: bool


class Text:
    """A message that is open and being read. Its methods block."""

    __slots__ = ("_message", "_offset", "_utf8", "_wire", "ended")

    def __init__(self, message: OpenMessage, wish: Wish) -> None:
        self._message = message
        self._utf8 = wish.utf8
        self._wire = WireText(wish.lines)
        self._offset = 0
        self.ended = False
        """It is complete, and closed."""

    def piece(self, octets: int) -> bytes:
        """The next to be sent, made of so many octets of the file at most. OSError: it is closed."""
        try:
            piece = self._message.read(self._offset, octets)
        except OSError:
            self.close()
            raise
        is_first = self._offset == 0
        self._offset += len(piece)
        ready = self._wire.feed(surrogate(piece) if is_first and not self._utf8 else piece)
        if self._wire.ended or not piece or self._offset >= self._message.octets:
            ready += self._wire.finish()
            self.close()
        return ready

    def close(self) -> None:
        if not self.ended:
            self.ended = True
            self._message.close()


class Begun(NamedTuple):
    """A message of which the first piece has been read, and messages that were read along."""

    text: Text
    piece: bytes
    ahead: dict[int, bytes]


def _begin(drop: MailDrop, wish: Wish, ahead: Sequence[int], octets: int) -> Begun:
    try:
        text = Text(drop.open(wish.position), wish)
        piece = text.piece(octets)
        return Begun(text, piece, dict(_read_ahead(drop, wish, ahead, octets)) if text.ended else {})
    finally:
        drop.rest()


def _read_ahead(
    drop: MailDrop, wish: Wish, positions: Sequence[int], octets: int
) -> Iterator[tuple[int, bytes]]:
    """Messages for which there is room; what cannot be read is left to whoever asks for it."""
    for position in positions:
        octets -= drop.sizes[position]
        if octets < 0:
            return
        try:
            text = drop.read(position, drop.sizes[position])
        except OSError:
            return
        if text is None:  # it has grown
            return
        yield position, whole_text(text if wish.utf8 else surrogate(text))


def _update(drop: MailDrop, positions: Sequence[int]) -> list[Removal]:
    try:
        return drop.remove(positions)
    finally:
        drop.close()


def _close(drop: MailDrop, text: Text | None) -> None:
    if text is not None:
        text.close()
    drop.close()


def _without_error(done: Callable[[T], None]) -> Callable[[T | OSError], None]:
    """For jobs whose errors are part of their results."""

    def settle(result: T | OSError) -> None:
        if isinstance(result, OSError):
            raise result
        done(result)

    return settle
