"""Read configuration files, bounded in time and memory, whatever lies at the path.

A FIFO must not block us, a device must not feed us for ever, 100 MB must not be read: the file is opened
without blocking, must be a regular one, and all files of one configuration together may have `MOST_OCTETS`.
What the text means is not known here.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mta.config.problems import Mark, Source, fault

MOST_OCTETS = 1_000_000
"""Octets that a configuration file and everything it includes may have together."""

_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}


class Reader:
    """Reads the files of one configuration and remembers them in order."""

    def __init__(self) -> None:
        self.files: list[Path] = []
        self._left = MOST_OCTETS

    def read(self, path: Path, wanted_at: Mark | None = None) -> Source:
        """The text of the file at `path`.

        `wanted_at` is the include directive that asked for it; complaints go there, else to the file itself.
        Raises ConfigError for a file that is missing, not regular, too large or not text.
        """
        place = wanted_at or Mark(Source(str(path), ""))
        try:
            octets = _read_regular(path, self._left + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise fault(place, f"cannot read {path}: {reason}") from error
        if len(octets) > self._left:
            raise fault(place, f"{path} is too large: {MOST_OCTETS} octets are the most")
        self._left -= len(octets)
        self.files.append(path)
        return Source(str(path), _decode(octets, path, place))


def _read_regular(path: Path, most: int) -> bytes:
    """At most `most` octets of a regular file. Raises OSError, or ValueError for what is no such file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"it is {_KINDS.get(stat.S_IFMT(mode), 'a device')}, not a file")
        return file.read(most)


def _decode(octets: bytes, path: Path, place: Mark) -> str:
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise fault(place, f"{path} is not UTF-8 text (line {line})") from error
    if "\0" in text:
        raise fault(place, f"{path} is not text: it holds a NUL octet")
    return text
