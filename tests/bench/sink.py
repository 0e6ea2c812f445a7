"""The next hop: smtp-sink(1) of Postfix, which takes every message, forgets it, and counts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = shutil.which("smtp-sink", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

_PATIENCE = 60.0
"""Seconds to wait for one more message."""
_LOOK = 0.01
_COUNT = re.compile(rb"mesg=(\d+)\r")
_TAIL = 200
"""Octets of what it says that hold its last count."""


class Sink:
    """A running sink."""

    def __init__(self, said: Path) -> None:
        self._said = said

    def taken(self) -> int:
        """How many messages it has taken since it was started."""
        with self._said.open("rb") as said:
            said.seek(max(0, os.fstat(said.fileno()).st_size - _TAIL))
            counts = _COUNT.findall(said.read())
        return int(counts[-1]) if counts else 0

    def await_taken(self, count: int) -> float:
        """Return the perf_counter at which it had taken `count` of them.

        Raises RuntimeError when none comes for a minute."""
        last, since = -1, time.perf_counter()
        while (taken := self.taken()) < count:
            if taken != last:
                last, since = taken, time.perf_counter()
            elif time.perf_counter() - since > _PATIENCE:
                raise RuntimeError(f"{taken} of {count} messages were sent on, and no more come")
            time.sleep(_LOOK)
        return time.perf_counter()


@contextmanager
def sink(port: int, folder: Path) -> Iterator[Sink]:
    """A sink on this port of 127.0.0.1; what it says is kept in `folder`."""
    assert PROGRAM is not None
    said = folder / "sink"
    owner = ["-u", "nobody"] if os.geteuid() == 0 else []
    with said.open("wb") as output:
        process = subprocess.Popen(
            [PROGRAM, *owner, "-c", f"127.0.0.1:{port}", "1000"], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Sink(said)
    finally:
        process.terminate()
        process.wait()
