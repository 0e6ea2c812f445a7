"""Letters from the disk, ready to be sent: opened in helper threads, several by one job.

Helper threads fight the loop for the interpreter, so there are few jobs and long ones. A small message is
read whole along with its envelope; a larger one stays open and is read piece by piece while it is sent.

Between letter and session stands `transform`, through which every text goes. Today it changes nothing; a
signature will be made there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from mta.protocol.client_events import Forward, Mail
from mta.relay.letters import Letter
from mta.store import BrokenLetter, Entry, Helpers, OpenLetter, Queue, Recipient

SMALL: Final = 64 << 10
"""Octets of the largest message that is read whole."""
PIECE: Final = 256 << 10
"""Octets of a larger one that are read at once."""
_ROOM: Final = 48 << 20
"""Octets of whole messages held at once."""


class Room:
    """How much is held in memory by all parcels. For the loop's thread."""

    def __init__(self, octets: int = _ROOM) -> None:
        self.left = octets

    def reserve(self) -> int:
        """Octets of the largest message that may be read whole now; 0 for none."""
        octets = SMALL if self.left >= SMALL else 0
        self.left -= octets
        return octets

    def give_back(self, octets: int) -> None:
        """So much is not held any more, or never was."""
        self.left += octets


class Parcel:
    """A letter that is open, and those of its recipients for whom it is to be sent."""

    __slots__ = ("_letter", "_room", "_text", "id", "offset", "recipients")

    def __init__(self, letter: OpenLetter, text: bytes | None) -> None:
        """`text`: all of it; None: it is read from the open letter."""
        self._letter = letter
        self._text = text
        self._room: Room | None = None
        self.id = letter.entry.id
        self.recipients = letter.waiting
        self.offset = 0
        """Octets of its text handed out so far."""

    @property
    def letter(self) -> OpenLetter:
        return self._letter

    @property
    def reroute(self) -> str:
        """Where the operator wants it to go, as in `relay.routes`; empty: where others go."""
        return self._letter.status.reroute

    def mail(self) -> Mail:
        """What a session must know of it."""
        envelope, client = self._letter.envelope, self._letter.envelope.client
        declared = client.get("body") == "8BITMIME"
        return Mail(
            sender=envelope.sender,
            recipients=tuple(map(_forward, self.recipients)),
            size=self._letter.length,
            eightbit=declared and not (self._text is not None and self._text.isascii()),
            smtputf8=bool(client.get("smtputf8")) and not self._has_ascii_header(),
            ret="FULL" if envelope.ret == "FULL" else "HDRS" if envelope.ret else "",
            envid=envelope.envid,
        )

    def rewind(self) -> None:
        """It is going to be sent again, from its first octet."""
        self.offset = 0

    def piece(self, helpers: Helpers, done: Callable[[bytes | OSError, bool], None]) -> None:
        """The next piece of its text and whether it is the last: at once when it is in memory."""
        if self._text is not None:
            done(transform(self._text), True)
            return
        offset, octets = self.offset, min(PIECE, self._letter.length - self.offset)
        self.offset += octets
        last = self.offset >= self._letter.length
        read = partial(self._letter.read, offset, octets)
        helpers.run(read, lambda result: done(_whole(result, octets), last))

    def settle(self, room: Room, reserved: int) -> None:
        """Of what was reserved for it, keep what it needs until it is closed."""
        self._room = room
        room.give_back(reserved - self._held)

    def close(self) -> None:
        """Give its descriptor and its room back. Closing again does nothing."""
        self._letter.close()
        room, self._room = self._room, None
        if room is not None:
            room.give_back(self._held)
            self._text = None

    @property
    def _held(self) -> int:
        return len(self._text or b"")

    def _has_ascii_header(self) -> bool:
        """So far as it is known: a transaction with SMTPUTF8 goes to fewer hosts."""
        return self._text is not None and self._text.partition(b"\r\n\r\n")[0].isascii()


def transform(text: bytes) -> bytes:
    """The text as it is to be sent."""
    return text


Loaded: TypeAlias = Parcel | BrokenLetter | OSError
"""FileNotFoundError: the letter is gone."""


def entry_of(domain: str, letter: Letter) -> Entry:
    """The letter as the store knows it."""
    return Entry(domain, letter.id, letter.due if letter.attempts else None, letter.attempts)


def load(queue: Queue, wanted: Sequence[tuple[Entry, int]]) -> list[Loaded]:
    """Open these letters, and read whole those of at most so many octets. Blocks."""
    opened = queue.open([entry for entry, _ in wanted])
    return [
        _parcel(each, whole=each.length <= most) if isinstance(each, OpenLetter) else each
        for each, (_, most) in zip(opened, wanted, strict=True)
    ]


def _parcel(letter: OpenLetter, *, whole: bool) -> Loaded:
    if not whole:
        return Parcel(letter, None)
    with letter:
        try:
            text = _whole(letter.read(0, letter.length), letter.length)
        except OSError as error:
            return error
    return text if isinstance(text, OSError) else Parcel(letter, text)


def _whole(result: bytes | OSError, octets: int) -> bytes | OSError:
    """A letter that became shorter while it was open is not sent as if it were whole."""
    if isinstance(result, bytes) and len(result) != octets:
        return OSError(f"the letter lost its end: {len(result)} octets instead of {octets}")
    return result


def _forward(recipient: Recipient) -> Forward:
    return Forward(recipient.address, recipient.notify, recipient.orcpt)
