"""The store: the only place where mail becomes durable, and the only one that knows the tree.

It takes deliveries and answers whether they are safe. It must never know of sockets, sessions or replies.
Which folder holds what stands in mta-spool(5); how a batch is committed in `commit`,
how a message for several places is finished in `records`.

Everything here may block and belongs into a thread of `threads`, except where a docstring says otherwise.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from mta.store.clean import Cleaning
from mta.store.commit import GroupCommit
from mta.store.delivery import Delivery, Stored, Text, failure
from mta.store.envelope import Mailbox
from mta.store.folders import Folders
from mta.store.letters.once import Once
from mta.store.letters.queue import Queue
from mta.store.letters.spares import Spares
from mta.store.maildrop.drop import MailDrop, open_maildrop
from mta.store.maildrop.sizes import WireSizes
from mta.store.records import Records, Recovery, Unfinished
from mta.store.syncing import Syncing
from mta.store.system import System, syncs_together
from mta.store.usage import EMPTY, Used, count
from mta.store.writing import Writing

_UNLIMITED = 1 << 62


class Space(NamedTuple):
    """What the file system of the tree has left for us."""

    octets: int
    inodes: int


class Store:
    """The mail under one root folder."""

    def __init__(
        self,
        root: Path,
        *,
        host: str,
        sync: Literal["batch", "file"] = "batch",
        writer: str = "receiver",
        commits: bool = True,
        system: System | None = None,
    ) -> None:
        """Open the tree and make the folders of our own. Blocks; OSError.

        `host` goes into the names of Maildir files; `sync` is "file" where a sync of everything costs more
        than one for each file; `writer` tells the drafts of several processes apart;
        `commits` is False where a Committer does it, which syncs the folders that were made here, too."""
        self._system = system or System()
        self._began = time.time()
        self._folders = Folders(self._system, root, commits=commits)
        together = sync == "batch" and syncs_together()
        syncing = Syncing(self._system, self._folders.root, together=together)
        spares = Spares(self._system, self._folders.spare) if together else None
        self._writing = Writing(self._system, self._folders, spares, host=host, writer=writer)
        self._group = GroupCommit(self._folders, self._writing, syncing)
        self._records = Records(self._system, self._folders, self._writing, syncing)
        self._once = Once(self._folders, self._writing, syncing, self._group)
        self._wire_sizes = WireSizes(self._system)
        self.queue = Queue(self._system, self._folders, syncing, spares, writer)
        """The letters below .OTHER_SERVERS, for the relay and `mta queue`."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one who commits to this tree; waits for one that is still at it. OSError."""
        turn = self._folders.commit.again()
        fcntl.flock(turn.fd, fcntl.LOCK_EX)
        yield

    def open(self) -> Recovery:
        """Finish what a crash interrupted. Once, at start, under the tree's lock; OSError when even looking
        is impossible."""
        return self._records.recover()

    def clean(self) -> int:
        """Remove what crashes left in tmp folders, and tell how many files that was. In a helper thread,
        after `open`. OSError."""
        return Cleaning(self._system, self._folders, self._writing, self._began).clean()

    def free(self) -> Space:
        """What is left on the disk. OSError."""
        status = self._system.statvfs(self._folders.root.fd)
        # A file system without a fixed number of inodes tells none at all.
        inodes = status.f_favail if status.f_files else _UNLIMITED
        return Space(status.f_bavail * status.f_frsize, inodes)

    # folders known: these never block, except refresh

    @property
    def mailboxes(self) -> int:
        """Number of mailbox folders, as of the last `refresh`. Does not block."""
        return len(self._folders.mailboxes)

    @property
    def domains(self) -> int:
        """Number of foreign domains with a folder, as of the last `refresh`. Does not block."""
        return len(self._folders.domains)

    def has_mailbox(self, folder: str) -> bool:
        """Whether this mailbox has a folder already; of `domain/local part`, whether the domain has one.
        Does not block."""
        return folder.partition("/")[0] in self._folders.mailboxes

    def has_domain(self, name: str) -> bool:
        """Whether this foreign domain has a folder already. Does not block."""
        return name in self._folders.domains

    def refresh(self) -> None:
        """Look what folders there are, if any came or went. Call it about every 30 seconds. OSError."""
        self._folders.mailboxes.refresh()
        self._folders.domains.refresh()

    def used(self, mailbox: Mailbox, known: Used = EMPTY) -> Used:
        """What is in a mailbox, nothing in one that does not exist; `known` if that is still so. OSError."""
        return count(self._system, self._folders.root, mailbox, known)

    # deliveries

    def append(self, delivery: Delivery, text: Text) -> None:
        """Write `delivery.take()` to disk, for a message that is larger than memory wants; one call at a time
        for one delivery. OSError: it has failed, its outcome says how, and nothing of it is left."""
        try:
            self._writing.write(delivery, text)
        except OSError as error:
            self._group.fail(delivery, error)
            raise

    def seal(self, delivery: Delivery, text: Text) -> None:
        """The last `append` of a large message: sync its files now, so that no batch waits for it."""
        try:
            self._group.seal(delivery, text)
        except OSError as error:
            self._group.fail(delivery, error)
            raise

    def commit(self, batch: Sequence[Delivery]) -> None:
        """Make them durable together and set each one's outcome. Never raises OSError."""
        self._group.commit(batch)
        for delivery in batch:
            if len(delivery.ways) > 1 and isinstance(delivery.outcome, Stored):
                self._records.add(delivery)
            delivery.drafts = []

    def commit_once(self, batch: Sequence[Delivery]) -> None:
        """Commit deliveries of one way each under identifiers that may have been used for them before, by a
        process that died: reports. One that is there is done. Never raises OSError."""
        self._once.commit(batch)
        for delivery in batch:
            delivery.drafts = []

    def finish(self, batch: Sequence[Delivery] = ()) -> list[Unfinished]:
        """After the replies: link what was stored for several places to all of them, and try again
        what failed before. What still failed is returned, and stays `pending`."""
        return self._records.finish()

    @property
    def pending(self) -> int:
        """Number of accepted messages not yet linked to all their places. Does not block."""
        return len(self._records)

    def adopt(self, delivery: Delivery, files: Sequence[tuple[str, int]]) -> None:
        """Take over a delivery that another process has sealed, with the names and octets of its files. Never
        raises OSError: what is wrong becomes the outcome."""
        try:
            self._writing.adopt(delivery, files)
        except OSError as error:
            delivery.outcome = failure(error)

    def note_stored(self, delivery: Delivery) -> None:
        """The committer has stored it: its files are no longer ours, its folders exist. Does not block."""
        self._writing.under_way.discard(delivery.envelope.id)
        self._folders.know(delivery.ways)

    def abort(self, delivery: Delivery) -> None:
        """Remove what was written of a message that will not be committed. OSError when some of it stays."""
        self._writing.remove(delivery)

    # mail drops

    def open_maildrop(self, folder: str) -> MailDrop:
        """The mailbox in this folder, for one reader alone. Raises maildrop.InUse; OSError."""
        return open_maildrop(self._system, self._folders.root, folder, self._wire_sizes)

    def close(self) -> None:
        """Give the descriptors back that are kept for speed; nothing may be under way."""
        self._folders.forget()
