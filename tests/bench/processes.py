"""What a tree of processes has used, read from /proc: proc(5).

A server is all of its processes: those that live, and those that came and went during a measurement.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_KIB = re.compile(r"^(Pss|VmHWM):\s+(\d+) kB", re.MULTILINE)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The second field is the name, in parentheses, and may itself hold spaces and parentheses.
    return text.rpartition(")")[2].split()


def tree(root: int) -> dict[int, list[str]]:
    """The process `root` and all that descend from it, with their stat fields."""
    stats = {
        int(name): fields for name in os.listdir("/proc") if name.isdigit() and (fields := _stat(int(name)))
    }
    parents = {pid: int(fields[1]) for pid, fields in stats.items()}
    found = {root} & stats.keys()
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: stats[pid] for pid in found}


def named(root: int, word: str) -> list[int]:
    """Those of the tree whose command line holds this word."""
    return [pid for pid in tree(root) if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]


def cpu_seconds(root: int) -> float:
    """User and system time of the tree, with that of descendants that ended and were waited for."""
    return sum(sum(map(int, fields[11:15])) for fields in tree(root).values()) / _TICKS


def _kib(path: str) -> int:
    try:
        found = _KIB.search(Path(path).read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[2]) if found else 0


def proportional_octets(root: int) -> int:
    """Proportional set size: memory in user space, shared pages divided among those who share them."""
    return 1024 * sum(_kib(f"/proc/{pid}/smaps_rollup") for pid in tree(root))


def forget_peaks(root: int) -> None:
    """Let `peak_octets` count from now on."""
    for pid in tree(root):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_octets(root: int) -> int:
    """The highest resident set that any one process of the tree has had."""
    return 1024 * max(_kib(f"/proc/{pid}/status") for pid in tree(root))
