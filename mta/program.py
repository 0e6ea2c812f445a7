"""Executing this program again: a process of ours is always executed, never forked from one with threads."""

from __future__ import annotations

import os
import sys


def command(module: str, *words: str) -> list[str]:
    """The command line that runs a module of ours under the same interpreter. The working folder and the
    user's own packages are not searched (-P, -s)."""
    return [sys.executable, "-sP", "-m", module, *words]


def environment() -> dict[str, str]:
    """Ours, and our module search path in its order, so that a child finds the same `mta` we are."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)}
