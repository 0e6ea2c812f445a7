"""A start, up to the first child: all that can be wrong is found here, and told in one line.

The order matters. The descriptor limit comes before anything is opened, the tree's lock before the ports,
since whoever has the one has the others too, and the ports before the children. Whatever fails leaves
nothing behind but folders.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mta import hints
from mta.counters import Counters
from mta.daemon import activation
from mta.daemon.listeners import Listeners
from mta.daemon.lock import lock_tree
from mta.daemon.privileges import (
    User,
    make_room,
    own_database,
    own_file,
    own_folder,
    raise_descriptor_limit,
    whom_to_become,
)
from mta.daemon.reload import InForce, Source
from mta.daemon.spawn import Kind
from mta.log.log import open_pipe

LOGGER = Kind("logger", "mta.log.logger:Logger")
RECEIVER = Kind(
    "receiver",
    "mta.server.receiver:Receiver",
    services=frozenset(
        {"smtp", "submission", "submissions", "datagram", "control", "management", "pop3", "pop3s"}
    ),
)
RELAY = Kind("relay", "mta.relay.runner:Relay")
METRICS = Kind("metrics", "mta.metrics.role:Metrics", services=frozenset({"metrics"}), optional=True)
WORKERS = (RECEIVER, RELAY, METRICS)


@dataclass(frozen=True)
class Ground:
    """What a supervisor stands on: the configuration in force, and the descriptors its children share.

    `user` is whom they become, None for ours; `most_descriptors` is the limit for each process."""

    in_force: InForce
    user: User | None
    most_descriptors: int
    counters: Counters
    lock: int
    log_read: int
    log_write: int
    hints_read: socket.socket
    hints_write: socket.socket

    def descriptors(self, kind: Kind) -> Mapping[str, int]:
        """What a child of this kind inherits."""
        common = {"log": self.log_write, "counters": self.counters.fd}
        if kind == LOGGER:
            return {**common, "pipe": self.log_read}
        if kind == METRICS:
            return common
        return {**common, "lock": self.lock, **self._hints(kind)}

    def _hints(self, kind: Kind) -> Mapping[str, int]:
        """The line on which the receiver tells the relay of new letters. Both ends stay here too, so that
        either of them may die and find it again."""
        if kind == RECEIVER:
            return {"hints": self.hints_write.fileno()}
        return {"hints": self.hints_read.fileno()} if kind == RELAY else {}


def prepare(source: Source, workers: Sequence[Kind]) -> Ground:
    """Everything a server needs, checked. Raises ConfigError or CannotStart."""
    snapshot = source.load()
    settings = snapshot.settings
    most_descriptors = raise_descriptor_limit()
    user = whom_to_become(settings.application.user)
    own_folder(settings.application.maildir.path, user)
    make_room(settings.application.socket, user)
    own_database(settings.users.database, user)
    lock = _lock(settings.application.maildir.path, user)
    listening = Listeners(activation.inherited(os.environ))
    in_force = InForce(source, snapshot, listening, served(workers), user)
    log_read, log_write = open_pipe()
    return Ground(
        in_force, user, most_descriptors, Counters.create(), lock, log_read, log_write, *hints.pair()
    )


def _lock(tree: Path, user: User | None) -> int:
    """Lock the tree. The file is the user's: a command that has become the owner of the tree locks it, too,
    when no server runs. Raises CannotStart."""
    if user is not None:
        own_file(tree / ".lock", user, 0o600)
    return lock_tree(tree)


def served(workers: Sequence[Kind]) -> frozenset[str]:
    """The services that these workers have between them; nobody would answer at the ports of others."""
    return frozenset().union(*(kind.services for kind in workers))
