"""Letters from the disk, ready to be sent: opened in helper threads, several by one job.

Helper threads fight the loop for the interpreter, so there are few jobs and long ones. A small message is
read whole along with its envelope; a larger one stays open and is read piece by piece while it is sent.

Between letter and session a text may become another: `convert` writes it in seven bits, for a host that takes
no others. What is sent, and the size that is told, are the new one's. It lies in memory, so that a letter
which is too large for that is not converted.

A copy that is forwarded has a reverse-path of its own and says on top whose it was (`Delivered-To`), by which
its loops are found. So recipients who are reached in different ways are different transactions, one after the
other: a parcel keeps what became of the first until the last is decided.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from mta.protocol.client.events import Forward, Mail
from mta.relay.conversion.sevenbit import Unconvertible, to_seven_bits
from mta.relay.letters import Letter
from mta.relay.outcome import Outcome
from mta.store import BrokenLetter, Entry, Helpers, OpenLetter, Queue, Recipient

SMALL: Final = 64 << 10
"""Octets of the largest message that is read whole."""
_ENVELOPE: Final = 8 << 10
"""Octets that most letters have in front of their text."""
PIECE: Final = 256 << 10
"""Octets of a larger one that are read at once."""
CONVERTED: Final = 8 << 20
"""Octets of the largest message that is converted."""
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

    def take(self, octets: int) -> bool:
        """Hold so much more, if there is room for it."""
        if octets > self.left:
            return False
        self.left -= octets
        return True

    def give_back(self, octets: int) -> None:
        """So much is not held any more, or never was."""
        self.left += octets


class Parcel:
    """A letter that is open, and those of its recipients for whom it is to be sent."""

    __slots__ = (
        "_is_known_ascii", "_letter", "_outcomes", "_room", "_text", "id", "offset", "recipients",
    )  # fmt: skip

    def __init__(self, letter: OpenLetter, text: bytes | None) -> None:
        """`text`: all of it; None: it is read from the open letter."""
        self._letter = letter
        self._text = text
        self._room: Room | None = None
        self._is_known_ascii = False
        self.id = letter.entry.id
        self._outcomes: list[Outcome] = []
        self.recipients = letter.waiting
        """In the order in which they are sent to."""
        if any(each.via for each in self.recipients):
            self.recipients = tuple(sorted(self.recipients, key=_manner))
        self.offset = 0
        """Octets of its text handed out so far."""

    @property
    def letter(self) -> OpenLetter:
        return self._letter

    @property
    def reroute(self) -> str:
        """Where the operator wants it to go, as in `relay.routes`; empty: where others go."""
        return self._letter.status.reroute

    @property
    def group(self) -> tuple[Recipient, ...]:
        """Those whose turn it is."""
        rest = self.recipients[len(self._outcomes) :]
        if not rest[-1].via:  # sorted: then none of them is forwarded
            return rest
        return tuple(each for each in rest if _manner(each) == _manner(rest[0]))

    @property
    def is_last(self) -> bool:
        """There is no other group behind this one."""
        return len(self._outcomes) + len(self.group) == len(self.recipients)

    def keep(self, outcomes: Sequence[Outcome]) -> None:
        """What became of this group; the next one's turn comes, from the first octet."""
        self._outcomes += outcomes
        self.offset = 0

    def outcomes(self, *last: Outcome) -> list[Outcome]:
        """For each recipient what was kept, or what is `last`: one for each that is left, or one for all."""
        left = len(self.recipients) - len(self._outcomes)
        return [*self._outcomes, *(last if len(last) == left else last * left)]

    @property
    def is_begun(self) -> bool:
        """Something was kept."""
        return bool(self._outcomes)

    def mail(self) -> Mail:
        """What a session must know of it."""
        envelope, client, group = self._letter.envelope, self._letter.envelope.client, self.group
        top = _top(group[0])
        return Mail(
            sender=group[0].reverse_path or envelope.sender,
            recipients=tuple(map(_forward, group)),
            size=len(top) + (self._letter.length if self._text is None else len(self._text)),
            eightbit=not (self._is_ascii and top.isascii()),
            smtputf8=not top.isascii() or (bool(client.get("smtputf8")) and not self._has_ascii_header()),
            ret="FULL" if envelope.ret == "FULL" else "HDRS" if envelope.ret else "",
            envid=envelope.envid,
        )

    def rewind(self) -> None:
        """It is going to be sent again, from its first octet."""
        self.offset = 0

    def piece(self, helpers: Helpers, done: Callable[[bytes | OSError, bool], None]) -> None:
        """The next piece of its text and whether it is the last: at once when it is in memory."""
        top = b"" if self.offset else _top(self.group[0])
        if self._text is not None:
            done(top + self._text, True)
            return
        offset, octets = self.offset, min(PIECE, self._letter.length - self.offset)
        self.offset += octets
        last = self.offset >= self._letter.length
        read = partial(self._letter.read, offset, octets)
        helpers.run(read, lambda result: done(_under(top, _whole(result, octets)), last))

    def convert(self, helpers: Helpers, done: Callable[[Unconvertible | OSError | None], None]) -> None:
        """Make it a text of seven bits. `done` is told later what is in the way: the text itself, or that it
        cannot be read or held now."""
        helpers.run(self._converted, lambda result: done(self._replace(result)))

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

    @property
    def _is_ascii(self) -> bool:
        """As far as is known: what a large one is made of is looked at when somebody has to know."""
        return self._is_known_ascii or (self._text is not None and self._text.isascii())

    def _converted(self) -> bytes | Unconvertible | OSError | None:
        """In a helper thread. None: it is in seven bits as it is."""
        if self._text is None and _is_ascii(self._letter):
            return None
        length = self._letter.length
        if length > CONVERTED:
            return Unconvertible(f"only texts of up to {CONVERTED} octets are converted")
        text = self._text or _whole(self._letter.read(0, length), length)
        try:
            return text if isinstance(text, OSError) else to_seven_bits(text)
        except Unconvertible as unconvertible:
            return unconvertible

    def _replace(self, result: bytes | Unconvertible | OSError | None) -> Unconvertible | OSError | None:
        if isinstance(result, Unconvertible | OSError):
            return result
        if result is not None:
            if self._room is None or not self._room.take(len(result) - self._held):
                return OSError(errno.ENOMEM, "no room to convert it now")
            self._text = result
        self._is_known_ascii = True
        return None

    def _has_ascii_header(self) -> bool:
        """So far as it is known: a transaction with SMTPUTF8 goes to fewer hosts."""
        return self._text is not None and self._text.partition(b"\r\n\r\n")[0].isascii()


