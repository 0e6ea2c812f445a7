"""Which letters there are, told by names alone: no file is opened, and no folder is listed at one go.

A million letters are some hundred bytes of names each, nothing more. They come in slices, so that whoever
asks can do something else between two; each slice may be asked for in another thread than the one before. The
folders are remembered by their time of modification, so that looking again costs one call for each that has
not changed since, whoever changed it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from mta.store.envelope import Domain
from mta.store.folders import Directory
from mta.store.letters.status import Entry, parse_name
from mta.store.system import System

SLICE: Final = 5_000
"""Names looked at between two slices."""
_SETTLED_NS: Final = 100_000_000
"""A folder changed so shortly before it was looked at may change again without showing it."""


class Scanning:
    """Looks through the domains' folders. One look at a time."""

    def __init__(self, system: System, others: Directory) -> None:
        self._system = system
        self._others = others
        self._seen: dict[str, int] = {}
        """When each folder had changed when it was last looked through, nanoseconds."""
        self.orphans: dict[str, list[Entry]] = {}
        """By path of a folder, statuses that had no letter when it was last looked through."""

    def all(self) -> Iterator[list[Entry]]:
        """Every letter, in slices, some of them empty. OSError."""
        self._seen = {}
        return self.changed()

    def changed(self) -> Iterator[list[Entry]]:
        """Every letter of the domains whose folders have changed since they were last looked through."""
        names = self.domains()
        self._seen = {name: self._seen[name] for name in names if name in self._seen}
        for name in names:
            folder = self._entered(name)
            if folder is not None:
                yield from self._if_changed(name, folder)

    def domain(self, name: str) -> Iterator[list[Entry]]:
        """Every letter of one domain; none if it has no folder."""
        folder = self._entered(name)
        if folder is not None:
            yield from self.letters(name, folder)

    def kept(self, name: str) -> Iterator[list[Entry]]:
        """Every letter in the error folder of a domain; the due time is that at which it got there."""
        folder = self._entered(name, "error")
        if folder is not None:
            yield from self.letters(name, folder)

    def letters(self, domain: str, folder: Directory) -> Iterator[list[Entry]]:
        """Each letter of a folder with its highest status. OSError."""
        # Names come in no order, so they are all seen before the first one is told.
        letters: list[Entry] = []
        statuses: dict[str, Entry] = {}
        for number, (entry, is_status) in enumerate(self._names(folder, domain), 1):
            if not is_status:
                letters.append(entry)
            elif entry.id not in statuses or statuses[entry.id].serial < entry.serial:
                statuses[entry.id] = entry
            if number % SLICE == 0:
                yield []
        for start in range(0, len(letters), SLICE):
            yield [statuses.pop(letter.id, letter) for letter in letters[start : start + SLICE]]
        self.orphans[folder.path] = list(statuses.values())

    def statuses(self, folder: Directory, domain: str, letter: str) -> list[Entry]:
        """All statuses of one letter, the highest first; looks through the whole folder."""
        names = self._names(folder, domain)
        found = [entry for entry, is_status in names if is_status and entry.id == letter]
        return sorted(found, key=lambda entry: entry.serial, reverse=True)

    def domains(self) -> list[str]:
        """The domains that have a folder, in order."""
        return sorted(filter(_is_domain, self._others.names()))

    # inside

    def _if_changed(self, name: str, folder: Directory) -> Iterator[list[Entry]]:
        changed = self._system.fstat(folder.fd).st_mtime_ns
        if self._seen.get(name) == changed:
            return
        settled = changed < time.time_ns() - _SETTLED_NS
        yield from self.letters(name, folder)
        self._seen[name] = changed if settled else -1

    def _names(self, folder: Directory, domain: str) -> Iterator[tuple[Entry, bool]]:
        again = folder.again()
        with self._system.scandir(again.fd) as found:
            for entry in found:
                parsed = parse_name(domain, entry.name)
                if parsed is not None and entry.is_file(follow_symlinks=False):
                    yield parsed

    def _entered(self, *names: str) -> Directory | None:
        folder = self._others
        # Gone meanwhile, or a link or a file where a folder should be: nothing of ours is there.
        with suppress(FileNotFoundError, NotADirectoryError):
            for name in names:
                folder = folder.enter(name)
            return folder
        return None


def _is_domain(name: str) -> bool:
    try:
        Domain(name)
    except ValueError:
        return False
    return True
