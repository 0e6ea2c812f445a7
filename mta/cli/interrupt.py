"""Ctrl-C where something has to be put back in order before the end: a terminal, mostly."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def orderly() -> Iterator[None]:
    """Inside, Ctrl-C first undoes what has begun there; then it ends the program, as anywhere else."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
