"""What a POP3 session tells its host, and what it is told of a mail drop.

Every event but Closed pauses the session until the host answers: the questions of `mta.protocol.sasl` with
`reply`, `admit` or `verify_by`; Retrieve and More with `text` (Retrieve with `reply` when it cannot be);
Update and StartTls with `reply`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from mta.protocol import sasl
from mta.protocol.events import NEED_DATA, PAUSED, Closed, Signal, StartTls

__all__ = [
    "NEED_DATA", "PAUSED", "Closed", "Event", "Listing", "More", "Question", "Retrieve", "StartTls", "Update",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listing:
    """What a mail drop held when it was opened. Positions count from 0, the numbers of the protocol from
    1."""

    sizes: Sequence[int]
    """Octets of each message as it is sent, without stuffed dots."""
    identities: Sequence[str]
    """The unique-id of each: 1 to 70 characters from ! to ~ (RFC 1939 7, UIDL)."""
    octets: int
    """The sum of the sizes."""


class Retrieve(NamedTuple):
    """RETR or TOP: the text of this message, as `pop3_text.WireText` makes it."""

    position: int
    lines: int | None
    """Lines below the header; None for all."""
    utf8: bool
    """The client takes header fields in UTF-8 (RFC 6856)."""


class More(NamedTuple):
    """What was given of the text is on its way: now the next piece."""


class Update(NamedTuple):
    """QUIT: remove these messages, let go of the mail drop, and say whether all are gone."""

    positions: Sequence[int]
    """In rising order."""


Question: TypeAlias = sasl.Question | Retrieve | More | Update | StartTls
Event: TypeAlias = Question | Closed | Signal
