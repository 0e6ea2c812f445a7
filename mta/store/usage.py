"""How full mailboxes are, for their quotas: octets and messages, told by the names of their files.

A mailbox is counted in a helper thread when somebody wants to know, and again when its folders have changed
since, whoever changed them: a reader who removes mail makes room within a second or two. In between, what we
deliver ourselves is added. A mailbox so large that counting it takes long is counted less often.

A file whose name tells no size (another program's) is looked at.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from mta.store.envelope import Mailbox, Way
from mta.store.folders import Directory
from mta.store.system import System
from mta.store.threads import Helpers

_size: Final = re.compile(r",S=(\d{1,18})(?=[,:]|$)").search
_FRESH: Final = 1.0
"""Seconds for which a count is believed without a look."""
_COST: Final = 20
"""A count that took a second is believed for so many."""
_BLUR: Final = 50_000_000
"""Nanoseconds within which the clock of a file system may tell two changes as one."""
_MOST: Final = 10_000
"""Mailboxes remembered."""

Stamp = tuple[int, ...]
"""When the folders changed last; empty when that is too short ago to tell one change from the next."""


class Used(NamedTuple):
    """What is in a mailbox."""

    octets: int
    messages: int
    stamp: Stamp = ()


EMPTY: Final = Used(0, 0)


def count(system: System, root: Directory, mailbox: Mailbox, known: Used = EMPTY) -> Used:
    """What is in a mailbox below `root`, nothing in one that does not exist; `known` if nothing has changed
    since. Blocks; OSError."""
    maildir = root
    try:
        for part in mailbox.folder.split("/"):
            maildir = maildir.enter(part)
        folders = [maildir.enter(name) for name in ("new", "cur")]
    except FileNotFoundError:
        return EMPTY
    stamp = _stamp(system, folders)
    if stamp and stamp == known.stamp:
        return known
    sizes = [size for folder in folders for size in _sizes(system, folder)]
    return Used(sum(sizes), len(sizes), stamp)


def _stamp(system: System, folders: Iterable[Directory]) -> Stamp:
    changed = tuple(system.fstat(folder.fd).st_mtime_ns for folder in folders)
    return changed if max(changed) < time.time_ns() - _BLUR else ()


def _sizes(system: System, folder: Directory) -> Iterable[int]:
    for name in folder.names():
        if name.startswith("."):
            continue
        told = _size(name)
        if told is not None:
            yield int(told[1])
        else:
            with suppress(FileNotFoundError):
                yield system.stat(name, dir_fd=folder.fd, follow_symlinks=False).st_size


class NotCounted(Exception):
    """Let it be counted, then ask again."""

    def __init__(self, mailbox: Mailbox) -> None:
        super().__init__(mailbox.folder)
        self.mailbox = mailbox


class _Known:
    """What is remembered of a mailbox."""

    __slots__ = ("until", "used")

    def __init__(self, used: Used, until: float) -> None:
        self.used = used
        self.until = until


class Usage:
    """The counts, for the loop's thread."""

    def __init__(
        self,
        counter: Callable[[Mailbox, Used], Used],
        helpers: Helpers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`counter`: Store.used; `clock` tells monotonic seconds."""
        self._counter = counter
        self._helpers = helpers
        self._clock = clock
        self._known: OrderedDict[Mailbox, _Known] = OrderedDict()

    def of(self, mailbox: Mailbox) -> Used:
        """What is in a mailbox. Raises NotCounted."""
        known = self._known.get(mailbox)
        if known is None or self._clock() >= known.until:
            raise NotCounted(mailbox)
        return known.used

    def count(self, mailbox: Mailbox, done: Callable[[OSError | None], None]) -> None:
        """Look at it again, then `done`; never before this returns."""
        known = self._known.get(mailbox)
        before = known.used if known is not None else EMPTY
        began = self._clock()

        def counted(result: Used | OSError) -> None:
            if isinstance(result, OSError):
                done(result)
                return
            self._remember(mailbox, result, self._clock() - began)
            done(None)

        self._helpers.run(lambda: self._counter(mailbox, before), counted)

    def note(self, ways: Iterable[Way], octets: int) -> None:
        """A message of so many octets is in these mailboxes now."""
        if not self._known:
            return
        for way in ways:
            known = self._known.get(way) if isinstance(way, Mailbox) else None
            if known is not None:
                known.used = Used(known.used.octets + octets, known.used.messages + 1)

    def _remember(self, mailbox: Mailbox, used: Used, seconds: float) -> None:
        self._known[mailbox] = _Known(used, self._clock() + max(_FRESH, _COST * seconds))
        self._known.move_to_end(mailbox)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
