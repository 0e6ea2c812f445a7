"""The letters' side of the store: what the relay and `mta queue` do with letters.

What is known of a letter is a value, its Status; a change is a new value and one `save`. What becomes of a
letter is a few of these, in an order that loses nobody and tells nobody twice, wherever the process ends:

    take off      noted in .flight                                the next process knows what this one died of
    delivered     marked in .flight                               this process removes it, or the next
    deferral      save(tried, due)
    some are      save(tried, due)                                before the letter is touched again
    finish        letter, status                                  removed in this order, nothing synced
    retire        letter                                          its file becomes a spare
    report        save(promise), Store.commit_once, save(reported)
    give up       save(promise, ended), Store.commit_once, save(reported), bury
    no report     save(ended with a note), bury
    bury          status and letter linked into error/, synced, letter and status removed
    requeue       new status and letter linked back, synced, removed from error/

A removal is not synced: it outlives the process, which is what the promise is about (a kill -9 repeats what
was unanswered, nothing more), and a power cut may repeat a delivery. A status always goes after its letter,
so that no letter ever stands there with its past forgotten.

All calls take batches, as the syncs are what costs: a batch of any size has two. They block, and may be made
in any thread, the letters of two calls at once being different ones. What fails for one letter fails that one
alone, and is in its place in the answer.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeAlias

from mta import identifier
from mta.store.folders import Directory, Folders
from mta.store.letter import BrokenLetter
from mta.store.letters.flight import Flight
from mta.store.letters.keeping import Failures, Keeping, Lying
from mta.store.letters.reading import AHEAD, OpenLetter, any_status, open_letter
from mta.store.letters.saving import ERROR, Change, Homes, Saved, Saving
from mta.store.letters.scan import Scanning
from mta.store.letters.spares import Spares
from mta.store.letters.status import Entry, Status
from mta.store.syncing import Syncing
from mta.store.system import System

Opened: TypeAlias = OpenLetter | BrokenLetter | OSError
"""FileNotFoundError: the letter is gone."""
Moved: TypeAlias = Entry | BrokenLetter | OSError
Removed: TypeAlias = OSError | None


class Queue:
    """The letters below .OTHER_SERVERS. One process at a time, under the tree's lock."""

    def __init__(
        self, system: System, folders: Folders, syncing: Syncing, spares: Spares | None, writer: str
    ) -> None:
        """`spares` gets the files of letters that are retired."""
        self._system = system
        self._spares = spares
        self._folders = folders
        self._syncing = syncing
        self._keeping = Keeping(system, syncing)
        self._saving = Saving(system, folders, syncing, writer)
        self._scanning = Scanning(system, folders.others)
        self._flight = Flight(system, folders.others)

    # which there are

    def scan(self) -> Iterator[list[Entry]]:
        """Every letter there is, told by names alone; in slices, some of them empty, each of which may be
        asked for in another thread. OSError.

        Those that are `is_unfinished` have something to be finished before any letter is sent: what they
        promised to report may lie in the queue already, and once it is sent nobody can tell."""
        return self._scanning.all()

    def rescan(self) -> Iterator[list[Entry]]:
        """The letters of all domains whose folders have changed since the last look, by whomever. OSError."""
        return self._scanning.changed()

    def letters(self, domain: str) -> Iterator[list[Entry]]:
        """The letters of one domain. OSError."""
        return self._scanning.domain(domain)

    def kept(self, domain: str) -> Iterator[list[Entry]]:
        """The letters in the error folder of a domain; `due` is when they were given up. OSError."""
        return self._scanning.kept(domain)

    def domains(self) -> list[str]:
        """Every domain that has a folder. OSError."""
        return self._scanning.domains()

    def find(self, letter: str, domain: str | None = None) -> list[Entry]:
        """This letter at this domain, or at all its domains; both as an operator may have typed them. Looks
        through whole folders; OSError."""
        if identifier.PATTERN.fullmatch(letter) is None:
            return []
        domains = [each for each in self.domains() if domain in (None, each)]
        return [entry for each in domains for entry in self._found(each, letter)]

    # in flight

    def take_off(self, entries: Sequence[Entry]) -> None:
        """They are about to be attempted. Small writes; OSError."""
        self._flight.take_off((entry.domain, entry.id) for entry in entries)

    def mark_delivered(self, entry: Entry) -> None:
        """A letter in flight is delivered to everybody, and nobody is to be told: it is to be finished,
        and will be, whatever happens to this process. A small write; OSError."""
        self._flight.mark((entry.domain, entry.id))

    def land(self, entries: Sequence[Entry]) -> None:
        """They are not attempted any more, and what came of it is on disk. Small writes; OSError."""
        self._flight.land((entry.domain, entry.id) for entry in entries)

    def recover(self, later: Callable[[int], int]) -> list[Saved]:
        """Finish what was marked as delivered when the last process died, and defer what else was in flight;
        once, before the first scan. OSError.

        `later` tells when the attempt after so many is due, in epoch seconds. What has something to finish is
        left as it is."""
        left = self._flight.left()
        finished = self.finish([entry for each in left if each.delivered for entry in self._found(*each[:2])])
        out = [entry for each in left if not each.delivered for entry in self._found(*each[:2])]
        changes = [
            (found.entry, found.status.tried({}, later(found.status.attempts + 1)))
            for found in _closed(self.open(out))
            if not found.entry.is_unfinished
        ]
        saved = self.save(changes)
        failed = [each for each in (*saved, *finished) if isinstance(each, OSError)]
        if not failed:
            self._flight.clear()
        return [*(each for each in saved if not isinstance(each, OSError)), *failed]

    # reading

    def open(self, entries: Sequence[Entry], ahead: int = AHEAD) -> list[Opened]:
        """These letters, in this order, to be closed by the caller; of each, so many octets are read at once,
        so that small ones need not be read again. Never raises."""
        homes = Homes(self._folders.others)
        return [
            _opened(lambda entry: self._open(homes[entry.domain], entry, ahead), each) for each in entries
        ]

    def open_kept(self, entries: Sequence[Entry], ahead: int = AHEAD) -> list[Opened]:
        """Letters in error folders, in the same way."""
        homes = Homes(self._folders.others)
        return [_opened(lambda entry: self._open(homes.error(entry), entry, ahead), each) for each in entries]

    # changing what is known of letters

    def save(self, changes: Sequence[Change]) -> list[Saved]:
        """Make these the statuses of these letters: synced, when this returns. Never raises OSError."""
        return self._saving.save(changes)

    def change(self, entries: Sequence[Entry], how: Callable[[Status], Status]) -> list[Moved]:
        """Read, change and save the statuses of letters that nobody has open: how to hold, release and
        reroute them. Never raises OSError."""
        opened = self.open(entries)
        saved = iter(self.save([(each.entry, how(each.status)) for each in _closed(opened)]))
        return [next(saved) if isinstance(each, OpenLetter) else each for each in opened]

    # the end of letters

    def finish(self, entries: Sequence[Entry]) -> list[Removed]:
        """Remove letters, and then their statuses: all is delivered and reported, or the operator wants it
        so. One that is gone already is done. Not synced where there is no status. Never raises OSError."""
        homes = Homes(self._folders.others)
        return self._removed(entries, lambda entry: homes[entry.domain])

    def retire(self, entries: Sequence[Entry]) -> list[Removed]:
        """Finish small letters that have no status; the next ones are written into their files. Never raises
        OSError."""
        spares, homes = self._spares, Homes(self._folders.others)
        if spares is None:
            return self.finish(entries)

        def put(entry: Entry) -> None:
            with suppress(FileNotFoundError):
                spares.put(homes[entry.domain], entry.id)

        return [_removed(put, entry) for entry in entries]

    def expire_spares(self, before: float) -> int:
        """Remove the files of letters that were retired before this time; how many. OSError."""
        return self._spares.expire(before) if self._spares is not None else 0

    def bury(self, entries: Sequence[Entry], now: float) -> list[Saved]:
        """Move letters into the error folders, with their statuses, which say why; the entries there.
        Interrupted, it is to be done again. Never raises OSError."""
        return self._keeping.bury(Homes(self._folders.others), entries, int(now))

    def set_aside(self, entry: Entry, reason: str, now: float) -> Saved:
        """Move a letter that cannot be read into the error folder, for this reason. Never raises OSError."""
        try:
            home = Homes(self._folders.others)[entry.domain]
            highest, status, _ = any_status(self._system, home, entry, self._search(home, entry))
        except OSError as error:
            return error
        [saved] = self.save([(highest, status.ended(reason))])
        return saved if isinstance(saved, OSError) else self.bury([saved], now)[0]

    # letters that were given up

    def requeue(self, entries: Sequence[Entry], due: int) -> list[Moved]:
        """Move letters back from the error folders, to be tried again for those who failed. Never raises
        OSError."""
        opened = self.open_kept(entries)
        old = [each.entry for each in _closed(opened)]
        saved = self.save([(each.entry, each.status.renewed(due)) for each in _closed(opened)])
        moved = iter(self._keeping.unbury(Homes(self._folders.others), list(zip(old, saved, strict=True))))
        return [next(moved) if isinstance(each, OpenLetter) else each for each in opened]

    def discard(self, entries: Sequence[Entry]) -> list[Removed]:
        """Remove letters from the error folders. Never raises OSError."""
        homes = Homes(self._folders.others)
        return self._removed(entries, homes.error)

    def expire(self, domain: str, before: float) -> int:
        """Remove what got into a domain's error folder before this time, and the statuses that lost their
        letters so long ago; the number of letters. After a scan; OSError."""
        home = self._folders.others.enter(domain)
        self._expire_orphans(home, before)
        with suppress(FileNotFoundError):
            return self._expire(domain, home.enter(ERROR), before)
        return 0

    # inside

    def _expire(self, domain: str, error: Directory, before: float) -> int:
        slices = self._scanning.letters(domain, error)
        removed = sum(self._keeping.expire(error, entries, before) for entries in slices)
        self._expire_orphans(error, before)
        return removed

    def _expire_orphans(self, folder: Directory, before: float) -> None:
        self._keeping.expire_orphans(folder, self._scanning.orphans.get(folder.path, ()), before)

    def _removed(self, entries: Sequence[Entry], folder: Callable[[Entry], Directory]) -> list[Removed]:
        failures: Failures = {}
        letters: list[Lying] = []
        for entry in entries:
            try:
                letters.append(Lying(folder(entry), entry))
            except FileNotFoundError:
                continue
            except OSError as error:
                failures[entry] = error
        failures.update(self._keeping.remove(letters))
        return [failures.get(entry) for entry in entries]

    def _open(self, folder: Directory, entry: Entry, ahead: int = AHEAD) -> OpenLetter:
        return open_letter(self._system, folder, entry, self._search(folder, entry), ahead)

    def _search(self, folder: Directory, entry: Entry) -> Callable[[], list[Entry]]:
        return lambda: self._scanning.statuses(folder, entry.domain, entry.id)

    def _found(self, domain: str, letter: str) -> list[Entry]:
        """This letter at this domain, if it is there."""
        try:
            home = self._folders.others.enter(domain)
            status = self._system.stat(letter, dir_fd=home.fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        if not stat.S_ISREG(status.st_mode):
            return []
        return [*self._scanning.statuses(home, domain, letter), Entry(domain, letter)][:1]


def _opened(step: Callable[[Entry], OpenLetter], entry: Entry) -> Opened:
    try:
        return step(entry)
    except (OSError, BrokenLetter) as error:
        return error


def _removed(step: Callable[[Entry], None], entry: Entry) -> Removed:
    try:
        step(entry)
    except OSError as error:
        return error
    return None


def _closed(opened: Sequence[Opened]) -> list[OpenLetter]:
    """Those that could be opened."""
    letters = [letter for letter in opened if isinstance(letter, OpenLetter)]
    for letter in letters:
        letter.close()
    return letters
