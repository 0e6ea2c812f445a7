"""A delivery: one message on its way into the store, and what became of it.

The loop's thread makes it when the text begins, adds the text as it arrives and hands it to the committer.
Text is kept in memory in the forms that will be written: LF line ends for Maildirs, CRLF for letters. When
that gets too much, `take` gives the octets away and `Store.append` puts them on disk.

Between `Committer.submit` and the outcome, and while an `append` runs, a delivery belongs to that thread.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from mta.store.envelope import Domain, Envelope, Mailbox

if TYPE_CHECKING:
    from mta.store.writing import Form


class Reason(Enum):
    """Why nothing was stored, as far as the reply is concerned."""

    NO_SPACE = "no space"
    """Disk, inodes or quota are used up: 452 4.3.1."""
    FAULT = "fault"
    """Anything else the system refused: 451 4.3.0."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The message survives a power cut, for every one of its recipients: 250."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing of the message is left anywhere."""

    reason: Reason
    text: str
    """For the log: the system's words, and where it said them."""


Outcome: TypeAlias = Stored | Failed
STORED = Stored()


def failure(error: OSError) -> Failed:
    """What an error of the system means to the sender."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return Failed(Reason.NO_SPACE if full else Reason.FAULT, str(error))


class Text(NamedTuple):
    """Octets in both line ends, each only as far as the delivery's forms need it."""

    crlf: list[bytes]
    lf: list[bytes]


class Delivery:
    """One message for all its recipients: begin, `add` ..., then commit or abort."""

    __slots__ = (
        "drafts",
        "envelope",
        "held",
        "in_letter",
        "in_maildir",
        "octets",
        "outcome",
        "sealed",
        "text",
        "trace",
        "ways",
        "wire_size",
    )

    def __init__(self, envelope: Envelope, trace: bytes) -> None:
        """`trace` is our Received field, with LF line ends."""
        self.envelope = envelope
        self.trace = trace
        self.ways = envelope.ways
        self.in_maildir = any(isinstance(way, Mailbox) for way in self.ways)
        self.in_letter = len(self.ways) > 1 or isinstance(self.ways[0], Domain)
        self.text = Text([], [])
        self.held = 0
        """Octets of text in memory, all forms together: what counts against `limits.memory`."""
        self.octets = 0
        """Octets of text so far, each line end as LF."""
        self.wire_size = 0
        """Octets of text so far, each line end as CRLF: what SIZE and `limits.message` count."""
        self.drafts: list[Form] = []
        """Its files, while they are being written; the business of the store."""
        self.sealed = False
        """Its files are complete and synced already."""
        self.outcome: Outcome | None = None
        """None until `Store.commit` has decided."""

    def add(self, crlf: bytes, lf: bytes) -> None:
        """Keep the next piece of text, given in both line ends."""
        self.wire_size += len(crlf)
        self.octets += len(lf)
        if self.in_letter:
            self.text.crlf.append(crlf)
            self.held += len(crlf)
        if self.in_maildir:
            self.text.lf.append(lf)
            self.held += len(lf)

    def take(self) -> Text:
        """The text in memory, for `Store.append`; from here on it is no longer held."""
        text, self.text, self.held = self.text, Text([], []), 0
        return text
