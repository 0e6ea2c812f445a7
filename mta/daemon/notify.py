"""sd_notify(3): short datagrams that tell the service manager how we are.

Without NOTIFY_SOCKET in the environment every word goes nowhere, so that callers need not ask.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress


class Notifier:
    """The line to the service manager; `interval` is how often (seconds) it wants to hear WATCHDOG, or
    None."""

    def __init__(self, address: str = "", interval: float | None = None) -> None:
        self.interval = interval
        # "@name" is the abstract name space, which the kernel spells with a leading zero octet.
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Notifier:
        """Take the variables out of the environment too: they are for us, not for our children."""
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        meant = environment.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        # Half the time it would wait, as sd_watchdog_enabled(3) advises.
        interval = int(microseconds) / 2e6 if microseconds.isdecimal() and meant else None
        return cls(address, interval or None)

    def ready(self, status: str) -> None:
        """The configuration is in force in every child; after a start and after each reload."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload begins. The time lets the manager tell this reload's READY from an earlier one."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def status(self, text: str) -> None:
        self._tell(f"STATUS={text}")

    def stopping(self) -> None:
        self._tell("STOPPING=1", "STATUS=ending its sessions")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def _tell(self, *words: str) -> None:
        if not self._address:
            return
        # A manager that is away or slow is its own affair: mail goes on.
        away = suppress(BlockingIOError, ConnectionRefusedError, FileNotFoundError)
        with away, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as line:
            line.sendto("\n".join(words).encode(), self._address)
