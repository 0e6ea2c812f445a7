"""The watcher against a real file system: each way to save is one callback. No test sleeps; all wait for an
event."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue

import pytest
from watchdog.events import FileClosedEvent, FileCreatedEvent

from mta.config.watch import Watcher, _Handler, trail

PATIENCE = 20
"""Seconds until a callback that does not come is a failure."""


class Pokes:
    """Counts callbacks; `wait` returns when one more has come."""

    def __init__(self) -> None:
        self.count = 0
        self._queue: Queue[None] = Queue()

    def __call__(self) -> None:
        self.count += 1
        self._queue.put(None)

    def wait(self) -> None:
        self._queue.get(timeout=PATIENCE)


@pytest.fixture
def pokes() -> Pokes:
    return Pokes()


Watch = Callable[..., Watcher]


@pytest.fixture
def watch(pokes: Pokes) -> Iterator[Watch]:
    """Start a watcher on some paths; it is stopped after the test."""
    started: list[Watcher] = []

    def start(*paths: Path, quiet: float = 0.1) -> Watcher:
        started.append(Watcher(paths, pokes, quiet))
        return started[-1]

    yield start
    for watcher in started:
        watcher.stop()


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "mta.conf"
    path.write_text("old")
    return path


def replace(path: Path, text: str) -> None:
    """Save as vi does: the old file becomes a backup, a new one is written, the backup goes."""
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    path.write_text(text)
    backup.unlink()


def rename_over(path: Path, text: str) -> None:
    new = path.with_name(".new")
    new.write_text(text)
    new.rename(path)


def move_in(path: Path, text: str) -> None:
    """A file written elsewhere and moved here: only its arrival is seen."""
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "new").write_text(text)
    (elsewhere / "new").rename(path)


@pytest.mark.parametrize("save", [Path.write_text, replace, rename_over, move_in])
def test_every_way_to_save_is_noticed(
    save: Callable[[Path, str], object], watch: Watch, conf: Path, pokes: Pokes
) -> None:
    watch(conf)
    save(conf, "new")
    pokes.wait()
    assert conf.read_text() == "new"


def test_a_burst_is_one_callback(watch: Watch, conf: Path, pokes: Pokes) -> None:
    watch(conf, quiet=1)
    for number in range(50):
        rename_over(conf, str(number))
    pokes.wait()
    rename_over(conf, "last")
    pokes.wait()
    assert pokes.count == 2


def test_other_files_are_no_save(watch: Watch, conf: Path, tmp_path: Path, pokes: Pokes) -> None:
    """A second watcher, slower to call back, tells when the first would have."""
    other = tmp_path / "other"
    later = Pokes()
    watch(conf)
    slower = Watcher([other], later, 0.5)
    other.write_text("x")
    conf.read_text()
    later.wait()
    slower.stop()
    assert pokes.count == 0


def test_a_new_file_is_no_save_before_it_is_closed(conf: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    handler = _Handler(seen.append)
    handler.dispatch(FileCreatedEvent(str(conf)))
    assert seen == []
    handler.dispatch(FileClosedEvent(str(conf)))
    link = tmp_path / "link"
    link.symlink_to(conf)
    handler.dispatch(FileCreatedEvent(str(link)))
    assert seen == [str(conf), str(link)]


def test_a_folder_that_took_the_place_of_another_is_watched_anew(
    watch: Watch, tmp_path: Path, pokes: Pokes
) -> None:
    path = tmp_path / "tls" / "cert.pem"
    path.parent.mkdir()
    watcher = watch(path)
    path.parent.rename(tmp_path / "tls.old")
    path.parent.mkdir()
    watcher.follow([path])
    path.write_text("new")
    pokes.wait()


def test_a_deleted_file_is_told_and_its_return_too(watch: Watch, conf: Path, pokes: Pokes) -> None:
    watch(conf)
    conf.unlink()
    pokes.wait()
    conf.write_text("back")
    pokes.wait()


def test_the_file_behind_a_link_is_watched(watch: Watch, tmp_path: Path, pokes: Pokes) -> None:
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "cert.pem"
    real.write_text("1")
    link = tmp_path / "cert.pem"
    link.symlink_to("real/cert.pem")
    watch(link)
    real.write_text("2")
    pokes.wait()


def test_a_link_that_moves_is_a_save_and_is_followed(watch: Watch, tmp_path: Path, pokes: Pokes) -> None:
    """As certbot and Kubernetes do: the link in the middle of the path is renamed over."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cert.pem").write_text(name)
    (tmp_path / "live").symlink_to("first")
    path = tmp_path / "live" / "cert.pem"
    watch(path)
    (tmp_path / "live.new").symlink_to("second")
    (tmp_path / "live.new").rename(tmp_path / "live")
    pokes.wait()
    assert path.read_text() == "second"
    (tmp_path / "second" / "cert.pem").write_text("renewed")
    pokes.wait()


def test_a_link_made_anew_is_a_save(watch: Watch, tmp_path: Path, pokes: Pokes) -> None:
    (tmp_path / "a").write_text("a")
    link = tmp_path / "link"
    watch(link)
    link.symlink_to("a")
    pokes.wait()


def test_a_folder_that_comes_later_is_awaited_and_its_return_too(
    watch: Watch, tmp_path: Path, pokes: Pokes
) -> None:
    path = tmp_path / "tls" / "cert.pem"
    watch(path)
    path.parent.mkdir()
    pokes.wait()
    path.write_text("1")
    pokes.wait()
    shutil.rmtree(path.parent)
    pokes.wait()
    path.parent.mkdir()
    pokes.wait()
    path.write_text("2")
    pokes.wait()


def test_follow_changes_what_is_watched(watch: Watch, conf: Path, tmp_path: Path, pokes: Pokes) -> None:
    included = tmp_path / "sub" / "more.conf"
    included.parent.mkdir()
    watcher = watch(conf)
    watcher.follow([included])
    conf.write_text("no longer")
    included.write_text("yes")
    pokes.wait()
    watcher.stop()
    assert pokes.count == 1


def test_trail_names_links_and_the_end(tmp_path: Path) -> None:
    tmp_path = tmp_path.resolve()
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("other/../real")
    (tmp_path / "other").mkdir()
    assert list(trail(tmp_path / "link" / "x")) == [tmp_path / "link", tmp_path / "real" / "x"]
    assert list(trail(tmp_path / "none" / "x")) == [tmp_path / "none"]


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    os.symlink("b", tmp_path / "a")
    os.symlink("a", tmp_path / "b")
    assert len(list(trail(tmp_path / "a"))) == 41
