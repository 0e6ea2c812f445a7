"""The store: the only place where mail becomes durable, and the only one that knows the tree.

It takes deliveries and answers whether they are safe. It must never know of sockets, sessions or replies.
Which folder holds what stands in DESIGN section 6 and mta-spool(5); how a batch is committed in `commit`,
how a message for several places is finished in `records`.

Everything here may block and belongs into a thread of `threads`, except where a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from mta.store.delivery import Delivery, Text
from mta.store.records import Recovery, Unfinished


class Space(NamedTuple):
    """What the file system of the tree has left for us."""

    octets: int
    inodes: int


class Store:
    """The mail under one root folder."""

    def __init__(self, root: Path, *, host: str, sync: Literal["batch", "file"] = "batch") -> None:
        """`host` goes into the names of Maildir files; `sync` is "file" where a sync of everything costs more
        than one for each file."""

    def open(self) -> Recovery:
        """Make the folders of our own and finish what a crash interrupted. At start, under the tree's lock."""
        raise NotImplementedError

    def clean(self) -> int:
        """Remove what crashes left in tmp folders, and tell how many files that was. In a helper thread, after `open`."""
        raise NotImplementedError

    def close(self) -> None:
        """Give all descriptors back; nothing may be under way."""
        raise NotImplementedError

    def free(self) -> Space:
        """What is left on the disk."""
        raise NotImplementedError

    # folders known: these never block

    @property
    def mailboxes(self) -> int:
        """Number of mailbox folders, as of the last `refresh`. Does not block."""
        raise NotImplementedError

    @property
    def domains(self) -> int:
        """Number of foreign domains with a folder, as of the last `refresh`. Does not block."""
        raise NotImplementedError

    def has_mailbox(self, folder: str) -> bool:
        """Whether this mailbox has a folder already. Does not block."""
        raise NotImplementedError

    def has_domain(self, name: str) -> bool:
        """Whether this foreign domain has a folder already. Does not block."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Look what folders there are, if any came or went. Call it about every 30 seconds."""
        raise NotImplementedError

    # deliveries

    def append(self, delivery: Delivery, text: Text) -> None:
        """Write `delivery.take()` to disk, for a message that is larger than memory wants; one call at a time
        for one delivery. OSError: it cannot be stored; `abort` it and reply with `failure(error)`."""
        raise NotImplementedError

    def seal(self, delivery: Delivery, text: Text) -> None:
        """The last `append` of a large message: sync its files now, so that no batch waits for it."""
        raise NotImplementedError

    def commit(self, batch: Sequence[Delivery]) -> None:
        """Make them durable together and set each one's outcome. Never raises OSError."""
        raise NotImplementedError

    def finish(self, batch: Sequence[Delivery]) -> list[Unfinished]:
        """After the replies: link what `commit` stored for several places to all of them, and try again
        what failed before. What still failed is returned, and stays `pending`."""
        raise NotImplementedError

    @property
    def pending(self) -> int:
        """Number of accepted messages not yet linked to all their places. Does not block."""
        raise NotImplementedError

    def abort(self, delivery: Delivery) -> None:
        """Remove what was written of a message that will not be committed; nothing to do for most."""
        raise NotImplementedError
