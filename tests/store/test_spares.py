"""Spares: what has left is written again; whatever goes wrong with that, a letter is whole or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mta.store import Entry, Failed, Status, Store, Stored
from tests.store.relaying import NOW, accept, good
from tests.store.stage import (
    DOMAIN,
    HOST,
    Crash,
    CrashAt,
    FailOnce,
    Stage,
    Tree,
    Verdict,
    deliver,
    no_fault,
    open_store,
)

SPARE = ".OTHER_SERVERS/.spare"
HOME = ".OTHER_SERVERS/other.example"


def retire(root: Path, *letters: str) -> None:
    """As the relay does when they are delivered."""
    queue = Store(root, host=HOST, writer="relay").queue
    assert queue.retire([Entry("other.example", letter) for letter in letters]) == [None] * len(letters)


def spares(root: Path) -> list[Path]:
    return sorted((root / SPARE).iterdir())


def spare(root: Path, size: int = 100) -> Path:
    """One that holds this many octets of another letter."""
    open_store(root)
    path = root / SPARE / "7"
    path.write_bytes(b"secret\n" * (size // 7 + 1))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("size", [0, 100, 60_000])
def test_a_letter_is_written_over_a_longer_and_over_a_shorter_one(root: Path, size: int) -> None:
    inode = spare(root, size).stat().st_ino
    store = open_store(root)
    first, second = deliver(*DOMAIN), deliver(*DOMAIN)
    store.commit([first, second])
    tree = Tree(root)
    assert tree.has_whole(first)
    assert tree.has_whole(second)
    assert (root / HOME / first.envelope.id).stat().st_ino == inode
    assert spares(root) == []


def test_what_is_retired_is_a_spare_and_no_letter(root: Path) -> None:
    letter = accept(root, "a@x")
    retire(root, letter)
    assert len(spares(root)) == 1
    assert not (root / HOME / letter).exists()
    retire(root, letter)  # again, after a crash
    assert len(spares(root)) == 1


def test_what_is_finished_otherwise_is_removed(root: Path) -> None:
    letter = accept(root, "a@x")
    queue = Store(root, host=HOST, writer="relay").queue
    [saved] = queue.save([(Entry("other.example", letter), Status().tried({}, NOW))])
    queue.finish([good(saved)])
    assert spares(root) == []


def test_there_are_never_more_than_enough(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.store.letters.spares._MOST", 2)
    for _ in range(2):  # by two processes, whose counts begin anew
        retire(root, *(accept(root, "a@x") for _ in range(3)))
    letters = [accept(root, "a@x") for _ in range(5)]
    retire(root, *letters)
    assert len(spares(root)) == 2
    assert os.listdir(root / HOME) == []


def a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent.parent.parent / "elsewhere")


def another_name(path: Path) -> None:
    os.link(path, path.parent.parent.parent / "snapshot")


def open_to_all(path: Path) -> None:
    path.chmod(0o644)


def long(path: Path) -> None:
    os.truncate(path, 1 << 20)


@pytest.mark.parametrize("how", [a_link, another_name, open_to_all, long])
def test_what_is_unfit_is_removed_and_not_written_to(root: Path, how: object) -> None:
    path = spare(root)
    (root / "elsewhere").write_bytes(b"theirs")
    assert callable(how)
    how(path)
    store, letter = open_store(root), deliver(*DOMAIN)
    store.commit([letter])
    assert letter.outcome == Stored()
    assert Tree(root).has_whole(letter)
    assert spares(root) == []
    assert (root / "elsewhere").read_bytes() == b"theirs"
    if how is another_name:
        assert (root / "snapshot").read_bytes().startswith(b"secret")


def test_two_never_have_the_same(root: Path) -> None:
    """The other one has seen the same names, and is faster."""
    spare(root)
    (root / SPARE / "8").write_bytes(b"")
    (root / SPARE / "8").chmod(0o600)
    stores = [open_store(root) for _ in range(2)]
    letters = [deliver(*DOMAIN) for _ in range(4)]
    for letter, store in zip(letters, stores * 2, strict=True):
        store.commit([letter])
    assert all(Tree(root).has_whole(letter) for letter in letters)
    assert len({(root / HOME / letter.envelope.id).stat().st_ino for letter in letters}) == 4


def test_everything_is_synced_before_a_letter_in_a_used_file_is_published(root: Path, stage: Stage) -> None:
    """Or its old name could come back beside the new one."""
    spare(root)
    store = open_store(root, stage)
    stage.begin()
    store.commit([deliver(*DOMAIN)])
    steps = [call.name for call in stage.calls if call.name in ("write", "fsync", "syncfs", "rename")]
    assert steps[:4] == ["rename", "write", "syncfs", "rename"]


def test_without_a_sync_of_everything_there_are_no_spares(root: Path) -> None:
    spare(root)
    store = Store(root, host=HOST, sync="file")
    letter = deliver(*DOMAIN)
    store.commit([letter])
    assert len(spares(root)) == 1
    store.queue.retire([Entry("other.example", letter.envelope.id)])
    assert len(spares(root)) == 1
    assert os.listdir(root / HOME) == []


def test_they_go_when_nobody_wants_them(root: Path) -> None:
    changed = spare(root).stat().st_ctime
    queue = Store(root, host=HOST, writer="relay").queue
    assert queue.expire_spares(changed) == 0
    assert queue.expire_spares(changed + 1) == 1
    assert spares(root) == []


# --- disasters


def take(root: Path, verdict: Verdict) -> tuple[Stage, Tree]:
    """A letter is committed into a spare."""
    spare(root)
    stage = Stage(root)
    store, letter = open_store(root, stage), deliver(*DOMAIN)
    stage.begin(verdict)
    store.commit([letter])
    tree = Tree(root)
    assert tree.has_whole(letter) == (letter.outcome == Stored())
    assert isinstance(letter.outcome, Stored | Failed)
    assert [name for name in tree.files() if letter.envelope.id in name] == (
        [f"{HOME}/{letter.envelope.id}"] if letter.outcome == Stored() else []
    )
    return stage, tree


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.ENOENT])
def test_any_call_fails(tmp_path: Path, error: int) -> None:
    (tmp_path / "calm").mkdir()
    stage, _ = take(tmp_path / "calm", no_fault)
    assert [call.name for call in stage.calls].count("create") == 0
    for number in range(len(stage.calls)):
        (tmp_path / str(number)).mkdir()
        take(tmp_path / str(number), FailOnce(number, error))


def test_the_end_at_any_call(tmp_path: Path) -> None:
    """What was never acknowledged is whole or not there, and is no letter with the octets of two."""
    (tmp_path / "calm").mkdir()
    stage, _ = take(tmp_path / "calm", no_fault)
    for number in range(len(stage.calls)):
        root = tmp_path / str(number)
        root.mkdir()
        spare(root)
        crashing = Stage(root)
        store, letter = open_store(root, crashing), deliver(*DOMAIN)
        crashing.begin(CrashAt(number))
        with pytest.raises(Crash):
            store.commit([letter])
        letters = os.listdir(root / HOME) if (root / HOME).exists() else []
        assert letters in ([], [letter.envelope.id])
        assert Tree(root).has_whole(letter) == bool(letters)
