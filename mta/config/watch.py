"""Notice that a watched file was saved.

Editors save by writing a new file and renaming it over the old one, so it is folders that are watched, not
files. A path may lead through symbolic links (a certificate often does): every link on the way is watched in
the folder it lies in, and so is the file it really leads to. A part that does not exist yet is awaited in the
folder above.

A save is a close after writing, or a rename into place, or a new link, and then `QUIET` seconds without
another: a burst is one callback. That a file was deleted is told too, since its owner will want to say so.
The threads of this module never meet the rest of the program: watchdog's read and dispatch, ours waits for
the quiet, looks where the links lead now, and calls back; the callback must do no more than poke a wake-up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from threading import Condition, Lock, Thread

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import ObservedWatch
from watchdog.observers.inotify import InotifyFullEmitter, InotifyObserver
from watchdog.observers.inotify_c import InotifyConstants, Mask

QUIET = 0.2
"""Seconds without a further save before a callback."""

_MOST_LINKS = 40
"""Links followed on one path, as many as the kernel follows (path_resolution(7))."""

_SAVES: list[type[FileSystemEvent]] = [
    *(FileClosedEvent, FileMovedEvent, FileCreatedEvent, FileDeletedEvent),
    *(DirMovedEvent, DirCreatedEvent, DirDeletedEvent),
]


class _Emitter(InotifyFullEmitter):
    """Never asks what moved away: watchdog would hold each rename back half a second to pair its halves."""

    def get_event_mask_from_filter(self) -> Mask:
        return Mask(super().get_event_mask_from_filter() & ~InotifyConstants.IN_MOVED_FROM)


class _Observer(InotifyObserver):
    def __init__(self) -> None:
        super().__init__()
        self._emitter_class = _Emitter


class Watcher:
    """Calls `callback`, from a thread of its own, after each save of one of `paths`.

    Raises OSError when there is no inotify to be had.
    """

    def __init__(self, paths: Iterable[Path], callback: Callable[[], None], quiet: float = QUIET) -> None:
        self._callback = callback
        self._quiet = quiet
        self._paths: tuple[Path, ...] = ()
        self._awaited: frozenset[str] = frozenset()
        self._folders = _Folders(_Handler(self._seen))
        self._following = Lock()
        self._changed = Condition()
        self._saves = 0
        self._stopping = False
        self._waiter = Thread(target=self._run, name="config-watch", daemon=True)
        self.follow(paths)
        self._waiter.start()

    @property
    def unwatched(self) -> Mapping[str, OSError]:
        """Folders that the kernel would not let us watch, for the owner to report."""
        return dict(self._folders.refused)

    def follow(self, paths: Iterable[Path]) -> None:
        """Watch these paths from now on and no others; links are followed as they lead now."""
        with self._following:
            self._paths = tuple(paths)
            steps = {step for path in self._paths for step in trail(path)}
            folders = {str(step.parent) for step in steps}
            self._awaited = frozenset(map(str, steps)) | folders
            self._folders.watch(folders)

    def stop(self) -> None:
        """End all threads; no callback runs after this returns."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._waiter.join()
        self._folders.stop()

    def _seen(self, path: str) -> None:
        if path in self._awaited:
            with self._changed:
                self._saves += 1
                self._changed.notify()

    def _run(self) -> None:
        while self._quiet_after_save():
            self.follow(self._paths)
            self._callback()

    def _quiet_after_save(self) -> bool:
        """Wait for a save, then until none followed another for a while; False when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._saves or self._stopping)
            seen = 0
            while seen != self._saves and not self._stopping:
                seen = self._saves
                self._changed.wait(self._quiet)
            self._saves = 0
            return not self._stopping


class _Handler(FileSystemEventHandler):
    """Passes on the paths of saves. A new file is not one yet, its close will be; a new link or folder is."""

    def __init__(self, seen: Callable[[str], None]) -> None:
        self._seen = seen

    def on_any_event(self, event: FileSystemEvent) -> None:
        path = os.fsdecode(event.dest_path or event.src_path)
        if not isinstance(event, FileCreatedEvent) or os.path.islink(path):
            self._seen(path)


class _Folders:
    """The folders under watch. One that was replaced by another of its name is watched anew."""

    def __init__(self, handler: FileSystemEventHandler) -> None:
        self.refused: dict[str, OSError] = {}
        self._handler = handler
        self._watches: dict[str, tuple[ObservedWatch, tuple[int, int] | None]] = {}
        self._observer = _Observer()
        self._observer.start()

    def watch(self, folders: set[str]) -> None:
        self.refused = {}
        for folder, (watch, identity) in list(self._watches.items()):
            if folder not in folders or _identity(folder) != identity:
                del self._watches[folder]
                self._observer.unschedule(watch)
        for folder in folders - self._watches.keys():
            self._add(folder)

    def _add(self, folder: str) -> None:
        identity = _identity(folder)
        try:
            watch = self._observer.schedule(self._handler, folder, event_filter=_SAVES)
        except OSError as error:
            self.refused[folder] = error
        else:
            self._watches[folder] = watch, identity

    def stop(self) -> None:
        self._observer.stop()
        self._observer.join()


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def trail(path: Path) -> Iterator[Path]:
    """Each link that `path` leads through, where it really lies; last the file, or what is missing of it."""
    here, ahead, links = Path("/"), _parts(path.absolute()), 0
    while ahead:
        part = ahead.pop()
        step = here / part
        target = _link(step) if links < _MOST_LINKS else None
        if part == "..":
            here = here.parent
        elif target:
            yield step
            links += 1
            here = Path("/") if target.is_absolute() else here
            ahead += _parts(target)
        elif ahead and os.path.isdir(step):
            here = step
        else:
            yield step
            return


def _parts(path: Path) -> list[str]:
    """The parts of a path, the last one first."""
    return [part for part in reversed(path.parts) if part != "/"]


def _link(path: Path) -> Path | None:
    try:
        return Path(os.readlink(path))
    except OSError:
        return None
