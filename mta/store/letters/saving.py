"""Statuses are written in batches: all files, one sync, all names, one sync, and then the old ones go.

A status is never edited: the new one is whole and synced before it has its name, and the one it replaces
stays until the new name is on disk too. So wherever this ends, a letter has one of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Final, TypeAlias

from mta.store.drafts import Draft
from mta.store.envelope import Domain
from mta.store.folders import Directory, Folders
from mta.store.letters.status import Entry, Status, write_status
from mta.store.syncing import Syncing
from mta.store.system import System

ERROR: Final = "error"
"""The folder in a domain's folder for what was given up."""

Change: TypeAlias = tuple[Entry, Status]
Saved: TypeAlias = Entry | OSError
"""What the names tell now; or what went wrong, and then nothing is sure but that no status was lost."""


class Homes:
    """The folders of domains, opened when they are first asked for, for one batch; never made."""

    def __init__(self, others: Directory) -> None:
        self._others = others
        self._open: dict[str, Directory] = {}

    def __getitem__(self, domain: str) -> Directory:
        """OSError; FileNotFoundError when there is none. ValueError for what is no domain."""
        if domain not in self._open:
            self._open[domain] = self._others.enter(Domain(domain).name)
        return self._open[domain]

    def error(self, entry: Entry) -> Directory:
        """The error folder beside this letter's. OSError."""
        return self[entry.domain].enter(ERROR)


class _Slip:
    """A new status on its way."""

    __slots__ = ("draft", "home", "old", "saved", "status")

    def __init__(self, old: Entry, status: Status) -> None:
        self.old = old
        self.status = status
        self.home: Directory
        self.draft: Draft | None = None
        """The file, until it has its name."""
        self.saved: Saved = status.entry(old)

    def publish(self) -> None:
        """Give it its name, or the next higher one that is free."""
        entry = self.status.entry(self.old)
        assert self.draft is not None
        while True:
            try:
                self.draft.publish(self.home, entry.status_name)
            except FileExistsError:
                entry = entry._replace(serial=entry.serial + 1)
            else:
                self.saved, self.draft = entry, None
                return

    def fail(self, error: OSError) -> None:
        """It will not be saved. What cannot be removed from .tmp now goes at the next start."""
        self.saved = error
        if self.draft is not None:
            with suppress(OSError):
                self.draft.remove()


class Saving:
    """Writes statuses. Any thread; the letters of two batches at once are different ones."""

    def __init__(self, system: System, folders: Folders, syncing: Syncing, writer: str) -> None:
        """`writer` tells the drafts of several processes apart."""
        self._system = system
        self._folders = folders
        self._syncing = syncing
        self._writer = writer
        self._numbers = count()

    def save(self, changes: Sequence[Change]) -> list[Saved]:
        """Make these the statuses of these letters. Never raises OSError."""
        slips = [_Slip(*change) for change in changes]
        together = self._syncing.files_together(len(slips)) and self._syncing.covers(self._folders.tmp)
        homes = Homes(self._folders.others)
        through = _each(lambda slip: self._write(slip, homes, together=together), slips)
        if together:
            through = _all(self._syncing.everything, through)
        through = _each(_Slip.publish, through)
        for slip in _all(lambda: self._syncing.folders({slip.home for slip in through}), through):
            self._remove_old(slip)
        return [slip.saved for slip in slips]

    def _write(self, slip: _Slip, homes: Homes, *, together: bool) -> None:
        slip.home = homes[slip.old.domain]
        slip.draft = self._draft(slip.old.id)
        slip.draft.write([write_status(slip.status)])
        if not together:
            slip.draft.sync()
        slip.draft.close()

    def _draft(self, letter: str) -> Draft:
        name = f"{letter}.{self._writer}.status{next(self._numbers)}"
        try:
            return Draft(self._system, self._folders.tmp, name)
        except FileExistsError:
            # A process before this one died while it had this name.
            self._system.unlink(name, dir_fd=self._folders.tmp.fd)
            return Draft(self._system, self._folders.tmp, name)

    def _remove_old(self, slip: _Slip) -> None:
        """What cannot be removed is outranked, and goes when it is old and its letter gone."""
        if slip.old.serial:
            with suppress(OSError):
                self._system.unlink(slip.old.status_name, dir_fd=slip.home.fd)


def _each(step: Callable[[_Slip], None], slips: Sequence[_Slip]) -> list[_Slip]:
    """Those for which the step went well."""
    through = []
    for slip in slips:
        try:
            step(slip)
        except OSError as error:
            slip.fail(error)
        else:
            through.append(slip)
    return through


def _all(sync: Callable[[], None], slips: list[_Slip]) -> list[_Slip]:
    """All of them, or none if the sync they share failed: nobody can say which are durable."""
    try:
        if slips:
            sync()
    except OSError as error:
        for slip in slips:
            slip.fail(error)
        return []
    return slips
