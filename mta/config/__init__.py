"""The configuration: one file, one schema, immutable snapshots.

`load` reads and validates, `Snapshot` is what everything else works with, `changes` tells two of them apart,
`Watcher` says when to load again. The package imports nothing of ours.
"""

from .load import load
from .problems import ConfigError, Problem, mask
from .rules import listeners
from .schema import KEYS, Settings
from .snapshot import Change, Snapshot, changes, shown
from .units import Endpoint
from .watch import Watcher

__all__ = [
    "KEYS",
    "Change",
    "ConfigError",
    "Endpoint",
    "Problem",
    "Settings",
    "Snapshot",
    "Watcher",
    "changes",
    "listeners",
    "load",
    "mask",
    "shown",
]
