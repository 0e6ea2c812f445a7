"""What an account is, and what one look-up tells: values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

Key = tuple[str, str]
"""(local part, domain), both in their normal form (`names.fold`, lower-case A-labels)."""

CATCH_ALL: Final = "*"
"""The local part of the alias that takes what nobody else does."""

MOST_STEPS: Final = 10
"""Aliases in one chain; nobody follows more."""

ADMINISTRATOR: Final[Key] = ("", "")
"""The first administrator, looked up as if it were an address."""


class Role(StrEnum):
    """What a user may do beyond mail; each may do what those before may."""

    USER = "user"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True, slots=True)
class Account:
    """One user, without anything secret."""

    id: int
    name: str
    """The local part of its address."""
    domain: str
    """Lower-case A-labels."""
    folder: str
    """Where its mail is, below the tree: `name`, or `domain/name`."""
    role: Role
    enabled: bool
    quota_octets: int
    """0: no bound."""
    quota_messages: int
    """0: no bound."""

    @property
    def address(self) -> str:
        """`name@domain`."""
        return f"{self.name}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Alias:
    """An address whose mail goes to others."""

    local: str
    domain: str
    targets: tuple[str, ...]
    """Addresses, in the order in which they were added."""

    @property
    def address(self) -> str:
        """`local@domain`."""
        return f"{self.local}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Entry:
    """All that the database says of one address. It may be both an account and an alias."""

    account: Account | None
    targets: tuple[str, ...]
    """Where an alias of this address leads; empty when there is none."""


NOBODY: Final = Entry(None, ())
"""What it says of an address that it does not know."""


@dataclass(frozen=True, slots=True)
class Ban:
    """Who is not to be served: an address or a network when connecting, a user when logging in."""

    subject: str
    """A network in its canonical form, an address alone, or `name@domain`."""
    until: int | None
    """Epoch seconds; None: for ever."""
