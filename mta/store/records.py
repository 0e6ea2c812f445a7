"""Messages for several places: accepted by their record in .commit, then linked everywhere."""

from __future__ import annotations

from typing import NamedTuple


class Unfinished(NamedTuple):
    """An accepted message that is not at all its places yet; it is safe, and tried again."""

    id: str
    text: str
    """What the system said, for the log."""


class Recovery(NamedTuple):
    """What `Store.open` found in .commit."""

    finished: tuple[str, ...]
    """Identifiers of messages that are now at all their places."""
    unfinished: tuple[Unfinished, ...]
    """Those that still are not; they are tried again."""
    broken: tuple[Unfinished, ...]
    """Records that cannot be read, moved to .OTHER_SERVERS/.error with the reason beside them."""
