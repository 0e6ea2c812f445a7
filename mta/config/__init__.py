"""The configuration: one file, one schema, immutable snapshots.

`load` reads and validates, `Snapshot` is what everything else works with, `changes` tells two of them apart,
`Watcher` says when to load again. The package imports nothing of ours.
"""

from mta.config.load import load
from mta.config.problems import ConfigError, Problem, mask
from mta.config.rules import listeners
from mta.config.schema import KEYS, Settings
from mta.config.snapshot import Change, Snapshot, changes, shown
from mta.config.units import Endpoint
from mta.config.watch import Watcher

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
