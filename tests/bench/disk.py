"""The bare disk: files per second that a program can make durable when it does nothing else.

A batch is: write each file, sync the file system, rename each file into its folder, sync again. Every
promise of durability comes down to this order; it is the ceiling for a server that receives in batches.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import tempfile
import time
from pathlib import Path

from tests.bench.report import Bench, table

NAME = "disk"
BATCHES = (1, 24, 64)
OCTETS = 4096
SECONDS = 1.0

_libc = ctypes.CDLL(None, use_errno=True)


def _sync(folder: int) -> None:
    """syncfs(2), which Python has no name for; raises OSError."""
    if _libc.syncfs(folder):
        raise OSError(ctypes.get_errno(), "syncfs")


def files_per_second(folder: Path, batch: int, seconds: float) -> float:
    """Batches of files of OCTETS, for so long."""
    (folder / "tmp").mkdir()
    (folder / "new").mkdir()
    content = os.urandom(OCTETS)
    os.sync()  # what was there before is not charged to this
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    done = 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        names = [(f"{folder}/tmp/{number}", f"{folder}/new/{number}") for number in range(done, done + batch)]
        for draft, _ in names:
            _write(draft, content)
        _sync(opened)
        for draft, final in names:
            os.rename(draft, final)
        _sync(opened)
        done += batch
    os.close(opened)
    return done / passed


def _write(path: str, content: bytes) -> None:
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(opened, content)
    os.close(opened)


def section(bench: Bench) -> str:
    """Files of 4 KB per second, for several sizes of a batch."""
    if not bench.wanted(NAME):
        return ""
    rates: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    for turn in range(bench.runs):
        for batch in BATCHES:
            bench.say(f"bare disk: batches of {batch}, run {turn + 1}")
            with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
                rates[batch].append(files_per_second(Path(folder), batch, SECONDS * bench.scale))
    rows = [[f"{batch}", f"{statistics.median(measured):,.0f}"] for batch, measured in rates.items()]
    return "## The bare disk\n\n" + table(["files of 4 KB in a batch", "files/s"], rows)
