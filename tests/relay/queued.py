"""Letters in a tree, as the receiver leaves them and as attempts change them, for tests of what an operator
sees."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path

from mta.identifier import derived
from mta.store import (
    BrokenLetter,
    Delivery,
    Domain,
    Entry,
    Envelope,
    OpenLetter,
    Queue,
    Recipient,
    Standing,
    State,
    Store,
    Stored,
)
from tests.store.stage import HOST, Stage

ARRIVED = 1_800_000_000.0
CRLF = b"Subject: hello\r\n\r\ntext\r\n"
_numbers = count()


def store(root: Path) -> Store:
    """Syncs are not done."""
    return Store(root, host=HOST, writer="relay", system=Stage(root))


def accept(root: Path, *addresses: str, sender: str = "s@example.org", arrived: float = ARRIVED) -> str:
    """A letter to these addresses, one for each of their domains; its identifier."""
    recipients = tuple(Recipient(each, Domain(each.rpartition("@")[2])) for each in addresses)
    made = Delivery(
        Envelope(derived(arrived, str(next(_numbers))), sender, arrived, recipients, {"helo": "me"}),
        trace=b"",
    )
    made.add(CRLF, CRLF.replace(b"\r\n", b"\n"))
    opened = store(root)
    opened.commit([made])
    opened.finish()
    assert isinstance(made.outcome, Stored)
    return made.envelope.id


def entries(queue: Queue) -> list[Entry]:
    return [entry for found in queue.scan() for entry in found]


def tried(queue: Queue, entry: Entry, due: int, standings: Mapping[str, Standing]) -> Entry:
    """After an attempt."""
    [changed] = queue.change([entry], lambda status: status.tried(standings, due))
    assert isinstance(changed, Entry)
    return changed


def waits(reason: str, reply: str = "") -> Standing:
    return Standing(State.WAITING, reason, "4.0.0", reply, host="mx.example", when=int(ARRIVED))


def opened(queue: Queue, entry: Entry) -> OpenLetter:
    """A letter that was opened, and closed again."""
    [letter] = queue.open([entry])
    assert not isinstance(letter, OSError | BrokenLetter)
    letter.close()
    return letter
