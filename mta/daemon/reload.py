"""The configuration in force, and how the next one takes its place: all of it, or nothing.

A reload reads the file, keeps what only a restart can change, reads the certificate, binds new listeners,
and only then, when nothing can fail any more, is the new configuration the one in force. Whatever goes
wrong before leaves the running one as it was, and the outcome says why. One exception: a certificate that
went bad on disk while its names stayed the same keeps nobody from changing other things; the old one
serves on.

A live setting (`set`) is one value of it replaced, which lasts until the next reload.

This module must never know who asks for a reload, or how the children are told.
"""

from __future__ import annotations

import os
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from mta.config import Change, ConfigError, Settings, Snapshot, changes, listeners
from mta.config.declare import AT_ONCE, RESTART
from mta.config.load import load
from mta.config.rules import check
from mta.daemon import live
from mta.daemon.certificates import Pair, read_pair
from mta.daemon.errors import CONFIGURATION, REFUSED, CannotStart
from mta.daemon.listeners import ListenerKey, Listeners
from mta.daemon.privileges import User, own_file
from mta.server.tls import BadCertificate

Message = dict[str, Any]

_IN_CLEAR = frozenset({"metrics"})
"""Services without TLS, in a process of their own."""

OWN_DESCRIPTORS = 100
"""What a process has open beside its connections: listeners, pipes, files being written, folders."""


@dataclass(frozen=True)
class Source:
    """Where the configuration comes from: the file, and the `--set` words of the command line."""

    file: Path
    overrides: tuple[str, ...] = ()

    def load(self) -> Snapshot:
        """Read it. Raises ConfigError."""
        return load(self.file, self.overrides)

    def socket(self) -> Path:
        """Where a server with this configuration answers. Raises ConfigError."""
        return self.load().settings.application.socket


@dataclass(frozen=True)
class Outcome:
    """How a reload went: exit status 0, 75 or 78, why it failed, what changed, and what is wrong all the
    same."""

    status: int = 0
    text: str = ""
    changes: tuple[Change, ...] = ()
    certificate: Pair | None = None
    """A certificate that has come into force with this."""
    bad_certificate: str = ""

    def answer(self) -> Message:
        """For the local socket. Whoever puts a new certificate in place wants to hear that it is not used."""
        return {
            "status": self.status or (CONFIGURATION if self.bad_certificate else 0),
            "text": self.text or self.bad_certificate,
            "changes": [asdict(change) for change in self.changes],
            "certificate": self.certificate is not None,
        }


