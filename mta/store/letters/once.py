"""Committing again what may have been committed already: reports.

A report's identifier stands in the status of the letter it is about before it is committed. When the relay
died between the two, the report is made again under the same identifier; and the first one, if it is there,
counts. It is there while nobody has sent it on or read and removed it: so a relay does this before it sends
anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from mta.store.commit import GroupCommit
from mta.store.delivery import STORED, Delivery
from mta.store.envelope import Mailbox
from mta.store.folders import Directory, Folders
from mta.store.letters.saving import ERROR
from mta.store.syncing import Syncing
from mta.store.writing import Writing


class Once:
    """Commits deliveries of one way each, unless they are there."""

    def __init__(self, folders: Folders, writing: Writing, syncing: Syncing, group: GroupCommit) -> None:
        self._folders = folders
        self._writing = writing
        self._syncing = syncing
        self._group = group

    def commit(self, batch: Sequence[Delivery]) -> None:
        """Set the outcome of each. Never raises OSError."""
        for delivery in batch:
            try:
                self._look(delivery)
            except OSError as error:
                self._group.fail(delivery, error)
        self._group.commit(batch)

    def _look(self, delivery: Delivery) -> None:
        """It is stored if it is there, once its folder is synced: nobody knows how far the dead one came."""
        for folder in self._seen(delivery):
            if _has(folder, delivery.envelope.id):
                self._sync(folder)
                delivery.outcome = STORED
                return
        self._writing.remove_leftover(delivery)

    def _sync(self, folder: Directory) -> None:
        """And the parents, as the dead one may have made them."""
        try:
            self._syncing.folders([folder, *self._folders.take_unsynced()])
        except OSError:
            self._folders.forget()
            raise

    def _seen(self, delivery: Delivery) -> list[Directory]:
        """The folders where it may be by now."""
        [way] = delivery.ways
        home = self._folders.place(way).home
        if isinstance(way, Mailbox):
            return [home, self._folders.maildir(way).enter("cur")]
        folders = [home]
        with suppress(FileNotFoundError):
            folders.append(home.enter(ERROR))
        return folders


def _has(folder: Directory, identifier: str) -> bool:
    """Whether a letter or a message of this identifier is there, whatever else its name says."""
    return any(name == identifier or f".{identifier}." in name for name in folder.names())
