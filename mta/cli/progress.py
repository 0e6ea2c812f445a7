"""How far a long command is, on standard error: on a terminal in one line that changes, else now and then."""

from __future__ import annotations

import sys
import time
from typing import Final

_EACH: Final = 0.5
_EACH_LINE: Final = 10.0
"""Seconds between two signs of life, on a terminal and elsewhere."""


class Progress:
    """Signs of life of something that takes longer than one of them."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._each = _EACH if self._terminal else _EACH_LINE
        self._due = time.monotonic() + self._each
        self._shown = 0

    def show(self, text: str) -> None:
        """This is where we are, if it is time to say so."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._each
        if self._terminal:
            print(f"\r{text:<{self._shown}}", end="", file=sys.stderr, flush=True)
            self._shown = len(text)
        else:
            print(text, file=sys.stderr)

    def end(self) -> None:
        """Leave the terminal with an empty line."""
        if self._shown:
            print(f"\r{'':<{self._shown}}\r", end="", file=sys.stderr, flush=True)