Loaded: TypeAlias = Parcel | BrokenLetter | OSError
"""FileNotFoundError: the letter is gone."""


def entry_of(domain: str, letter: Letter) -> Entry:
    """The letter as the store knows it."""
    return Entry(domain, letter.id, letter.due if letter.attempts else None, letter.attempts)


def load(queue: Queue, wanted: Sequence[tuple[Entry, int]]) -> list[Loaded]:
    """Open these letters, and read whole those of at most so many octets. Blocks."""
    ahead = _ENVELOPE + min(most for _, most in wanted)
    opened = queue.open([entry for entry, _ in wanted], ahead)
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


def _is_ascii(letter: OpenLetter) -> bool:
    """Whether it has seven bits throughout. Blocks; OSError."""
    return all(letter.read(at, PIECE).isascii() for at in range(0, letter.length, PIECE))


def _whole(result: bytes | OSError, octets: int) -> bytes | OSError:
    """A letter that became shorter while it was open is not sent as if it were whole."""
    if isinstance(result, bytes) and len(result) != octets:
        return OSError(f"the letter lost its end: {len(result)} octets instead of {octets}")
    return result


def _manner(recipient: Recipient) -> tuple[str, str]:
    """Recipients with the same one share a transaction."""
    return recipient.via, recipient.reverse_path


def _top(recipient: Recipient) -> bytes:
    """What stands on top of a copy that is forwarded."""
    return b"Delivered-To: %b\r\n" % recipient.via.encode("utf-8") if recipient.via else b""


def _under(top: bytes, piece: bytes | OSError) -> bytes | OSError:
    return piece if isinstance(piece, OSError) else top + piece


def _forward(recipient: Recipient) -> Forward:
    return Forward(recipient.address, recipient.notify, recipient.orcpt)
