"""Leftovers go, everything else stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mta.store import Store
from tests.store.stage import MAILBOX, SEVERAL, Call, Stage, Tree, deliver, open_store

ID = "0123456789abcdefghij"
HOUR = 3600


def leave(path: Path, age: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left")
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.mark.parametrize("folder", [".OTHER_SERVERS/.tmp", "user1/tmp", "a.example/user1/tmp"])
def test_own_leftovers_go_at_once_foreign_ones_after_36_hours(root: Path, folder: str) -> None:
    own = [leave(root / folder / f"{ID}.receiver{end}", 5) for end in ("", ".mail")]
    old = leave(root / folder / "1.2.other-program", 37 * HOUR)
    young = leave(root / folder / "1.3.other-program", 35 * HOUR)
    relay = leave(root / folder / f"{ID}.relay", 5)
    assert open_store(root).clean() == 3
    assert [path.exists() for path in (*own, old, young, relay)] == [False, False, False, True, True]


def test_a_mailbox_may_be_called_like_the_domain_of_another(root: Path) -> None:
    (root / "a.example" / "tmp").mkdir(parents=True)
    inner = leave(root / "a.example/user1/tmp" / f"{ID}.receiver", 5)
    assert open_store(root).clean() == 1
    assert not inner.exists()


def test_only_tmp_is_cleaned(root: Path) -> None:
    folders = ("user1/new", "user1/cur", "user1", ".x/tmp")
    kept = [leave(root / folder / f"{ID}.receiver", 99 * HOUR) for folder in folders]
    open_store(root).clean()
    assert all(path.exists() for path in kept)


def test_links_and_odd_things_are_left_alone(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    outside = leave(tmp_path / "outside" / f"{ID}.receiver", 99 * HOUR)
    leave(root / "user1/tmp/x", 1)
    (root / "user1/tmp" / f"{ID}.receiver").symlink_to(outside)
    os.mkfifo(root / "user1/tmp/fifo")
    os.utime(root / "user1/tmp/fifo", (0, 0))
    (root / "user2").mkdir()
    (root / "user2/tmp").symlink_to(tmp_path / "outside")
    (root / "user3").symlink_to("user1")
    assert open_store(root).clean() == 0
    assert outside.exists()


def test_what_is_being_written_is_left_alone(store: Store, root: Path, tree: Tree) -> None:
    deliveries = [deliver(*MAILBOX), deliver(*SEVERAL)]
    for delivery in deliveries:
        store.append(delivery, delivery.take())
    for path in [*root.glob("*/tmp/*"), *root.glob(".OTHER_SERVERS/.tmp/*")]:
        os.utime(path, (0, 0))
    assert store.clean() == 0
    store.commit(deliveries)
    store.finish(deliveries)
    assert all(map(tree.has_whole, deliveries))


def test_a_file_that_goes_by_itself_is_no_error(root: Path, stage: Stage) -> None:
    path = leave(root / "user1/tmp" / f"{ID}.receiver", 5)
    store = open_store(root, stage)

    def vanish(_number: int, call: Call) -> None:
        if call.name == "unlink":
            path.unlink()

    stage.begin(vanish)
    assert store.clean() == 0
