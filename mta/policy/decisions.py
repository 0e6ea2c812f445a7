"""Decisions as values: what is decided, the replies that refuse, and what there is to say about why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from mta.protocol.address import NULL_PATH, Address
from mta.protocol.replies import Reply
from mta.store import Way

if TYPE_CHECKING:
    from mta.users.account import Account

SENDER_NOT_LOCAL: Final = Reply(550, "5.7.1", "only senders of our own domains may send here")
SENDER_NOT_YOURS: Final = Reply(
    553, "5.7.1", "you are logged in, and this sender is not one of your addresses"
)
LOCKED_OUT: Final = Reply(553, "5.7.1", "your account is disabled")
BAD_DOMAIN: Final = Reply(550, "5.1.2", "no mail can be sent to that domain")
DISABLED: Final = Reply(550, "5.2.1", "this mailbox is disabled")
OVER_QUOTA: Final = Reply(452, "4.2.2", "this mailbox is full, try again later")
LOOPING_ALIAS: Final = Reply(550, "5.4.6", "this alias leads back to itself")
WIDE_ALIAS: Final = Reply(550, "5.2.4", "this alias leads to too many addresses")
NOT_FORWARDED: Final = Reply(550, "5.7.1", "this return address is forged or too old")
NO_BOUNCE: Final = Reply(550, "5.7.1", "this return address takes reports from <> only")
BEEN_HERE: Final = Reply(554, "5.4.6", "this message was forwarded from here already, this is a loop")


class Step(NamedTuple):
    """One decision, for people, and what decided it."""

    text: str
    setting: str = ""
    """The key of the configuration; empty when no setting had a say."""
    row: str = ""
    """The row of a table: `alias team@example.org`, `user anna@example.org`."""


Trace: TypeAlias = list[Step]


class Asker(NamedTuple):
    """Who asks to send: what must be known of the session and of its transaction."""

    trusted: bool
    """A client of `relay.from`."""
    account: Account | None = None
    """Whose login it is."""
    sender: Address = NULL_PATH


class Goal(NamedTuple):
    """One place where a recipient's mail ends."""

    way: Way
    address: str
    """By which it is known there."""
    account: Account | None = None
    """Whose mailbox it is, when it is an account's."""
    via: str = ""
    """The alias that names it, for what is forwarded."""
    reverse_path: str = ""
    """What it leaves with instead of the sender."""


Verdict: TypeAlias = Reply | Sequence[Goal]
"""The reply that refuses a recipient, or where its mail goes: at least one goal, each way once."""
