"""Keys as they are pressed, from a terminal that echoes none of them."""

from __future__ import annotations

import os
import select
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NAMES: Final = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b": "escape",
    b"\r": "enter",
    b"\n": "enter",
    b"\x7f": "backspace",
    b"\x08": "backspace",
}


@contextmanager
def quiet(fd: int) -> Iterator[None]:
    """While inside, keys come one by one and unseen; Ctrl-C still interrupts."""
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def keys(fd: int, seconds: float) -> Iterator[str]:
    """What is pressed within this time, at the first key; EOFError when nothing will be any more."""
    if not select.select([fd], [], [], max(0.0, seconds))[0]:
        return
    octets = os.read(fd, 1024)
    if not octets:
        raise EOFError
    if octets in _NAMES:
        yield _NAMES[octets]
    elif not octets.startswith(b"\x1b"):
        for character in octets.decode("utf-8", "replace"):
            yield _NAMES.get(character.encode(), character)
