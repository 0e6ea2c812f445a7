"""Odd things in the tree, and folders that come and go by hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from freezegun import freeze_time

from mta.store import Delivery, Failed, Mailbox, Reason, Store, Stored, Way
from mta.store.folders import Directory
from mta.store.system import System
from tests.store.stage import DOMAIN, HOST, MAILBOX, SEVERAL, Call, Stage, Tree, deliver, no_fault, open_store


def committed(store: Store, *ways: Way) -> Delivery:
    delivery = deliver(*ways)
    store.commit([delivery])
    store.finish([delivery])
    return delivery


def link_new(root: Path, outside: Path) -> None:
    (root / "user1").mkdir()
    (root / "user1/new").symlink_to(outside)


def link_tmp(root: Path, outside: Path) -> None:
    (root / "user1").mkdir()
    (root / "user1/tmp").symlink_to(outside)


def link_mailbox(root: Path, outside: Path) -> None:
    for folder in ("tmp", "new", "cur"):
        (outside / folder).mkdir()
    (root / "user1").symlink_to(outside)


def link_nowhere(root: Path, outside: Path) -> None:
    (root / "user1").symlink_to(outside / "missing")


def file_as_cur(root: Path, outside: Path) -> None:
    (root / "user1").mkdir()
    (root / "user1/cur").write_bytes(b"")


def fifo_as_mailbox(root: Path, outside: Path) -> None:
    os.mkfifo(root / "user1")


ODD = (link_new, link_tmp, link_mailbox, link_nowhere, file_as_cur, fifo_as_mailbox)


@pytest.mark.parametrize("odd", ODD, ids=[odd.__name__ for odd in ODD])
@pytest.mark.parametrize("ways", [MAILBOX, SEVERAL])
def test_an_odd_mailbox_takes_nothing_and_harms_nothing(
    tmp_path: Path, odd: Callable[[Path, Path], None], ways: tuple[Way, ...]
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    store = open_store(root)
    odd(root, outside)
    delivery = committed(store, *ways)
    assert isinstance(delivery.outcome, Failed)
    assert delivery.outcome.reason is Reason.FAULT
    assert not [path for path in outside.rglob("*") if path.is_file()]
    assert not [name for name in Tree(root).files() if delivery.envelope.id in name]
    assert isinstance(committed(store, Mailbox("user2")).outcome, Stored)


def test_a_linked_domain_folder_is_refused(store: Store, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (root / ".OTHER_SERVERS/other.example").symlink_to(tmp_path / "outside")
    assert isinstance(committed(store, *DOMAIN).outcome, Failed)
    assert list((tmp_path / "outside").iterdir()) == []


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    store = open_store(tmp_path / "root")
    assert Tree(tmp_path / "real").has_whole(committed(store, *SEVERAL))


def test_a_draft_that_exists_is_not_overwritten(store: Store, root: Path) -> None:
    committed(store, *MAILBOX)
    delivery = deliver(*MAILBOX)
    planted = root / "user1/tmp" / f"{delivery.envelope.id}.receiver"
    planted.symlink_to("/etc/hostname")
    store.commit([delivery])
    assert isinstance(delivery.outcome, Failed)
    assert planted.is_symlink()


def test_a_message_that_exists_is_not_overwritten(store: Store, root: Path) -> None:
    committed(store, *DOMAIN)
    delivery = deliver(*DOMAIN)
    planted = root / ".OTHER_SERVERS/other.example" / delivery.envelope.id
    planted.write_bytes(b"before")
    store.commit([delivery])
    assert isinstance(delivery.outcome, Failed)
    assert planted.read_bytes() == b"before"
    assert not list(root.glob(".OTHER_SERVERS/.tmp/*"))


def test_a_folder_removed_by_hand_is_made_again_at_once(store: Store, root: Path, tree: Tree) -> None:
    committed(store, *MAILBOX)
    (root / "user1").rename(root / "away")
    for folder in ("tmp", "new", "cur"):
        for path in (root / "away" / folder).iterdir():
            path.unlink()
        (root / "away" / folder).rmdir()
    assert tree.has_whole(committed(store, *MAILBOX))


@pytest.mark.parametrize("folder", ["user1", "user1/new", "user1/tmp", "user1/cur"])
def test_a_folder_moved_by_hand_is_noticed_in_a_second(root: Path, tree: Tree, folder: str) -> None:
    with freeze_time("2026-01-01", ignore=[]) as clock:
        store = open_store(root)
        committed(store, *MAILBOX)
        (root / folder).rename(root / "away")
        clock.tick(1.1)
        assert tree.has_whole(committed(store, *MAILBOX))
    assert (root / "user1/cur").is_dir()


def test_a_link_that_takes_the_place_of_a_mailbox_is_noticed(root: Path, tmp_path: Path) -> None:
    with freeze_time("2026-01-01") as clock:
        store = open_store(root)
        committed(store, *MAILBOX)
        (root / "user1").rename(root / "away")
        (root / "user1").symlink_to("away")
        clock.tick(1.1)
        assert isinstance(committed(store, *MAILBOX).outcome, Failed)


def test_open_folders_are_bounded(root: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.store.folders._MOST_PLACES", 10)
    store = open_store(root)
    before = len(os.listdir("/proc/self/fd"))
    deliveries = [committed(store, Mailbox(f"user{number}")) for number in range(30)]
    assert len(os.listdir("/proc/self/fd")) - before == 20
    assert all(map(tree.has_whole, deliveries))
    store.close()
    assert len(os.listdir("/proc/self/fd")) == before


# other file systems


class Elsewhere(Stage):
    """A folder of the tree, and what is below, is on another file system."""

    def __init__(self, root: Path, folder: str) -> None:
        super().__init__(root)
        self._elsewhere = folder
        self.verdict = self._refuse_to_cross
        staged_fstat = self.fstat

        def fstat(fd: int) -> os.stat_result:
            status = list(staged_fstat(fd))
            status[2] += self._is_elsewhere(self._path(fd))
            return os.stat_result(status)

        self.fstat = fstat

    def _is_elsewhere(self, path: str) -> bool:
        return f"{path}/".startswith(f"{self._elsewhere}/")

    def _refuse_to_cross(self, number: int, call: Call) -> None:
        no_fault(number, call)
        if call.name in ("link", "rename") and len(set(map(self._is_elsewhere, call.paths))) > 1:
            raise OSError(18, "Invalid cross-device link")


def test_a_mailbox_on_another_file_system_gets_a_copy(root: Path, tree: Tree) -> None:
    stage = Elsewhere(root, "user1")
    store = open_store(root, stage)
    delivery = deliver(*SEVERAL)
    store.commit([delivery])
    assert store.finish([delivery]) == []
    assert tree.has_whole(delivery)
    [copy] = root.glob("user1/new/*")
    assert copy.stat().st_nlink == 1


def test_a_mailbox_on_another_file_system_is_synced_by_itself(root: Path, tree: Tree) -> None:
    stage = Elsewhere(root, "user1")
    store = open_store(root, stage)
    batch = [deliver(Mailbox(f"user{number}")) for number in range(5)]
    store.commit(batch)
    assert all(map(tree.has_whole, batch))
    synced = {call.paths[0] for call in stage.calls if call.name == "fsync"}
    assert synced == {f"user1/tmp/{batch[1].envelope.id}.receiver", "user1/new", "user1"}


@pytest.mark.parametrize("folder", ["user1/tmp", ".OTHER_SERVERS/other.example"])
def test_a_place_that_nothing_can_be_linked_into_is_refused(root: Path, tree: Tree, folder: str) -> None:
    store = open_store(root, Elsewhere(root, folder))
    delivery = committed(store, *(MAILBOX if folder == "user1/tmp" else SEVERAL))
    assert isinstance(delivery.outcome, Failed)
    assert tree.files() == []


# names, for the limits


def test_folders_are_known_by_name(store: Store, root: Path) -> None:
    committed(store, *SEVERAL, Mailbox("a.example/b"))
    assert (store.mailboxes, store.domains) == (3, 2)
    assert store.has_mailbox("user1")
    assert store.has_mailbox("a.example/c")
    assert not store.has_mailbox("user9")
    assert store.has_domain("other.example")
    assert not store.has_domain("user1")


def test_folders_made_or_removed_by_hand_are_seen_at_the_next_look(store: Store, root: Path) -> None:
    (root / "by-hand").mkdir()
    (root / "file").write_bytes(b"")
    (root / "link").symlink_to("by-hand")
    assert not store.has_mailbox("by-hand")
    store.refresh()
    assert (store.mailboxes, store.has_mailbox("by-hand"), store.has_mailbox("file")) == (1, True, False)
    (root / "by-hand").rmdir()
    store.refresh()
    assert store.mailboxes == 0


def test_free_space_is_that_of_the_file_system(store: Store, root: Path) -> None:
    space = store.free()
    status = os.statvfs(root)
    assert 0 < space.octets <= status.f_bavail * status.f_frsize * 2
    assert space.inodes > 0


# the calls that are not in the os module


def test_a_rename_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Directory(System(), os.open(tmp_path, os.O_RDONLY), "")
    for renameat2 in (None, lambda *_: -1):
        (tmp_path / "a").write_bytes(b"a")
        (tmp_path / "b").write_bytes(b"b")
        with pytest.raises(FileExistsError):
            System.rename("a", folder.fd, "b", folder.fd)
        System.rename("a", folder.fd, "c", folder.fd)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]
        (tmp_path / "c").unlink()
        # The second time as on a file system that cannot rename so.
        monkeypatch.setattr("mta.store.system._renameat2", renameat2)


@pytest.mark.parametrize("release", ["5.7.19", "4.19.0-x"])
def test_an_old_kernel_syncs_by_file(monkeypatch: pytest.MonkeyPatch, root: Path, release: str) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", release, "1", "x86_64")))
    stage = Stage(root)
    store = Store(root, host=HOST, system=stage)
    store.commit([deliver(way) for way in SEVERAL])
    assert "syncfs" not in [call.name for call in stage.calls]
