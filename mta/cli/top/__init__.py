"""`mta top`: a live view of the running server: rates, sessions, queue.

`figures` keeps what the counters said over the last minutes, `state` is what is on the screen and what a
key does to it, `drawing` makes lines of it, `terminal` reads keys, and `command` wires them.
"""

from mta.cli.top.command import run

__all__ = ["run"]
