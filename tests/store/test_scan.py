"""Letters told by names: all of them, nothing else, in slices, and again only where something changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mta.store import Entry, Queue, Store
from mta.store.letters.scan import SLICE
from tests.store.relaying import NOW
from tests.store.stage import HOST, Stage

ID = "6ae2{:016d}"


@pytest.fixture
def queue(root: Path, stage: Stage) -> Queue:
    return Store(root, host=HOST, writer="relay", system=stage).queue


def put(root: Path, domain: str, *names: str) -> Path:
    """Files in a domain's folder, changed long ago."""
    folder = root / ".OTHER_SERVERS" / domain
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    os.utime(folder, (NOW - 1e9, NOW - 1e9))
    return folder


def names(queue: Queue) -> list[Entry]:
    return sorted(entry for entries in queue.rescan() for entry in entries)


def test_a_letter_is_found_with_its_status(root: Path, queue: Queue) -> None:
    one, two, three, four = (ID.format(number) for number in range(4))
    put(root, "a.example", one, two, f"{two}.status,{NOW},3", f"{two}.status,{NOW - 9},2")
    put(root, "b.example", three, f"{three}.status,hold,1", four, f"{four}.status,0,2")
    found = sorted(entry for entries in queue.scan() for entry in entries)
    assert found == [
        Entry("a.example", one),
        Entry("a.example", two, NOW, 3),
        Entry("b.example", three, None, 1),
        Entry("b.example", four, 0, 2),
    ]
    assert [entry.is_held for entry in found] == [False, False, True, False]
    assert [entry.is_unfinished for entry in found] == [False, False, False, True]
    assert [entry.status_name for entry in found[1:]] == [
        f"{two}.status,{NOW},3", f"{three}.status,hold,1", f"{four}.status,0,2",
    ]  # fmt: skip


def test_no_file_is_opened(root: Path, stage: Stage, queue: Queue) -> None:
    put(root, "a.example", ID.format(1), f"{ID.format(1)}.status,{NOW},1")
    stage.begin()
    assert len(names(queue)) == 1
    opened = [call.paths[0] for call in stage.calls if call.name == "open"]
    assert set(opened) == {".OTHER_SERVERS", ".OTHER_SERVERS/a.example"}


@pytest.mark.parametrize(
    "name",
    [
        "x", "6" * 19, "6" * 21, "6" * 19 + "A", "." + "6" * 19, "6" * 20 + "~",
        "6" * 20 + ".status,1,0", "6" * 20 + ".status,-1,1", "6" * 20 + ".status,,1", "6" * 20 + ".status,1",
        "6" * 20 + ".status,1,1\n", "6" * 20 + ".status,held,1", "6" * 20 + ".status,1,1.bak",
    ],
)  # fmt: skip
def test_odd_names_are_nobodys(root: Path, queue: Queue, name: str) -> None:
    put(root, "a.example", name)
    assert names(queue) == []


def test_links_and_what_is_no_file_are_passed_over(root: Path, queue: Queue) -> None:
    folder = put(root, "a.example", ID.format(1))
    (folder / ID.format(2)).symlink_to(folder / ID.format(1))
    (folder / ID.format(3)).mkdir()
    os.mkfifo(folder / ID.format(4))
    (root / ".OTHER_SERVERS/linked.example").symlink_to(folder)
    (root / ".OTHER_SERVERS/file.example").touch()
    put(root, "Upper.Example", ID.format(5))
    put(root, "-.example", ID.format(6))
    assert names(queue) == [Entry("a.example", ID.format(1))]


def test_what_lies_in_error_is_told_apart(root: Path, queue: Queue) -> None:
    folder = put(root, "a.example", ID.format(1))
    (folder / "error").mkdir()
    (folder / "error" / ID.format(2)).touch()
    assert names(queue) == [Entry("a.example", ID.format(1))]
    assert list(queue.kept("a.example")) == [[Entry("a.example", ID.format(2))]]
    assert list(queue.kept("b.example")) == []


def test_only_folders_that_changed_are_looked_through_again(root: Path, stage: Stage, queue: Queue) -> None:
    put(root, "a.example", ID.format(1))
    put(root, "b.example", ID.format(2))
    assert len(names(queue)) == 2
    stage.begin()
    assert names(queue) == []
    assert [call for call in stage.calls if call.name == "scandir"] == []
    os.utime(put(root, "b.example", ID.format(3)), (NOW - 1e8, NOW - 1e8))
    assert names(queue) == [Entry("b.example", ID.format(2)), Entry("b.example", ID.format(3))]
    put(root, "c.example", ID.format(4))
    assert names(queue) == [Entry("c.example", ID.format(4))]


def test_a_folder_that_just_changed_is_looked_through_again(root: Path, queue: Queue) -> None:
    """Its next change may have the same time: a clock of the file system ticks every few milliseconds."""
    folder = put(root, "a.example", ID.format(1))
    ahead = 4_000_000_000
    os.utime(folder, (ahead, ahead))
    assert len(names(queue)) == 1
    assert len(names(queue)) == 1


def test_a_folder_that_comes_back_is_looked_through(root: Path, queue: Queue) -> None:
    folder = put(root, "a.example", ID.format(1))
    names(queue)
    folder.rename(root / "moved out")
    assert names(queue) == []
    (root / "moved out").rename(folder)
    assert len(names(queue)) == 1


def test_many_letters_come_in_slices(root: Path, queue: Queue) -> None:
    number = SLICE + 10
    put(root, "a.example", *map(ID.format, range(number)))
    slices = list(queue.letters("a.example"))
    assert len(slices) > 2
    assert max(map(len, slices)) <= SLICE
    assert sum(map(len, slices)) == number
