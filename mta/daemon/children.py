"""Children: each is started, watched, told things, and started again when it dies.

A child is an executed program, never a fork of this one, so that no thread of ours can leave it a lock that
nobody holds, and it has only the descriptors that it is handed. Its end is seen by a pidfd in the loop.
The first new start is at once; a child that keeps dying waits longer each time, and one that has lived a while
is forgiven.

This module knows processes. It must never know what a configuration says or what a child does.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mta.channel import Channel
from mta.loop import Loop, Timer

Message = dict[str, Any]
Answer = Callable[[Message], None]

PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before the first, second, ... new start; the last repeats."""

FORGIVEN = 60.0
"""Seconds of life after which earlier deaths no longer count."""


@dataclass(frozen=True)
class Kind:
    """What there is one child of: its name in logs and counters, and `module:factory` of its role."""

    name: str
    factory: str


@dataclass(frozen=True)
class User:
    """Whom children become when the supervisor is root."""

    name: str
    uid: int
    gid: int


def environment() -> dict[str, str]:
    """Ours, and our module search path in its order, so that a child finds the same `mta` we are."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)}


def spawn(kind: Kind, descriptors: Mapping[str, int], user: User | None) -> subprocess.Popen[bytes]:
    """Execute one child with these descriptors and none but them, in a session of its own.

    Its own session, since Ctrl-C at a terminal is for the supervisor, who ends it in order. Raises OSError or
    subprocess.SubprocessError when the program cannot be executed or the user not be set."""
    words = [f"{what}={fd}" for what, fd in descriptors.items()]
    rights: dict[str, Any] = {}
    if user is not None:
        words.append(f"user={user.uid}:{user.gid}")
        rights = {"user": user.uid, "group": user.gid, "extra_groups": [user.gid]}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "mta.daemon.child", kind.name, kind.factory, *words],
        stdin=subprocess.DEVNULL,
        pass_fds=tuple(descriptors.values()),
        env=environment(),
        cwd="/",
        start_new_session=True,
        **rights,
    )
