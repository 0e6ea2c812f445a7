"""How a start can fail: with an exit status of sysexits.h and one line for whoever started it."""

from __future__ import annotations

REFUSED = 1
USAGE = 2
SOFTWARE = 70  # a mistake of ours; only children end with it
TEMPORARY = 75
NOT_PERMITTED = 77
CONFIGURATION = 78


class CannotStart(Exception):
    """The text is the whole message: what, where, what to do. `status` is the exit status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
