"""What runs in the committer's process: take all that is ready, make it durable, say so, again.

The next batch is whatever has arrived while the previous one was made durable: no timer, so that a lone
message never waits and a crowd shares its syncs. The end of the line means that the receiver is gone or wants
to end; what it has handed over is still committed.

Only one process commits to a tree: after a crash, the next one waits here until the last batch of the one
before is done, so that its recovery sees a tree that nobody else changes.
"""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Thread
from typing import Final, Literal, cast

from mta.store.delivery import Delivery
from mta.store.handover import Packed, frame, unframe, unpack_delivery
from mta.store.store import Store

_RETRY_SECONDS: Final = 5.0
"""How soon messages that could not be linked to all their places are tried again when no mail comes."""
_PIECE: Final = 1 << 20


class Line:
    """The socket to the receiver, as it looks from here: blocking, and read as far as it is filled."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._received = bytearray()
        self._piece = bytearray(_PIECE)
        self._alive = True

    def send(self, value: object) -> None:
        """One frame. A receiver that is gone does not need it any more."""
        try:
            self._socket.sendall(frame(value))
        except ConnectionError:
            return

    def batches(self, store: Store) -> Iterator[list[Packed]]:
        """What has arrived, until the line ends; after a while nothing, if the store has to try again."""
        while self._alive:
            self._receive(_RETRY_SECONDS if store.pending else None)
            yield [packed for group in unframe(self._received) for packed in group]

    def _receive(self, seconds: float | None) -> None:
        """Take all there is; wait for the first piece, for so long at most."""
        # Not by the socket's own timeout: while it has one, every call waits, whatever its flags say.
        if seconds is not None and not select.select((self._socket,), (), (), seconds)[0]:
            return
        try:
            self._take(0)
            while self._alive:
                self._take(socket.MSG_DONTWAIT)
        except BlockingIOError:
            return

    def _take(self, flags: int) -> None:
        try:
            octets = self._socket.recv_into(self._piece, 0, flags)
        except ConnectionError:
            octets = 0
        self._received += memoryview(self._piece)[:octets]
        self._alive = octets > 0


def serve(store: Store, line: Line) -> None:
    """Commit until the line ends. A list of outcomes answers a batch, a tuple tells what is unfinished."""
    for packed in line.batches(store):
        if packed:
            line.send(commit(store, packed))
        unfinished = store.finish()
        if unfinished:
            line.send(tuple(unfinished))


def commit(store: Store, packed: Sequence[Packed]) -> list[object]:
    """Make a batch durable; the outcomes, in its order."""
    batch = [_unpacked(store, each) for each in packed]
    store.commit(batch)
    return [delivery.outcome for delivery in batch]


def _unpacked(store: Store, packed: Packed) -> Delivery:
    delivery, files = unpack_delivery(packed)
    if files:
        store.adopt(delivery, files)
    return delivery


def main(fd: str, root: str, host: str, sync: str) -> int:
    """Be the committer of a tree for whoever holds the other end of this socket. First it sends what recovery
    did, or the OSError that makes the tree unusable."""
    line = Line(socket.socket(fileno=int(fd)))
    try:
        strategy = cast(Literal["batch", "file"], sync)
        store = Store(Path(root), host=host, sync=strategy, writer="committer")
        with store.alone():
            line.send(store.open())
            Thread(target=store.clean, name="cleaning", daemon=True).start()
            serve(store, line)
    except OSError as error:
        line.send(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
