"""The bounds that a recipient can meet: how many folders there may be, and how full a mailbox."""

from __future__ import annotations

from typing import Final, Protocol

from mta.policy.decisions import OVER_QUOTA, Goal, Step, Trace
from mta.protocol.replies import Reply
from mta.store import Domain, Mailbox, Way
from mta.users.account import Account

NO_ROOM_FOR_MAILBOX: Final = Reply(452, "4.2.2", "no room for another mailbox, try again later")
NO_ROOM_FOR_DOMAIN: Final = Reply(452, "4.3.1", "no room for another domain, try again later")


class Limits(Protocol):
    """`settings.limits`."""

    @property
    def mailboxes(self) -> int: ...
    @property
    def domains(self) -> int: ...


class Tree(Protocol):
    """The store, as far as it knows its folders without looking."""

    @property
    def mailboxes(self) -> int: ...
    @property
    def domains(self) -> int: ...
    def has_mailbox(self, folder: str) -> bool: ...
    def has_domain(self, name: str) -> bool: ...


class Counts(Protocol):
    """How full mailboxes are."""

    def of(self, mailbox: Mailbox) -> tuple[int, int, object]:
        """Octets and messages, and when they were counted. Raises NotCounted."""


def lack_of_room(way: Way, tree: Tree, limits: Limits, trace: Trace | None = None) -> Reply | None:
    """The refusal of one more folder: strangers may cause only so many."""
    if isinstance(way, Mailbox):
        there, most = tree.mailboxes, limits.mailboxes
        full = there >= most and not tree.has_mailbox(way.folder)
        reply, what = NO_ROOM_FOR_MAILBOX, "mailboxes"
    else:
        assert isinstance(way, Domain)
        there, most = tree.domains, limits.domains
        full = there >= most and not tree.has_domain(way.name)
        reply, what = NO_ROOM_FOR_DOMAIN, "domains"
    if trace is not None:
        trace.append(Step(f"there are {there} folders of {what}, {most} may be", f"limits.{what}"))
    return reply if full else None


def lack_of_quota(goal: Goal, counts: Counts, size: int, trace: Trace | None = None) -> Reply | None:
    """The refusal of a message of `size` octets (0: nobody said) for a mailbox that is full. Raises
    NotCounted."""
    account = goal.account
    if account is None or not (account.quota_octets or account.quota_messages):
        return None
    assert isinstance(goal.way, Mailbox)
    octets, messages, _ = counts.of(goal.way)
    if trace is not None:
        text = f"it holds {messages} messages and {octets} octets of {_quota(account)}"
        trace.append(Step(text, row=f"user {account.address}"))
    return OVER_QUOTA if is_over(account, octets, messages, size) else None


def is_over(account: Account, octets: int, messages: int, size: int) -> bool:
    """Whether a mailbox with so much in it can take no message of this size."""
    return bool(
        (account.quota_octets and octets + max(size, 1) > account.quota_octets)
        or (account.quota_messages and messages >= account.quota_messages)
    )


def _quota(account: Account) -> str:
    octets = f"{account.quota_octets} octets" if account.quota_octets else "any size"
    return f"{octets}, " + (f"{account.quota_messages} messages" if account.quota_messages else "any number")
