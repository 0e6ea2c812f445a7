"""A server that does not sync folders, for tests that must notice it. Python imports this by its name when
the folder stands in the module search path; nothing in the server knows of it."""

from __future__ import annotations

from collections.abc import Collection

from mta.store.folders import Directory
from mta.store.syncing import Syncing


def _forget(self: Syncing, folders: Collection[Directory]) -> None:
    """The entries stay in memory until the file system writes them by itself."""


Syncing.folders = _forget  # type: ignore[method-assign]
