"""Socket activation, sd_listen_fds(3): listeners that the service manager has bound for us.

The name of a descriptor (FileDescriptorName= of the socket unit) is the service it is for. It serves in place
of a listener that the configuration names with the same service and address.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

_FIRST = 3
"""SD_LISTEN_FDS_START: the descriptors are this one and those after it."""


def inherited(environment: MutableMapping[str, str]) -> list[tuple[str, socket.socket]]:
    """The (service, socket) pairs handed to this process; the variables are taken out of the environment."""
    meant = environment.pop("LISTEN_PID", "") == str(os.getpid())
    count = environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if not meant or not count.isdecimal():
        return []
    return [(name, _adopt(fd)) for fd, name in zip(range(_FIRST, _FIRST + int(count)), names, strict=False)]


def _adopt(fd: int) -> socket.socket:
    os.set_inheritable(fd, False)
    adopted = socket.socket(fileno=fd)
    adopted.setblocking(False)
    return adopted
