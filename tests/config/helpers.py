"""What the tests of the configuration share."""

from __future__ import annotations

from pathlib import Path

from mta.config import ConfigError, Problem, Snapshot
from mta.config.load import load

LEAST = 'hostname = "mx.example.org"\nlocal: { domains = [ "example.org" ] }\n'
"""The smallest valid file; what a test adds begins in line 3."""

NOT_ROOT = 1000


def write(folder: Path, text: str, name: str = "mta.conf") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def loaded(folder: Path, more: str = "", *overrides: str, uid: int = NOT_ROOT) -> Snapshot:
    """The snapshot of the smallest file with `more` added."""
    return load(write(folder, LEAST + more), overrides, uid)


def problems(folder: Path, text: str, *overrides: str, uid: int = NOT_ROOT) -> tuple[Problem, ...]:
    """What is wrong with a file of this text; nothing is a failure."""
    try:
        load(write(folder, text), overrides, uid)
    except ConfigError as error:
        return error.problems
    raise AssertionError("loaded without a problem")


def problem(folder: Path, more: str, *overrides: str, uid: int = NOT_ROOT) -> Problem:
    """The one thing wrong with the smallest file when `more` is added."""
    (only,) = problems(folder, LEAST + more, *overrides, uid=uid)
    return only
