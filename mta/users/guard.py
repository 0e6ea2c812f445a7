"""The guard: decides who may log in, and takes its time with those who may not.

It works for the loop: questions come from it and verdicts are given in it, while two threads do the hashing
and ask the database. More than `MOST_WAITING` questions at once are not taken, so that a storm of guesses costs
a bounded amount of work and of memory.

What a stranger can learn is the same for every wrong answer. An unknown user costs one hash like a known one,
a disabled or banned one is refused like a wrong password, and the refusal of all of them comes at a moment
that was fixed before anything was looked up: so long after the question, by how often this address and this
account failed before. Who knows the password is never kept waiting for others' failures.

It never knows protocols, sessions or sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from mta.log.log import Log
from mta.loop import Loop
from mta.policy import IPAddress
from mta.protocol.scram import Verifier

if TYPE_CHECKING:
    from mta.users.account import Account
    from mta.users.accounts import Accounts
    from mta.users.directory import Directory

MOST_WAITING: Final = 200
THREADS: Final = 2


@dataclass(frozen=True, slots=True)
class Granted:
    account: Account


@dataclass(frozen=True, slots=True)
class Refused:
    """`why` is for the log: the client must not be able to tell one reason from another."""

    why: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Too many questions wait; come again later."""


@dataclass(frozen=True, slots=True)
class Down:
    """The database does not answer; `text` says why, for the log."""

    text: str


Verdict: TypeAlias = Granted | Refused | Busy | Down


class Guard:
    """All methods are called in the loop's thread; `done` is called there too, never before they return."""

    def __init__(self, loop: Loop, accounts: Accounts, directory: Directory, log: Log) -> None:
        raise NotImplementedError

    def configure(self, domains: Sequence[str], *, scram: bool) -> None:
        """`domains`: ours, the first one for users that name none; `scram`: verifiers are wanted."""
        raise NotImplementedError

    def check(self, user: str, password: str, client: IPAddress, done: Callable[[Verdict], None]) -> None:
        """May `user` (`name`, or `name@domain`) log in with this password from this address?"""
        raise NotImplementedError

    def verifier(self, user: str, client: IPAddress, done: Callable[[Verifier | Busy | Down], None]) -> None:
        """What SCRAM is to be spoken by with `user`: an invented one for users that have none."""
        raise NotImplementedError

    def admit(self, user: str, client: IPAddress, proven: bool, done: Callable[[Verdict], None]) -> None:
        """May `user` log in, who has `proven` to know the password, or failed to?"""
        raise NotImplementedError

    def close(self) -> None:
        """Finish what the threads are at."""
        raise NotImplementedError
