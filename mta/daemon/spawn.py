"""Executing a child: the program, its descriptors, its user.

A child is an executed program, never a fork of this one, so that no thread of ours can leave it a lock that
nobody holds. It has the descriptors that it is handed and no others, and no terminal: Ctrl-C is for the
supervisor, who ends its children in order.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mta import program
from mta.daemon.errors import NOT_PERMITTED, TEMPORARY, CannotStart
from mta.daemon.privileges import User


@dataclass(frozen=True)
class Kind:
    """What there is one child of: its name in logs and counters, and `module:factory` of its role.

    It is given the listeners of its `services`, and the certificate if it has any."""

    name: str
    factory: str
    services: frozenset[str] = frozenset()
    optional: bool = False
    """It runs only while one of its services is listened for."""


def spawn(kind: Kind, descriptors: Mapping[str, int], user: User | None) -> subprocess.Popen[bytes]:
    """Execute one child with these descriptors, by name, and as this user.

    Raises CannotStart when the program cannot be executed or the user not be set."""
    try:
        return subprocess.Popen(
            command(kind, descriptors, user),
            stdin=subprocess.DEVNULL,
            pass_fds=tuple(descriptors.values()),
            env=program.environment(),
            cwd="/",
            start_new_session=True,
            **_rights(user),
        )
    except (OSError, subprocess.SubprocessError) as error:
        status = NOT_PERMITTED if isinstance(error, PermissionError) else TEMPORARY
        whom = f" as {user.name}" if user else ""
        why = error.strerror if isinstance(error, OSError) else error
        raise CannotStart(status, f"the {kind.name} cannot be executed{whom}: {why}") from error


def command(kind: Kind, descriptors: Mapping[str, int], user: User | None) -> list[str]:
    """The words that mta/daemon/child.py parses."""
    words = [f"{what}={fd}" for what, fd in descriptors.items()]
    if user is not None:
        words.append(f"user={user.uid}:{user.gid}")
    return program.command("mta.daemon.child", kind.name, kind.factory, *words)


def _rights(user: User | None) -> dict[str, Any]:
    """No group but the user's own: what others share with the operator is not for mail."""
    return {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": [user.gid]}
