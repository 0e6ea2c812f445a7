"""The commands of the administration protocol: who may give them, with which arguments, and what the host is
asked for each. A command is one object here; what it does is the host's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

LONGEST_PAUSE: Final = 3600
"""Seconds."""


class Rank(IntEnum):
    """What somebody may do; each may do what those before may."""

    USER = 0
    OPERATOR = 1
    ADMINISTRATOR = 2


class Report(NamedTuple):
    """HISTORIC_CONNEC, LIVE_CONNEC, BYTES_TRANS, USERS, STATUS: `reply` with the lines."""

    name: str


class Limit(NamedTuple):
    """MAX_CONNEC, MAX_USERS: how many there may be from now on."""

    name: str
    number: int


class Pause(NamedTuple):
    """TIMEOUT: let the receiver rest for so many seconds, then `reply`."""

    seconds: int


class AddUser(NamedTuple):
    user: str
    password: str


class DeleteUser(NamedTuple):
    user: str


class ResetPassword(NamedTuple):
    user: str


class ChangePassword(NamedTuple):
    """Of who is logged in."""

    old: str
    new: str


Order: TypeAlias = Report | Limit | Pause | AddUser | DeleteUser | ResetPassword | ChangePassword


class Refusal(Exception):
    """What `-ERR` is followed by."""


Words: TypeAlias = Sequence[str]


@dataclass(frozen=True, slots=True)
class Verb:
    """One command of the ACTIVE phase."""

    name: str
    arguments: str
    """As CAPA shows them, parted by blanks."""
    rank: Rank
    """The least that may give it."""
    order: Callable[[Words], Order] | None = None
    """What the host is asked, from the right number of words; None: the session answers by itself.
    Raises Refusal."""

    @property
    def syntax(self) -> str:
        return f"{self.name} {self.arguments}".rstrip()

    def order_of(self, words: Words) -> Order | None:
        """Raises Refusal."""
        if len(words) != len(self.arguments.split()):
            raise Refusal(f"SYNTAX: {self.syntax}")
        return self.order(words) if self.order else None


_number = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII).fullmatch


def _limit(name: str) -> Callable[[Words], Limit]:
    def order(words: Words) -> Limit:
        if not _number(words[0]) or int(words[0]) < 1:
            raise Refusal("NOT A POSITIVE INTEGER")
        return Limit(name, int(words[0]))

    return order


def _report(name: str) -> Callable[[Words], Report]:
    return lambda _words: Report(name)


def _pause(words: Words) -> Pause:
    if not _number(words[0]) or not 0 <= int(words[0]) <= LONGEST_PAUSE:
        raise Refusal(f"NOT AN INTEGER FROM 0 TO {LONGEST_PAUSE}")
    return Pause(int(words[0]))


_REPORTS: Final = ("HISTORIC_CONNEC", "LIVE_CONNEC", "BYTES_TRANS", "USERS", "STATUS")
_LIMITS: Final = ("MAX_CONNEC", "MAX_USERS")

VERBS: Final = {
    verb.name: verb
    for verb in (
        Verb("NOOP", "", Rank.USER),
        Verb("CAPA", "", Rank.USER),
        *(Verb(name, "", Rank.OPERATOR, _report(name)) for name in _REPORTS),
        *(Verb(name, "n", Rank.ADMINISTRATOR, _limit(name)) for name in _LIMITS),
        Verb("TIMEOUT", "s", Rank.ADMINISTRATOR, _pause),
        Verb("ADD_USER", "name password", Rank.ADMINISTRATOR, lambda words: AddUser(*words)),
        Verb("DELETE_USER", "name", Rank.ADMINISTRATOR, lambda words: DeleteUser(*words)),
        Verb("RESET_USER_PASSWORD", "name", Rank.ADMINISTRATOR, lambda words: ResetPassword(*words)),
        Verb("CHANGE_PASSWORD", "old new", Rank.USER, lambda words: ChangePassword(*words)),
        Verb("QUIT", "", Rank.USER),
    )
}
