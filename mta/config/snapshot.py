"""A validated configuration as one immutable value that crosses a pipe, and what differs between two of them.

Settings are written out in the form of the file and validated again on the other side, so both sides always
have equal values. Where a value may hold a password, what is shown is masked; what crosses the pipe is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mta.config.declare import Applies
from mta.config.problems import mask
from mta.config.schema import KEYS, Settings
from mta.config.tokens import Plain


@dataclass(frozen=True)
class Snapshot:
    """Settings, where each key came from, and every file that was read (absolute, the main one first).

    An origin is `file:line:column`, `default`, `command line` or `control`.
    """

    settings: Settings
    origins: Mapping[str, str]
    files: tuple[Path, ...]

    def to_json(self) -> str:
        """All of it, passwords included, as one line of JSON."""
        files = [str(path) for path in self.files]
        return json.dumps(
            {"settings": _written(self.settings), "origins": dict(self.origins), "files": files}
        )

    @classmethod
    def from_json(cls, text: str) -> Snapshot:
        """The snapshot that `to_json` wrote. Raises ValueError for anything else."""
        data = json.loads(text)
        settings = Settings.model_validate(data["settings"])
        return cls(settings, data["origins"], tuple(map(Path, data["files"])))


@dataclass(frozen=True, slots=True)
class Change:
    """A key that changed, its old and new value as shown to people, and when the new one takes effect."""

    key: str
    old: str
    new: str
    applies: Applies


def changes(old: Snapshot | Settings, new: Snapshot | Settings) -> tuple[Change, ...]:
    """What differs, in the order of the file; passwords as ***."""
    before, after = _flat(_settings(old)), _flat(_settings(new))
    return tuple(
        Change(name, _show(name, before[name]), _show(name, after[name]), key.applies)
        for name, key in KEYS.items()
        if before[name] != after[name]
    )


def shown(settings: Settings) -> dict[str, str]:
    """Every key with its value as people may see it: bare text, lists with commas, passwords as ***."""
    return {name: _show(name, value) for name, value in _flat(settings).items()}


def _settings(given: Snapshot | Settings) -> Settings:
    return given.settings if isinstance(given, Snapshot) else given


def _written(settings: Settings) -> dict[str, Any]:
    """The settings in the form of the file."""
    return settings.model_dump(by_alias=True)


def _flat(settings: Settings) -> dict[str, Any]:
    written = _written(settings)
    return {name: _at(written, name) for name in KEYS}


def _at(tree: Plain, name: str) -> Plain:
    for part in name.split("."):
        tree = tree[part]
    return tree


def _show(name: str, value: Plain) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return mask(text) if KEYS[name].secret else text
