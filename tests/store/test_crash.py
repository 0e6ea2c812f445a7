"""The process ends at any call, or the power does: what was acknowledged is there, nothing partial is.

Two kinds of end. With the process, every call before the end has happened. With the power, only what was
synced is sure to have happened; of the rest any part may have: a written file may be empty or half there, an
entry in a folder may be missing while a later one exists (the ALICE method). `Disk` plays the second kind.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mta.store import Delivery, Stored, Way
from tests.store.stage import (
    DOMAIN,
    MAILBOX,
    SEVERAL,
    Call,
    Crash,
    CrashAt,
    Stage,
    Tree,
    deliver,
    no_fault,
    open_store,
)

SCENES: dict[str, list[tuple[Way, ...]]] = {
    "one mailbox": [MAILBOX],
    "one domain": [DOMAIN],
    "several": [SEVERAL],
    "a batch": [MAILBOX, SEVERAL, DOMAIN, SEVERAL[:2]],
}
scenes = pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)


def recover(root: Path) -> None:
    """What a start does. Afterwards nothing is left that a start would have to do."""
    store = open_store(root)
    store.clean()
    assert store.pending == 0
    assert Tree(root).unfinished() == []


def each_is_whole_or_absent(root: Path, deliveries: Sequence[Delivery]) -> None:
    """And those that were acknowledged are whole."""
    for delivery in deliveries:
        assert Tree(root).has_whole(delivery) or not isinstance(delivery.outcome, Stored)


def crash(root: Path, scene: Sequence[tuple[Way, ...]], number: int) -> tuple[bool, list[Delivery]]:
    """Commit and finish a scene until the call of this number; whether the end came."""
    root.mkdir()
    stage = Stage(root)
    store = open_store(root, stage)
    deliveries = [deliver(*ways) for ways in scene]
    stage.begin(CrashAt(number))
    try:
        store.commit(deliveries)
        store.finish(deliveries)
    except Crash:
        return True, deliveries
    return False, deliveries


@scenes
def test_the_process_ends_at_any_call(tmp_path: Path, scene: list[tuple[Way, ...]]) -> None:
    number, crashed = 0, True
    while crashed:
        root = tmp_path / str(number)
        crashed, deliveries = crash(root, scene, number)
        recover(root)
        each_is_whole_or_absent(root, deliveries)
        number += 1
    assert number > 10 * len(scene)


def test_the_process_ends_again_during_recovery(tmp_path: Path) -> None:
    calls = _calls_of(tmp_path / "calm", [SEVERAL])
    accepted = 1 + next(n for n, call in enumerate(calls) if call.name == "rename")
    number, crashed = 0, True
    while crashed:
        root = tmp_path / str(number)
        _, deliveries = crash(root, [SEVERAL], accepted)
        crashed = _crash_in_recovery(root, number)
        recover(root)
        assert Tree(root).has_whole(deliveries[0])
        number += 1
    assert number > 20


def test_a_message_already_read_does_not_come_again(tmp_path: Path) -> None:
    calls = _calls_of(tmp_path / "calm", [SEVERAL])
    linked = 1 + next(n for n, call in enumerate(calls) if call.name == "link")
    _, [delivery] = crash(tmp_path / "tree", [SEVERAL], linked)
    [path] = tmp_path.glob("tree/user1/new/*")
    path.rename(path.parent.parent / "cur" / f"{path.name}:2,S")
    recover(tmp_path / "tree")
    assert Tree(tmp_path / "tree").has_whole(delivery)


def _calls_of(root: Path, scene: Sequence[tuple[Way, ...]]) -> list[Call]:
    root.mkdir()
    stage = Stage(root)
    store = open_store(root, stage)
    deliveries = [deliver(*ways) for ways in scene]
    stage.begin()
    store.commit(deliveries)
    store.finish(deliveries)
    return stage.calls


def _crash_in_recovery(root: Path, number: int) -> bool:
    stage = Stage(root)
    stage.verdict = CrashAt(number)
    try:
        open_store(root, stage)
    except Crash:
        return True
    stage.verdict = no_fault
    return False


# power cuts


@dataclass
class Inode:
    """A file: what is written, and how much of it is safe."""

    data: bytes = b""
    safe: bytes = b""


@dataclass
class Change:
    """An entry that was made (inode) or removed (None), not yet synced."""

    path: str
    inode: Inode | None


@dataclass
class Disk:
    """What a file system owes us: fsync of a file its data, of a folder its entries, syncfs everything."""

    folders: list[str] = field(default_factory=list)
    """Made and not yet synced, in order."""
    safe_folders: list[str] = field(default_factory=list)
    now: dict[str, Inode] = field(default_factory=dict)
    safe: dict[str, Inode] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    @classmethod
    def after_a_cut(cls, folders: Sequence[str], files: dict[str, bytes]) -> Disk:
        """All that is there is safe."""
        inodes = {path: Inode(content, content) for path, content in files.items()}
        return cls(safe_folders=list(folders), now=dict(inodes), safe=dict(inodes))

    def apply(self, call: Call) -> None:
        match call:
            case Call("mkdir", (path,)):
                self.folders.append(path)
            case Call("create", (path,)):
                self._enter(path, Inode())
            case Call("write", (path,), data):
                self.now[path].data += data
            case Call("link", (path, new_path)):
                self._enter(new_path, self.now[path])
            case Call("rename", (path, new_path)):
                self._enter(new_path, self.now[path])
                self._enter(path, None)
            case Call("unlink", (path,)):
                self._enter(path, None)
            case Call("fsync", (path,)):
                self._sync(path)
            case Call("syncfs"):
                self._sync_all()

    def states(self, chance: random.Random, number: int) -> Iterator[tuple[list[str], dict[str, bytes]]]:
        """Folders and files as they may be after a cut: nothing unsynced, all of it, and so many mixtures."""
        yield self._state(lambda: False)
        yield self._state(lambda: True)
        for _ in range(number):
            yield self._state(lambda: chance.random() < 0.5)

    def _enter(self, path: str, inode: Inode | None) -> None:
        self.changes.append(Change(path, inode))
        if inode is None:
            del self.now[path]
        else:
            self.now[path] = inode

    def _sync(self, path: str) -> None:
        if path in self.now:
            self.now[path].safe = self.now[path].data
            return
        self._settle([change for change in self.changes if _parent(change.path) == path])
        self._settle_folders([folder for folder in self.folders if _parent(folder) == path])

    def _sync_all(self) -> None:
        self._settle(list(self.changes))
        self._settle_folders(list(self.folders))
        for inode in self.now.values():
            inode.safe = inode.data

    def _settle(self, changes: list[Change]) -> None:
        for change in changes:
            self.changes.remove(change)
            _change(self.safe, change)

    def _settle_folders(self, folders: list[str]) -> None:
        for folder in folders:
            self.folders.remove(folder)
            self.safe_folders.append(folder)

    def _state(self, happened: Callable[[], bool]) -> tuple[list[str], dict[str, bytes]]:
        folders = self.safe_folders + [folder for folder in self.folders if happened()]
        # A folder that did not make it takes all that is below with it.
        folders = [folder for folder in folders if all(up in folders for up in _above(folder))]
        entries = dict(self.safe)
        for change in self.changes:
            if happened():
                _change(entries, change)
        contents = {id(inode): _content(inode, happened) for inode in entries.values()}
        files = {path: contents[id(inode)] for path, inode in entries.items() if _parent(path) in folders}
        return folders, files


def _change(entries: dict[str, Inode], change: Change) -> None:
    if change.inode is None:
        entries.pop(change.path, None)
    else:
        entries[change.path] = change.inode


def _content(inode: Inode, happened: Callable[[], bool]) -> bytes:
    if inode.safe == inode.data or happened():
        return inode.data
    return inode.data[: len(inode.data) // 2] if happened() else inode.safe


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _above(folder: str) -> Iterator[str]:
    while (folder := _parent(folder)) != ".":
        yield folder


ACKNOWLEDGED = Call("acknowledged", ())


def played(root: Path, scene: Sequence[tuple[Way, ...]]) -> tuple[list[Call], list[Delivery]]:
    """All calls of a store that is new and takes a scene, with a note where the replies are sent."""
    root.mkdir()
    stage = Stage(root)
    store = open_store(root, stage)
    deliveries = [deliver(*ways) for ways in scene]
    store.commit(deliveries)
    stage.calls.append(ACKNOWLEDGED)
    store.finish(deliveries)
    return stage.calls, deliveries


def build(root: Path, folders: Sequence[str], files: dict[str, bytes]) -> None:
    root.mkdir()
    for folder in sorted(folders):
        (root / folder).mkdir()
    for path, content in files.items():
        (root / path).write_bytes(content)


@scenes
def test_the_power_fails_after_any_call(tmp_path: Path, scene: list[tuple[Way, ...]]) -> None:
    chance = random.Random(5321)
    calls, deliveries = played(tmp_path / "calm", scene)
    disk, acknowledged, states = Disk(), False, 0
    for number, call in enumerate(calls):
        disk.apply(call)
        acknowledged = acknowledged or call == ACKNOWLEDGED
        for folders, files in disk.states(chance, 12):
            root = tmp_path / f"{number}-{states}"
            build(root, folders, files)
            recover(root)
            for delivery in deliveries:
                assert Tree(root).has_whole(delivery) or not acknowledged
            states += 1
    assert states > 200


def test_the_power_fails_again_after_recovery(tmp_path: Path) -> None:
    """What was acknowledged before the first cut survives the second, wherever that comes."""
    chance = random.Random(2821)
    calls, [delivery] = played(tmp_path / "calm", [SEVERAL])
    disk, states = Disk(), 0
    for call in calls[: calls.index(ACKNOWLEDGED)]:
        disk.apply(call)
    for first, (folders, files) in enumerate(disk.states(chance, 2)):
        build(tmp_path / f"first-{first}", folders, files)
        stage = Stage(tmp_path / f"first-{first}")
        open_store(tmp_path / f"first-{first}", stage)
        again = Disk.after_a_cut(folders, files)
        for call in stage.calls:
            again.apply(call)
            for second in again.states(chance, 3):
                root = tmp_path / f"second-{states}"
                build(root, *second)
                recover(root)
                assert Tree(root).has_whole(delivery)
                states += 1
    assert states > 100
