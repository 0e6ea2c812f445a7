"""A rehearsal: a session without a client, a socket or a message, to see what the server would answer.

The session is the server's own, and so are the envelope and the policy behind it; only the stage is made up.
The books are open ones, which block and miss nothing; the tree is looked at, never touched; nobody has sent
anything in this hour. What was decided, and by what, is in `trace`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mta.config import Settings
from mta.log.log import Log
from mta.policy import Policy, Trace
from mta.protocol.events import NEED_DATA, PAUSED, Closed, Recipient, Sender
from mta.protocol.smtp.server import SmtpServer
from mta.server.connection import Transport
from mta.server.desk import Client, Rules
from mta.server.smtp.addressing import Addressing
from mta.server.smtp.hourly import Hourly
from mta.store import Mailbox, Used
from mta.store.folders import OTHER_SERVERS, Directory
from mta.store.system import System
from mta.store.usage import EMPTY, count
from mta.users.account import Account
from mta.users.accounts import Accounts
from mta.users.books import OpenBooks
from mta.users.errors import DatabaseDown

_SESSION = "rehearsal"


class Rehearsal:
    """One session, which begins with EHLO. It is a Visit."""

    def __init__(
        self, settings: Settings, accounts: Accounts, client: Client, account: Account | None
    ) -> None:
        """`account`: whose login it is."""
        self.trace: Trace = []
        self.desk = _Desk(_Books(accounts), _Counts(settings.application.maildir.path), _Tree.of(settings))
        self.desk.hourly.messages = settings.users.messages
        self.desk.hourly.recipients = settings.users.recipients
        self.rules = Rules(settings, Policy.of(settings), None, frozenset())
        self.account = account
        self.connection: Transport | None = None
        self.session = SmtpServer(self.rules.terms(_SESSION, client))
        self.session.tls = settings.tls.certificate is not None
        self.session.open()
        if account is not None:
            self.session.user, self.session.trusted = account.address, True
        self.envelope = Addressing(self, self.trace)
        self.say(b"EHLO rehearsal.example")

    @property
    def offers_login(self) -> bool:
        return self.session.terms.login is not None

    def say(self, line: bytes) -> str:
        """The reply to a command. Raises DatabaseDown, OSError."""
        self.session.data_to_send()
        self.session.receive_data(line + b"\r\n")
        while True:
            event = self.session.next_event()
            if event in (NEED_DATA, PAUSED) or isinstance(event, Closed):
                break
            if isinstance(event, Sender):
                self.envelope.begin(event)
            elif isinstance(event, Recipient):
                self.envelope.add(event)
        said = self.session.data_to_send().decode("ascii")
        return said.rstrip("\r\n").removesuffix(f" (session {_SESSION})")


class _Books(OpenBooks):
    """Nothing is ever fetched, as nothing is ever missing."""

    def fetch(self, keys: object, done: Callable[[DatabaseDown | None], None]) -> None:
        raise AssertionError(f"{keys} cannot be missing")


class _Counts:
    """Mailboxes, counted when they are asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, mailbox: Mailbox) -> Used:
        if not self._root.is_dir():
            return EMPTY
        system = System()
        fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return count(system, Directory(system, fd, ""), mailbox)

    def count(self, mailbox: Mailbox, done: Callable[[OSError | None], None]) -> None:
        raise AssertionError(f"{mailbox} is counted at once")


@dataclass(frozen=True)
class _Tree:
    """The folders that there are."""

    root: Path
    names: frozenset[str]
    others: frozenset[str]

    @classmethod
    def of(cls, settings: Settings) -> _Tree:
        root = settings.application.maildir.path
        return cls(root, _folders(root), _folders(root / OTHER_SERVERS))

    @property
    def mailboxes(self) -> int:
        return len(self.names)

    @property
    def domains(self) -> int:
        return len(self.others)

    def has_mailbox(self, folder: str) -> bool:
        return folder.partition("/")[0] in self.names

    def has_domain(self, name: str) -> bool:
        return name in self.others


def _folders(path: Path) -> frozenset[str]:
    if not path.is_dir():
        return frozenset()
    return frozenset(each.name for each in path.iterdir() if each.name[0] != "." and each.is_dir())


class _Clock:
    def __init__(self) -> None:
        self.clock = time.monotonic


@dataclass
class _Desk:
    books: _Books
    usage: _Counts
    store: _Tree
    hourly: Hourly = field(default_factory=Hourly)
    loop: _Clock = field(default_factory=_Clock)

    @property
    def log(self) -> Log:
        raise AssertionError("nothing is logged that did not happen")

    def has_space(self, octets: int = 0) -> bool:
        """The disk has as much space as it has when the message comes."""
        return octets >= 0
