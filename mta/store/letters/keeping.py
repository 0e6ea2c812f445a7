"""How letters leave: for good, or into the error folder of their domain, where they are kept for a while.

A letter goes into an error folder and comes out by links, its status before it: while both folders have
it, it is one letter in a doubled place, and doing the same again ends well. In an error folder the time in
the name of a status is that of the end, so that what is old enough to go is told by names too.

A status always goes after its letter: no letter may stand there with its past forgotten. So where there is a
status, the letter's removal is synced before it goes.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from mta.store.folders import Directory
from mta.store.letters.saving import ERROR, Homes, Saved
from mta.store.letters.status import Entry
from mta.store.syncing import Syncing
from mta.store.system import System

Failures: TypeAlias = dict[Entry, OSError]


class Lying(NamedTuple):
    """A letter in a folder."""

    folder: Directory
    entry: Entry


class _Move(NamedTuple):
    """A letter on its way from one folder to another."""

    source: Lying
    target: Lying


class Keeping:
    """Moves letters into error folders, back, and away."""

    def __init__(self, system: System, syncing: Syncing) -> None:
        self._system = system
        self._syncing = syncing

    def remove(self, letters: Sequence[Lying]) -> Failures:
        """The letters, then their statuses; what is gone already is done. A letter without a status may come
        back with a power cut. Never raises OSError."""
        failures: Failures = {}
        gone = [each for each in letters if self._is_unlinked(each, each.entry.id, failures)]
        known = [each for each in gone if each.entry.serial]
        try:
            self._syncing.folders({each.folder for each in known})
        except OSError as error:
            return failures | {each.entry: error for each in known}
        for each in known:
            self._is_unlinked(each, each.entry.status_name, failures)
        return failures

    def bury(self, homes: Homes, entries: Sequence[Entry], now: int) -> list[Saved]:
        """Into the error folders."""

        def into(entry: Entry) -> _Move:
            home = homes[entry.domain]
            error = home.enter_or_make(ERROR)
            return _Move(Lying(home, entry), Lying(error, entry._replace(due=now)))

        return self._move(into, self._link_both, entries)

    def unbury(self, homes: Homes, letters: Sequence[tuple[Entry, Saved]]) -> list[Saved]:
        """Back from the error folders; with each letter the status that its home has already, if it does."""
        saved = dict(letters)

        def back(entry: Entry) -> _Move:
            new = saved[entry]
            if isinstance(new, OSError):
                raise new
            return _Move(Lying(homes.error(entry), entry), Lying(homes[entry.domain], new))

        return self._move(back, self._link_letter, list(saved))

    def expire(self, folder: Directory, entries: Iterable[Entry], before: float) -> int:
        """Remove those that got into this error folder before this time; how many that were. OSError."""
        old = [Lying(folder, entry) for entry in entries if self._is_older(folder, entry, before)]
        for error in self.remove(old).values():
            raise error
        return len(old)

    def expire_orphans(self, folder: Directory, orphans: Iterable[Entry], before: float) -> None:
        """Remove statuses written before this time whose letter is still gone. OSError."""
        for entry in orphans:
            if self._changed(folder, entry.id) is None:
                changed = self._changed(folder, entry.status_name)
                if changed is not None and changed < before:
                    self._system.unlink(entry.status_name, dir_fd=folder.fd)

    # moving

    def _move(
        self, way: Callable[[Entry], _Move], link: Callable[[_Move], None], entries: Sequence[Entry]
    ) -> list[Saved]:
        answers: dict[Entry, Saved] = {}
        moves: list[_Move] = []
        for entry in entries:
            try:
                move = way(entry)
                link(move)
            except OSError as error:
                answers[entry] = error
            else:
                answers[entry] = move.target.entry
                moves.append(move)
        answers.update(self._settled(moves))
        return [answers[entry] for entry in entries]

    def _settled(self, moves: Sequence[_Move]) -> Failures:
        """Sync the targets, then empty the sources."""
        # The sources too: one may have just got the folder that is the other's target.
        folders = {lying.folder for move in moves for lying in move}
        try:
            self._syncing.folders(folders)
        except OSError as error:
            return {move.source.entry: error for move in moves}
        return self.remove([move.source for move in moves])

    def _link_both(self, move: _Move) -> None:
        if move.source.entry.serial:
            self._link(move, move.source.entry.status_name, move.target.entry.status_name)
        self._link_letter(move)

    def _link_letter(self, move: _Move) -> None:
        self._link(move, move.source.entry.id, move.target.entry.id)

    def _link(self, move: _Move, name: str, new_name: str) -> None:
        source, target = move.source.folder.fd, move.target.folder.fd
        # What exists under this name is this very file: this was begun before, and interrupted.
        with suppress(FileExistsError):
            self._system.link(name, new_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)

    # single files

    def _is_unlinked(self, letter: Lying, name: str, failures: Failures) -> bool:
        try:
            with suppress(FileNotFoundError):
                self._system.unlink(name, dir_fd=letter.folder.fd)
        except OSError as error:
            failures[letter.entry] = error
            return False
        return True

    def _is_older(self, folder: Directory, entry: Entry, before: float) -> bool:
        if entry.due is not None:
            return entry.due < before
        changed = self._changed(folder, entry.id)
        return changed is not None and changed < before

    def _changed(self, folder: Directory, name: str) -> float | None:
        """When this file last changed; a link counts. None: there is none."""
        try:
            status = self._system.stat(name, dir_fd=folder.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return status.st_ctime if stat.S_ISREG(status.st_mode) else None
