"""Group commit: a batch of deliveries becomes durable in two syncs, each delivery wholly or not at all.

    write      the files of each delivery, in tmp
    sync       all these files
    publish    rename each into the folder where it is seen (one way), or its record into .commit (several)
    sync       all these folders
    outcome    only now

The order is the promise behind a 250 and must not change. A step that fails for one delivery fails that one
alone; a sync that fails takes along all that it was for, as nobody can say which of them are durable. What
fails is removed at once, wherever it is by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mta.store.delivery import STORED, Delivery, Failed, Text, failure
from mta.store.folders import Folders
from mta.store.syncing import Syncing
from mta.store.writing import Writing


class GroupCommit:
    """The steps of a commit; one thread at a time."""

    def __init__(self, folders: Folders, writing: Writing, syncing: Syncing) -> None:
        self._folders = folders
        self._writing = writing
        self._syncing = syncing

    def commit(self, batch: Sequence[Delivery]) -> None:
        """Decide the outcome of each that has none yet. Never raises OSError."""
        written = self._each(self._write, [delivery for delivery in batch if delivery.outcome is None])
        synced = self._sync_files(written)
        published = self._each(self._publish, synced)
        for delivery in self._sync_folders(published):
            delivery.outcome = STORED
            if len(delivery.ways) == 1:
                self._writing.under_way.discard(delivery.envelope.id)

    def fail(self, delivery: Delivery, error: OSError) -> None:
        """Set its outcome, and leave nothing of it."""
        delivery.outcome = failure(error)
        try:
            self._writing.remove(delivery)
        except OSError as another:
            text = f"{delivery.outcome.text}; and removing it: {another}"
            delivery.outcome = Failed(delivery.outcome.reason, text)

    def seal(self, delivery: Delivery, text: Text) -> None:
        """Write and sync its files ahead of the batch. OSError."""
        self._complete(delivery, text)
        _sync_each_file(delivery)
        delivery.sealed = True

    def _write(self, delivery: Delivery) -> None:
        if not delivery.sealed:
            self._complete(delivery, delivery.take())

    def _complete(self, delivery: Delivery, text: Text) -> None:
        self._writing.write(delivery, text)
        for draft in delivery.drafts:
            draft.complete(delivery)

    def _sync_files(self, batch: Sequence[Delivery]) -> Sequence[Delivery]:
        reused = any(draft.is_spare for delivery in batch for draft in delivery.drafts)
        if not (reused or self._syncing.files_together(len(batch))):
            return self._each(_sync_each_file, batch)
        closed = self._each(self._sync_foreign_files, batch)
        try:
            self._syncing.everything()
        except OSError as error:
            return self._fail_all(closed, error)
        return closed

    def _sync_foreign_files(self, delivery: Delivery) -> None:
        for draft in delivery.drafts:
            if not draft.synced and not self._syncing.covers(draft.directory):
                draft.sync()
            draft.close()

    def _publish(self, delivery: Delivery) -> None:
        draft = delivery.drafts[0]
        draft.publish(draft.target, draft.final_name(delivery, self._writing.host))

    def _sync_folders(self, batch: Sequence[Delivery]) -> Sequence[Delivery]:
        if not batch:
            return batch
        folders = {delivery.drafts[0].directory for delivery in batch}
        try:
            self._syncing.folders(folders.union(self._folders.take_unsynced()))
        except OSError as error:
            # The next batch must not trust the descriptors, nor the parents, that this one could not sync.
            self._folders.forget()
            return self._fail_all(batch, error)
        return batch

    def _each(self, step: Callable[[Delivery], None], batch: Sequence[Delivery]) -> Sequence[Delivery]:
        """Those for which the step went well."""
        through = []
        for delivery in batch:
            try:
                step(delivery)
            except OSError as error:
                self.fail(delivery, error)
            else:
                through.append(delivery)
        return through

    def _fail_all(self, batch: Sequence[Delivery], error: OSError) -> Sequence[Delivery]:
        """None of them is left."""
        for delivery in batch:
            self.fail(delivery, error)
        return ()


def _sync_each_file(delivery: Delivery) -> None:
    for draft in delivery.drafts:
        if not draft.synced:
            draft.sync()
        draft.close()
