"""A small relay on the store: sends letters into a world that is a table, and keeps the order of steps.

It dies at any call like the real one, and a new one on the same tree carries on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TypeVar

from mta.identifier import Identifiers
from mta.store import (
    BrokenLetter,
    Delivery,
    Domain,
    Entry,
    Envelope,
    OpenLetter,
    Recipient,
    Report,
    Standing,
    State,
    Store,
    Stored,
    Way,
)
from tests.store.stage import ARRIVED, CRLF, HOST, LF, TRACE, Call, Stage

NOW = 1_800_000_000
ANSWERED = "answered"
"""A call that the world makes."""
OK, LATER, NEVER = State.DELIVERED, State.WAITING, State.FAILED

T = TypeVar("T")
_identifiers = Identifiers()
_lives = count()


class World:
    """What the other servers answer: for each address a list of answers, the last of which repeats."""

    def __init__(self, answers: Mapping[str, Sequence[State]], calls: list[Call] | None = None) -> None:
        """`calls` gets a note of each message they took."""
        self.answers = answers
        self.calls = calls if calls is not None else []
        self.asked: Counter[str] = Counter()
        self.taken: list[tuple[str, str]] = []
        """Letter and address of each message they took."""

    def send(self, letter: str, address: str) -> State:
        answers = self.answers.get(address, (OK,))
        answer = answers[min(self.asked[address], len(answers) - 1)]
        self.asked[address] += 1
        if answer is OK:
            self.taken.append((letter, address))
        self.calls.append(Call(ANSWERED, (letter, address, answer.name)))
        return answer

    def again(self) -> World:
        """One that has been asked as much."""
        copy = World(self.answers)
        copy.asked, copy.taken = self.asked.copy(), self.taken.copy()
        return copy

    def note(self, call: Call) -> None:
        """It was asked this before."""
        letter, address, answer = call.paths
        self.asked[address] += 1
        if answer == OK.name:
            self.taken.append((letter, address))

    def letters_for(self, address: str) -> list[str]:
        return [letter for letter, taker in self.taken if taker == address]


def good(answer: T | OSError | BrokenLetter) -> T:
    """The answer, unless it is an error."""
    if isinstance(answer, OSError | BrokenLetter):
        raise answer
    return answer


class Relay:
    """One life of a relay: recovers, settles what is unfinished, and sends what is due."""

    def __init__(
        self, root: Path, world: World, stage: Stage | None = None, sender: Way | None = None
    ) -> None:
        """`sender` is where reports go; there are none without it."""
        self.world = world
        self.store = Store(root, host=HOST, writer="relay", system=stage or Stage(root))
        self.queue = self.store.queue
        self.sender = sender
        self.born = NOW + next(_lives)
        """No two lives promise a report at the same time."""

    def live(self) -> None:
        """Until every letter is gone from the domains' folders."""
        for saved in self.queue.recover(lambda attempts: NOW + attempts):
            good(saved)
        for entry in self.entries():
            if entry.is_unfinished:
                self.settle(entry)
        while entries := self.entries():
            for entry in entries:
                self.attempt(entry)

    def entries(self) -> list[Entry]:
        return [entry for entries in self.queue.scan() for entry in entries]

    def attempt(self, entry: Entry) -> None:
        self.queue.take_off([entry])
        with good(self.queue.open([entry])[0]) as letter:
            self._send(letter)
        self.queue.land([entry])

    def settle(self, entry: Entry) -> None:
        """Make the reports that are promised, and end the letter if that is all there was to do."""
        with good(self.queue.open([entry])[0]) as letter:
            status, entry = letter.status, letter.entry
        for report in status.pending:
            self._report(report)
            status = status.reported(report.id)
            [saved] = self.queue.save([(entry, status)])
            entry = good(saved)
        if status.due is None and (status.has_failed or status.note):
            good(self.queue.bury([entry], NOW)[0])
        elif status.due is None:
            self._finish(entry)

    def _finish(self, entry: Entry) -> None:
        for error in filter(None, self.queue.finish([entry])):
            raise error

    def _send(self, letter: OpenLetter) -> None:
        answers = {
            each.address: Standing(self.world.send(letter.entry.id, each.address), when=NOW)
            for each in letter.waiting
        }
        failed = tuple(address for address, standing in answers.items() if standing.state is NEVER)
        waits = any(standing.state is LATER for standing in answers.values())
        status = letter.status.tried(answers, NOW if waits else None)
        if failed and self.sender and letter.envelope.sender:
            status = status.promise(letter.entry, "failure", failed, self.born)
        elif failed and not waits:
            status = status.ended("no report: there is nobody to tell")
        if not waits and not status.has_failed:
            self._finish(letter.entry)
            return
        saved = good(self.queue.save([(letter.entry, status)])[0])
        if saved.is_unfinished:
            self.settle(saved)

    def _report(self, report: Report) -> None:
        assert self.sender is not None
        envelope = Envelope(report.id, "", ARRIVED, (Recipient("s@example", self.sender),))
        delivery = Delivery(envelope, TRACE)
        delivery.add(CRLF, LF + " ".join(report.recipients).encode() + b"\n")
        self.store.commit_once([delivery])
        if not isinstance(delivery.outcome, Stored):
            raise OSError(f"no report: {delivery.outcome}")


def accept(root: Path, *addresses: str, sender: str = "s@example") -> str:
    """A letter to these addresses at other.example, as the receiver leaves it; its identifier."""
    recipients = tuple(Recipient(address, Domain("other.example")) for address in addresses)
    delivery = Delivery(Envelope(_identifiers.next(), sender, ARRIVED, recipients), TRACE)
    delivery.add(CRLF, LF)
    store = Store(root, host=HOST, system=Stage(root))
    store.commit([delivery])
    assert isinstance(delivery.outcome, Stored)
    return delivery.envelope.id


def kept(root: Path) -> Iterator[OpenLetter]:
    """The letters in the error folder of other.example."""
    queue = Store(root, host=HOST, writer="relay").queue
    for entry in [entry for entries in queue.kept("other.example") for entry in entries]:
        with good(queue.open_kept([entry])[0]) as letter:
            yield letter
