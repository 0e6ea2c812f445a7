"""The committer's end of the line."""

from __future__ import annotations

import socket
import threading

import pytest

from mta.store import Store, committing
from mta.store.committing import Line
from mta.store.handover import frame

PATIENCE = 20.0


@pytest.mark.parametrize("pending", [0, 1])
def test_what_has_arrived_is_a_batch_at_once(
    pending: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not something waits to be tried again, which would have been in an hour."""
    monkeypatch.setattr(committing, "_RETRY_SECONDS", 3600.0)
    monkeypatch.setattr(Store, "pending", pending)
    ours, theirs = socket.socketpair()
    batches: list[object] = []
    with ours, theirs:
        ours.sendall(frame(["one", "two"]) + frame(["three"]))
        line = Line(theirs)
        reader = threading.Thread(target=lambda: batches.append(next(line.batches(store))), daemon=True)
        reader.start()
        reader.join(PATIENCE)
        assert batches == [["one", "two", "three"]]


def test_what_is_pending_is_tried_again_when_nothing_comes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(Store, "pending", 1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert next(Line(theirs).batches(store)) == []


def test_the_end_of_the_line_is_the_end_of_the_batches(store: Store) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(frame(["last"]))
        ours.close()
        batches: list[object] = [batch for batch in Line(theirs).batches(store) if batch]
    assert batches == [["last"]]
