"""The configuration: one file, one schema, immutable snapshots.

`load.load` reads and validates, `Snapshot` is what everything else works with, `changes` tells two of them
apart, `watch.Watcher` says when to load again. The package imports nothing of ours.

Those two modules are imported by who needs them: a process that is handed a snapshot reads no file and
watches none, and does without the megabytes of what can.
"""

from mta.config.problems import ConfigError, Problem, mask
from mta.config.rules import listeners
from mta.config.schema import KEYS, Settings
from mta.config.snapshot import Change, Snapshot, changes, shown
from mta.config.units import Endpoint

__all__ = [
    "KEYS",
    "Change",
    "ConfigError",
    "Endpoint",
    "Problem",
    "Settings",
    "Snapshot",
    "changes",
    "listeners",
    "mask",
    "shown",
]
