"""How a letter travelled, and who writes down what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mta.relay.letters import Letter
from mta.relay.outcome import Outcome
from mta.relay.parcels import Loaded, Parcel
from mta.store import BrokenLetter


@dataclass(frozen=True, slots=True)
class Trip:
    """How a letter travelled, for the log and its status."""

    host: str = ""
    """Name of the host; empty when none was reached."""
    address: str = ""
    tls: str = ""
    """Version; empty in clear."""
    certificate: str = ""
    """`held`, or what was wrong with it."""
    dsn: bool = False
    """The host knows DSN: the duty to report passes to it."""
    dns_seconds: float = 0.0
    connect_seconds: float = 0.0
    transfer_seconds: float = 0.0


NOWHERE: Final = Trip()


class Bookkeeper(Protocol):
    """Who writes down what became of letters."""

    def record(
        self,
        parcel: Parcel,
        outcomes: Sequence[Outcome],
        trip: Trip,
        done: Callable[[], None],
    ) -> None:
        """The outcome of each recipient. `done` is called when no crash undoes it, perhaps at once."""

    def put_back(self, domain: str, letters: Sequence[str]) -> None:
        """They were not tried."""

    def unreadable(self, domain: str, letter: Letter, error: BrokenLetter | OSError) -> None:
        """It could not be opened."""

    def load(self, domain: str, letters: Sequence[Letter], done: Callable[[Letter, Loaded], None]) -> None:
        """Note that they are out, and open them; `done` is called for each, in a later turn."""
