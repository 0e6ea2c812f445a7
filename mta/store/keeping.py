"""The error folder of a domain: letters that were given up, with the status that says why, kept for a while.

A letter goes in and comes out by links, its status always before it: while both folders have it, it is one
letter in a doubled place, and doing the same again ends well. In an error folder the time in the name of
a status is that of the end, so that what is old enough to go is told by names too.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from mta.store.folders import Directory
from mta.store.saving import Homes, Saved
from mta.store.status import Entry
from mta.store.syncing import Syncing
from mta.store.system import System

ERROR: Final = "error"


class _Move:
    """A letter on its way from one folder to another."""

    __slots__ = ("new", "old", "source", "target")

    def __init__(self, source: Directory, old: Entry, target: Directory, new: Entry) -> None:
        self.source = source
        self.old = old
        self.target = target
        self.new = new


class Keeping:
    """Moves letters into error folders, back, and away."""

    def __init__(self, system: System, syncing: Syncing) -> None:
        self._system = system
        self._syncing = syncing

    def bury(self, homes: Homes, entries: Sequence[Entry], now: int) -> list[Saved]:
        """Into the error folders."""

        def into(entry: Entry) -> _Move:
            home = homes[entry.domain]
            return _Move(home, entry, home.enter_or_make(ERROR), entry._replace(due=now))

        return self._move(into, self._link_both, entries)

    def unbury(self, homes: Homes, letters: Sequence[tuple[Entry, Saved]]) -> list[Saved]:
        """Back from the error folders; with each letter the status that its home has already, if it does."""
        saved = dict(letters)

        def back(entry: Entry) -> _Move:
            new = saved[entry]
            if isinstance(new, OSError):
                raise new
            return _Move(homes.error(entry), entry, homes[entry.domain], new)

        return self._move(back, self._link_letter, list(saved))

    def remove(self, folder: Directory, entry: Entry) -> None:
        """The letter, then its status; what is gone already is done. OSError."""
        names = (entry.id, entry.status_name) if entry.serial else (entry.id,)
        for name in names:
            with suppress(FileNotFoundError):
                self._system.unlink(name, dir_fd=folder.fd)

    def expire(self, folder: Directory, entries: Iterable[Entry], before: float) -> int:
        """Remove those that got into this error folder before this time; how many that were. OSError."""
        old = [entry for entry in entries if self._is_older(folder, entry, before)]
        for entry in old:
            self.remove(folder, entry)
        return len(old)

    def expire_orphans(self, folder: Directory, orphans: Iterable[Entry], before: float) -> None:
        """Remove statuses written before this time whose letter is still gone. OSError."""
        for entry in orphans:
            if self._changed(folder, entry.id) is None:
                changed = self._changed(folder, entry.status_name)
                if changed is not None and changed < before:
                    self._system.unlink(entry.status_name, dir_fd=folder.fd)

    # inside

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
                moves.append(move)
        answers.update(self._sync_and_remove(moves))
        return [answers[entry] for entry in entries]

    def _sync_and_remove(self, moves: Sequence[_Move]) -> dict[Entry, Saved]:
        # The sources too: one of them may have got the folder that is the other's target.
        folders = {folder for move in moves for folder in (move.source, move.target)}
        try:
            self._syncing.folders(folders)
        except OSError as error:
            return {move.old: error for move in moves}
        return {move.old: self._removed(move) for move in moves}

    def _removed(self, move: _Move) -> Saved:
        try:
            self.remove(move.source, move.old)
        except OSError as error:
            return error
        return move.new

    def _link_both(self, move: _Move) -> None:
        if move.old.serial:
            self._link(move, move.old.status_name, move.new.status_name)
        self._link_letter(move)

    def _link_letter(self, move: _Move) -> None:
        self._link(move, move.old.id, move.old.id)

    def _link(self, move: _Move, name: str, new_name: str) -> None:
        # What exists under this name is this very file: this was begun before, and interrupted.
        with suppress(FileExistsError):
            self._system.link(
                name, new_name, src_dir_fd=move.source.fd, dst_dir_fd=move.target.fd, follow_symlinks=False
            )

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
