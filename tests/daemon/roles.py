"""Children for tests: they take connections instead of mail, and tell what they were told.

Each connection is answered with one line of JSON: the process, the debug setting, the keys of the listeners,
and whether there is a certificate. What a connection sends is then obeyed: `die`, `fail`, `hang`, or nothing.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from mta.config import Snapshot
from mta.counters import CONNECTIONS_CURRENT, Row
from mta.log.log import Log
from mta.loop import Loop


class Obedient:
    """Does as it is told."""

    def __init__(self, loop: Loop, log: Log, row: Row) -> None:
        self.loop = loop
        self.row = row
        self.listeners: dict[tuple[str, str], socket.socket] = {}
        self.described: dict[str, Any] = {}

    def configure(
        self,
        snapshot: Snapshot,
        listeners: Mapping[tuple[str, str], socket.socket],
        context: ssl.SSLContext | None,
    ) -> None:
        for listener in self.listeners.values():
            self.loop.unwatch(listener.fileno())
        self.listeners = dict(listeners)
        for listener in listeners.values():
            self.loop.watch(listener.fileno(), partial(self.greet, listener))
        self.described = {
            "process": os.getpid(),
            "debug": snapshot.settings.application.debug,
            "listeners": [f"{service}={address}" for service, address in listeners],
            "tls": context is not None,
        }

    def greet(self, listener: socket.socket, _events: int) -> None:
        peer, _ = listener.accept()
        self.row.add(CONNECTIONS_CURRENT["smtp"])
        peer.sendall(json.dumps(self.described).encode() + b"\n")
        self.loop.watch(peer.fileno(), lambda _events: self.obey(peer))

    def obey(self, peer: socket.socket) -> None:
        match peer.recv(100):
            case b"die":
                os._exit(3)
            case b"fail":
                # A thread that waits for ever, as helpers wait for work, is no reason to linger.
                threading.Thread(target=threading.Event().wait).start()
                raise ValueError("a mistake")
            case b"fail in a thread":
                threading.Thread(target=self.fail).start()
            case b"hang":
                while peer.recv(100):
                    pass
            case b"":
                self.loop.unwatch(peer.fileno())
                peer.close()

    def fail(self) -> None:
        raise ValueError("a mistake")

    def request(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"status": 0, "echo": request["request"]}

    def reopen(self) -> None:
        raise AssertionError("only the logger is told to reopen")

    def stop(self) -> None:
        self.loop.stop()


class Reluctant(Obedient):
    """Finishes only once a connection has been made to it and closed again."""

    def stop(self) -> None:
        self.stopping = True

    def obey(self, peer: socket.socket) -> None:
        if not peer.recv(100) and self.stopping:
            self.loop.stop()


class Unable(Obedient):
    """Cannot use any configuration."""

    def configure(self, *_: object) -> None:
        raise OSError("there is no soil to grow on")


class Confused(Obedient):
    """Has the configuration refused when it says debug."""

    def configure(
        self,
        snapshot: Snapshot,
        listeners: Mapping[tuple[str, str], socket.socket],
        context: ssl.SSLContext | None,
    ) -> None:
        if snapshot.settings.application.debug:
            raise OSError("debug confuses me")
        super().configure(snapshot, listeners, context)


class Stillborn(Obedient):
    """Dies before it begins."""

    def __init__(self, loop: Loop, log: Log, row: Row) -> None:
        sys.exit(4)
