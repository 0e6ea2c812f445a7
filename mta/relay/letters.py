"""The letters of one domain in memory: which is due next, which is too old, and under 400 octets each.

A letter is a plain tuple of plain values (which the garbage collector soon stops looking at), known by its
id in one dictionary, and lies in two heaps: by the time it is due, and by its age. Nothing is ever removed
from the middle of a heap. An entry that no longer says what the dictionary says is skipped when it comes
up, and when more than half of a heap is like that, the heap is made anew.

A letter waits, is held by the operator, or is out: handed out, until it is finished, deferred or put back.

This module knows no connections, no pace and no disk.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple, TypeAlias, TypeVar

from mta.identifier import made_at

_Entry: TypeAlias = tuple[int, str, int, str, float]
_Age: TypeAlias = tuple[float, str]
_Kept = TypeVar("_Kept", _Entry, _Age)

_SLACK: Final = 64
"""Entries that a heap may hold in vain before anybody minds."""


class Letter(NamedTuple):
    """A letter as it is handed out."""

    due: int
    """Epoch seconds, as in the name of its status; without a status, when it came."""
    id: str
    attempts: int
    """As in the name of its status; 0 when it has none."""
    reason: str
    """The word of the reason why it waits; empty when this run has not tried it."""
    born: float
    """Epoch seconds."""


class Letters:
    """The letters of one domain. Times are epoch seconds of the schedule's clock."""

    __slots__ = ("_ages", "_entries", "_heap", "_urgent", "_warned", "held", "out")

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._heap: list[_Entry] = []
        self._urgent: deque[_Entry] = deque()
        self._ages: list[_Age] = []
        self._warned: list[_Age] = []
        self.held: set[str] = set()
        self.out: set[str] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, letter: str) -> bool:
        return letter in self._entries

    def __getitem__(self, letter: str) -> Letter:
        return Letter._make(self._entries[letter])

    def __iter__(self) -> Iterator[Letter]:
        return map(Letter._make, self._entries.values())

    # in and out

    def add(self, letter: str, born: float) -> None:
        """A new letter, due at once; one that is known stays as it is."""
        if letter not in self._entries:
            self._add((int(born), letter, 0, "", born))

    def load(self, letter: str, due: int, attempts: int, now: float, horizon: float) -> None:
        """A letter found on disk; one that is known stays as it is.

        A due time more than `horizon` seconds ahead was written by a clock gone wrong, and means now. A name
        that tells a time to come, or none, tells no age."""
        if letter in self._entries:
            return
        born = min(made_at(letter) or now, now)
        entry = (due if attempts else int(born), letter, attempts, "", born)
        self._add(entry)
        if entry[0] > now + horizon:
            self._urgent.append(entry)

    def take(self, now: float, most: int) -> tuple[Letter, ...]:
        """At most so many letters that are due; they are out then."""
        taken: list[Letter] = []
        while len(taken) < most and (entry := self._pop(now)) is not None:
            self.out.add(entry[1])
            taken.append(Letter._make(entry))
        return tuple(taken)

    def defer(self, letter: str, due: int, attempts: int, reason: str) -> None:
        """It waits until `due`; it may have been waiting already."""
        self.out.discard(letter)
        born = self._entries[letter][4]
        entry = (due, letter, attempts, sys.intern(reason), born)
        self._entries[letter] = entry
        if letter not in self.held:
            self._wait(entry)

    def put_back(self, letter: str) -> None:
        """It waits as before it was handed out: due at once, be it that an operator wanted it so."""
        if letter in self.out:
            self.out.remove(letter)
            self._urgent.append(self._entries[letter])

    def remove(self, letter: str) -> None:
        """It is gone, whatever it was doing; an unknown one is no error."""
        self._entries.pop(letter, None)
        self.out.discard(letter)
        self.held.discard(letter)
        self._ages = self._tidy(self._ages, self._is_aged)
        self._warned = self._tidy(self._warned, self._is_aged)

    def hold(self, letter: str) -> None:
        """It waits until it is released."""
        if letter in self._entries:
            self.out.discard(letter)
            self.held.add(letter)

    def release(self, letter: str) -> None:
        """It is due at once, if it was held."""
        if letter in self.held:
            self.held.remove(letter)
            self._urgent.append(self._entries[letter])
            self._remember_age(self._entries[letter])

    def hurry(self, letters: Iterable[str]) -> None:
        """Those of them that wait are due at once."""
        self._urgent.extend(self._entries[letter] for letter in letters if letter in self._entries)

    # what time brings

    def next_due(self) -> float | None:
        """When a letter is due next, perhaps long ago; None when none waits."""
        while self._urgent and not self._waits(self._urgent[0]):
            self._urgent.popleft()
        if self._urgent:
            return 0.0
        heap = self._heap
        while heap and not self._waits(heap[0]):
            heappop(heap)
        return heap[0][0] if heap else None

    def next_overdue(self, warn: float, expire: float) -> float | None:
        """When the next letter reaches the age of `warn` (0: never) or `expire` seconds."""
        times = (self._first(self._ages, min(warn or expire, expire)), self._first(self._warned, expire))
        return min((time for time in times if time is not None), default=None)

    def take_overdue(self, now: float, warn: float, expire: float, most: int) -> tuple[Letter, ...]:
        """At most so many letters that have reached one of these ages; they are out then.

        Each is handed out once for either age, and not while it is out already."""
        taken: list[Letter] = []
        for heap, age in ((self._warned, expire), (self._ages, min(warn or expire, expire))):
            while len(taken) < most and (letter := self._pop_aged(heap, age, now)) is not None:
                taken.append(letter)
                self.out.add(letter.id)
                if letter.born > now - expire:
                    heappush(self._warned, (letter.born, letter.id))
        return tuple(taken)

    def oldest(self) -> float | None:
        """When the oldest letter was born."""
        times = (self._first(self._ages, 0.0), self._first(self._warned, 0.0))
        return min((time for time in times if time is not None), default=None)

    def waiting(self) -> Iterator[Letter]:
        """Those that are not held, as they are now."""
        entries = list(self._entries.values())  # quick: a million in ten milliseconds
        return (Letter._make(entry) for entry in entries if entry[1] not in self.held)

    # the heaps

    def _add(self, entry: _Entry) -> None:
        self._entries[entry[1]] = entry
        self._wait(entry)
        self._remember_age(entry)

    def _wait(self, entry: _Entry) -> None:
        heappush(self._heap, entry)
        self._heap = self._tidy(self._heap, self._waits)

    def _remember_age(self, entry: _Entry) -> None:
        heappush(self._ages, (entry[4], entry[1]))

    def _pop(self, now: float) -> _Entry | None:
        while self._urgent:
            if self._waits(entry := self._urgent.popleft()):
                return entry
        while self._heap and self._heap[0][0] <= now:
            if self._waits(entry := heappop(self._heap)):
                return entry
        return None

    def _pop_aged(self, heap: list[_Age], age: float, now: float) -> Letter | None:
        # The very sum that `next_overdue` tells: what is due by the one must be due by the other.
        first = self._first(heap, age)
        if first is None or first > now or heap[0][1] in self.out:
            return None
        return self[heappop(heap)[1]]

    def _first(self, heap: list[_Age], age: float) -> float | None:
        """When the oldest in this heap reaches `age`."""
        while heap and not self._is_aged(heap[0]):
            heappop(heap)
        return heap[0][0] + age if heap else None

    def _waits(self, entry: _Entry) -> bool:
        letter = entry[1]
        return self._entries.get(letter) is entry and letter not in self.out and letter not in self.held

    def _is_aged(self, age: _Age) -> bool:
        born, letter = age
        entry = self._entries.get(letter)
        return entry is not None and entry[4] == born and letter not in self.held

    def _tidy(self, heap: list[_Kept], is_current: Callable[[_Kept], bool]) -> list[_Kept]:
        if len(heap) <= 2 * len(self._entries) + _SLACK:
            return heap
        heap = list({entry for entry in heap if is_current(entry)})
        heapify(heap)
        return heap
