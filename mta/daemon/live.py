"""Live settings: a value from the control port, put into the configuration in force until the next reload.

The port speaks integers only: seconds for durations, octets for sizes, 0 and 1 for what is true or false. A
value is read by the same kinds and held to the same rules as one of the file. Pure: from a snapshot to the
next one.

One name is no key of the configuration: `logger`, also `logging`, whether records of sessions are written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import reduce
from operator import getitem
from typing import Any, Final

from pydantic import ValidationError

from mta.config import KEYS, Settings, Snapshot
from mta.config.rules import check

ORIGIN: Final = "control"
"""The origin of a value that was set live."""

LOGGING: Final = ("logger", "logging")

LIVE: Final = tuple(name for name, key in KEYS.items() if key.live)
"""The keys that may be set so."""

_FLAGS: Final = {0: False, 1: True}
_WRITTEN: Final[Mapping[str, Any]] = {
    "duration": "{}s".format,
    "size": "{}B".format,
    "number": int,
    "true or false": lambda value: _FLAGS.get(value, value),
}
"""How the file would have an integer of this kind."""


class NotLive(Exception):
    """Why a value cannot be set: no such name, or out of range."""


def changed(snapshot: Snapshot, key: str, value: int) -> Snapshot:
    """The snapshot with one value changed. Raises NotLive."""
    if key not in LIVE:
        raise NotLive(f"{key}: no live setting")
    written = snapshot.settings.model_dump(by_alias=True)
    *groups, name = key.split(".")
    reduce(getitem, groups, written)[name] = _WRITTEN[KEYS[key].kind.name](value)
    origins = {**snapshot.origins, key: ORIGIN}
    settings = _validated(written)
    for finding in check(settings, origins, os.geteuid()):
        raise NotLive(finding.text)
    return Snapshot(settings, origins, snapshot.files)


def number(settings: Settings, key: str) -> str:
    """The value of a live setting as the port shows it."""
    value: Any = reduce(getattr, key.split("."), settings)
    return f"{value:.12g}"


def _validated(written: dict[str, Any]) -> Settings:
    try:
        return Settings.model_validate(written)
    except ValidationError as error:
        (fault, *_) = error.errors(include_url=False, include_input=False)
        raise NotLive(fault["msg"].removeprefix("Value error, ")) from error
