"""How full mailboxes are: by names, again when something has changed, and our own deliveries in between."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mta.store import Domain, Helpers, Mailbox, NotCounted, Usage, Used
from mta.store.usage import EMPTY
from tests.store.stage import open_store

ANNA = Mailbox("anna")


@pytest.fixture
def anna(root: Path) -> Path:
    """A mailbox with three messages that came long ago."""
    folder = root / "anna"
    for name in ("tmp", "new", "cur"):
        (folder / name).mkdir(parents=True)
    (folder / "new" / "1.a.mx,S=100,W=110").write_bytes(b"")
    (folder / "cur" / "2.b.mx,S=20,W=22:2,S").write_bytes(b"")
    (folder / "cur" / "3.c.other:2,").write_bytes(b"12345")
    (folder / "cur" / ".hidden,S=1000").write_bytes(b"")
    (folder / "tmp" / "4.d.mx,S=1000").write_bytes(b"")
    age(folder, 1000)
    return folder


def age(folder: Path, when: int) -> None:
    for name in ("new", "cur"):
        os.utime(folder / name, (when, when))


def test_names_tell_the_size_and_other_files_are_looked_at(root: Path, anna: Path) -> None:
    used = open_store(root).used(ANNA)
    assert (used.octets, used.messages) == (125, 3)


def test_a_mailbox_in_the_folder_of_a_domain_is_counted_there(root: Path, anna: Path) -> None:
    (root / "second.example").mkdir()
    anna.rename(root / "second.example" / "anna")
    assert open_store(root).used(Mailbox("second.example/anna")).messages == 3


def test_one_that_is_not_there_is_empty_and_stays_away(root: Path) -> None:
    assert open_store(root).used(ANNA) == EMPTY
    assert not (root / "anna").exists()


def test_nothing_outside_of_the_tree_is_counted(root: Path, anna: Path) -> None:
    anna.rename(root.parent / "elsewhere")
    anna.symlink_to(root.parent / "elsewhere")
    with pytest.raises(OSError, match="anna"):
        open_store(root).used(ANNA)


def test_an_unchanged_mailbox_is_not_read_again(root: Path, anna: Path) -> None:
    store = open_store(root)
    known = store.used(ANNA)
    lie = known._replace(octets=1)
    assert store.used(ANNA, lie) is lie
    age(anna, 2000)
    assert store.used(ANNA, lie).octets == 125


def test_a_change_a_moment_ago_may_not_be_the_last_one(root: Path, anna: Path) -> None:
    (anna / "new" / "5.e.mx,S=1").write_bytes(b"")
    used = open_store(root).used(ANNA)
    assert used.stamp == ()
    assert open_store(root).used(ANNA, used._replace(octets=1)).octets == 126


class Scene:
    """A Usage whose threads and clock are the test's."""

    def __init__(self) -> None:
        self.now, self.there = 0.0, Used(100, 1)
        self.posted: list[Callable[[], None]] = []
        self.helpers = Helpers(1, self.posted.append)
        self.usage = Usage(lambda _mailbox, _known: self.there, self.helpers, lambda: self.now)

    def count(self) -> None:
        done: list[OSError | None] = []
        self.usage.count(ANNA, done.append)
        assert done == []
        self.helpers.close()
        for each in self.posted:
            each()
        assert done == [None]


def test_a_count_is_believed_for_a_moment_and_our_deliveries_are_added() -> None:
    scene = Scene()
    with pytest.raises(NotCounted):
        scene.usage.of(ANNA)
    scene.usage.note([ANNA], 10)  # nobody wanted to know
    scene.count()
    scene.usage.note([Domain("other.example"), Mailbox("bert"), ANNA], 10)
    assert scene.usage.of(ANNA)[:2] == (110, 2)
    scene.now += 1.0
    with pytest.raises(NotCounted):
        scene.usage.of(ANNA)