class InForce:
    """The snapshot the server runs with, its serial, its listeners and its certificate.

    Raises CannotStart when the first snapshot cannot be put into force."""

    def __init__(
        self,
        source: Source,
        snapshot: Snapshot,
        listening: Listeners,
        services: Set[str],
        user: User | None,
    ) -> None:
        self.snapshot = snapshot
        self.logging = True
        """Whether records of sessions are written."""
        self.listening = listening
        self._services = services
        self._user = user
        self.serial = 1
        self.pair = configured_pair(snapshot.settings)
        self._source = source
        listening.change(wanted(snapshot.settings, self._services))
        self.own_logs()

    @property
    def settings(self) -> Settings:
        return self.snapshot.settings

    @property
    def files(self) -> list[Path]:
        """All files that a change of should lead to a reload."""
        tls = self.settings.tls
        return [*self.snapshot.files, *(path for path in (tls.certificate, tls.key) if path)]

    def reload(self) -> Outcome:
        """Read everything again and put it into force."""
        try:
            read = self._source.load()
            differing = changes(self.snapshot, read)
            return self._replace(_without_restart(self.snapshot, read, differing), differing)
        except ConfigError as error:
            return Outcome(CONFIGURATION, str(error))
        except CannotStart as error:
            return Outcome(error.status, str(error))

    def set(self, key: str, value: int) -> Outcome:
        """Put one live setting into force, until the next reload."""
        before = self.get(key)
        try:
            if key in live.LOGGING:
                self.logging = value != 0
            else:
                self.snapshot = live.changed(self.snapshot, key, value)
        except live.NotLive as error:
            return Outcome(REFUSED, str(error))
        self.serial += 1
        return Outcome(changes=(Change(key, before, self.get(key), AT_ONCE),))

    def get(self, key: str) -> str:
        """A live setting as the control port shows it. "" when there is none of this name."""
        if key in live.LOGGING:
            return str(int(self.logging))
        return live.number(self.settings, key) if key in live.LIVE else ""

    def message(self, services: Set[str]) -> tuple[Message, list[int]]:
        """What a child with these services is told, and the descriptors with it; a key only who needs it."""
        pair = self.pair if services - _IN_CLEAR else None
        sockets = {key: each for key, each in self.listening.sockets.items() if key[0] in services}
        return {
            "type": "configuration",
            "serial": self.serial,
            "snapshot": self.snapshot.to_json(),
            "logging": self.logging,
            "certificate": asdict(pair) if pair else None,
            "listeners": [{"service": service, "address": address} for service, address in sockets],
        }, [each.fileno() for each in sockets.values()]

    def own_logs(self) -> None:
        """Let the log files be the user's, before the logger opens them. Raises CannotStart."""
        _own_logs(self.settings, self._user)

    def _replace(self, snapshot: Snapshot, differing: tuple[Change, ...]) -> Outcome:
        pair, trouble = self._next_pair(snapshot.settings)
        _own_logs(snapshot.settings, self._user)
        self.listening.change(wanted(snapshot.settings, self._services))
        renewed = pair if pair != self.pair else None
        if renewed or differing or not self.logging:
            self.serial += 1
        self.logging = True
        self.snapshot, self.pair = snapshot, pair
        return Outcome(changes=differing, certificate=renewed, bad_certificate=trouble)

    def _next_pair(self, settings: Settings) -> tuple[Pair | None, str]:
        """The pair to go on with, and what is wrong when that is the old one for want of a better."""
        try:
            return configured_pair(settings), ""
        except CannotStart as error:
            if settings.tls != self.settings.tls:
                raise
            return self.pair, str(error)


def wanted(settings: Settings, services: Set[str]) -> list[ListenerKey]:
    """The listeners that the settings ask for, of these services."""
    return [(service, str(endpoint)) for service, endpoint in listeners(settings) if service in services]


def _own_logs(settings: Settings, user: User | None) -> None:
    for path in (settings.application.log.path, settings.application.log.transcript):
        if path is not None and user is not None:
            own_file(path, user)


def needed_descriptors(settings: Settings) -> int:
    """How many a process with all the connections that the limits allow has open. Each may be one of POP3,
    which holds the lock of a mail drop, too."""
    each = 2 if settings.pop3.listen or settings.pop3s.listen else 1
    return each * settings.limits.connections + OWN_DESCRIPTORS


def configured_pair(settings: Settings) -> Pair | None:
    """The certificate that the settings name, None without. Raises CannotStart when it cannot be used."""
    if settings.tls.certificate is None:
        return None
    try:
        return read_pair(settings.tls.certificate, settings.tls.key)
    except BadCertificate as error:
        raise CannotStart(CONFIGURATION, f"tls: {error}") from error


def _without_restart(running: Snapshot, read: Snapshot, differing: Sequence[Change]) -> Snapshot:
    """What was read, but with the running values of the keys that only a restart applies.

    Raises CannotStart when the two together make a configuration that could not have been started with."""
    kept = [change.key for change in differing if change.applies == RESTART]
    mixed, old = (each.settings.model_dump(by_alias=True) for each in (read, running))
    for key in kept:
        *groups, name = key.split(".")
        reduce(getitem, groups, mixed)[name] = reduce(getitem, groups, old)[name]
    settings = Settings.model_validate(mixed)
    origins = {**read.origins, **{key: running.origins[key] for key in kept}}
    for finding in check(settings, origins, os.geteuid()):
        raise CannotStart(CONFIGURATION, f"{finding.text}; {', '.join(kept)} would need a restart")
    return Snapshot(settings, origins, read.files)
