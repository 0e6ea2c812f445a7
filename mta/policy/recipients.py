"""Recipients of ours: from an address at one of our domains to the places where its mail ends.

    the address as it stands     an alias: its targets, each by these same rules
                                 an account: its mailbox
    before the subaddress mark   the same again
    a return address of ours     the sender it stands for (`mta.users.srs`), for reports only
    postmaster                   as at our first domain; else the first administrator, else its own mailbox
    *@domain                     the alias for all the rest
    local.mailboxes = "any"      the mailbox of that name

An alias that names itself means the mailbox behind it, so that one can forward and keep. What else leads in a
circle ends there, and is refused when nothing is left. Members of an alias that nobody has are left out: they
would be refused at the door, and after it there is nobody to refuse.

Only ASCII is folded to lower case (the Kelvin sign is no k), so that no look-alike becomes a name of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from mta.policy.decisions import (
    DISABLED,
    LOOPING_ALIAS,
    NO_BOUNCE,
    NOT_FORWARDED,
    WIDE_ALIAS,
    Asker,
    Goal,
    Step,
    Trace,
    Verdict,
)
from mta.protocol.address import NULL_PATH, Address, parse_path
from mta.protocol.replies import NO_SUCH_USER, Reply
from mta.store import CONFIRMATIONS, Domain, Mailbox
from mta.users.account import CATCH_ALL, MOST_STEPS, Account, Entry, Key
from mta.users.directory import NotCached
from mta.users.names import fold
from mta.users.srs import Srs, is_return_address

if TYPE_CHECKING:
    from mta.policy.policy import Policy

POSTMASTER: Final = "postmaster"
MOST_GOALS: Final = 1000
"""Places that one recipient may lead to."""

_MAILBOX: Final = re.compile(r"[a-z0-9][a-z0-9._=-]{0,63}")
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?!\d+\Z){_LABEL}")
"""A lower-case name whose last label is no number (RFC 1123 2.1), so that no address passes for a domain."""


class Book(Protocol):
    """What the database says. Never blocks in the server; each may raise NotCached there, and DatabaseDown in
    a command."""

    def entry(self, local: str, domain: str) -> Entry:
        """What is known of an address."""

    def administrator(self) -> Account | None:
        """The first administrator that is enabled, if there is one."""

    def srs(self) -> Srs:
        """What writes and reads return addresses."""


def key_of(address: Address) -> Key:
    """How an address of ours is looked up; the local part is empty for what is none: letters that stand for
    ASCII and are not (the Kelvin sign) are look-alikes."""
    local = fold(address.local)
    if local.isascii() and not address.local.isascii():
        return "", address.domain
    return local, address.domain


def foreign_way(domain: str) -> Domain | None:
    """The way to another domain; None for what can be no domain."""
    return Domain(domain) if _DOMAIN.fullmatch(domain) and domain != CONFIRMATIONS.name else None


mailbox_of: Final = lru_cache(maxsize=20_000)(Mailbox)
"""A Mailbox is checked when it is made; the same few are wanted again and again."""


class Resolution:
    """One recipient's way through the books."""

    __slots__ = ("_asker", "_book", "_circle", "_end", "_goals", "_policy", "_refusal", "_trace", "_visited")

    def __init__(
        self, policy: Policy, book: Book, asker: Asker, trace: Trace | None, end: Key | None = None
    ) -> None:
        """`end`: an account whose own aliases are not followed: all that matters is whether it is met."""
        self._end = end
        self._policy = policy
        self._book = book
        self._asker = asker
        self._trace = trace
        self._goals: dict[str, Goal] = {}
        self._visited: set[Key] = set()
        self._circle = False
        self._refusal: Reply | None = None

    def resolve(self, address: Address) -> Verdict:
        """Where mail for an address at one of our domains goes."""
        self._follow(address, ())
        if len(self._goals) > MOST_GOALS:
            return WIDE_ALIAS
        if self._goals:
            return tuple(self._goals.values())
        if self._circle and self._refusal in (None, NO_SUCH_USER):
            return LOOPING_ALIAS
        return self._refusal or NO_SUCH_USER

    def _follow(self, address: Address, chain: tuple[Key, ...]) -> None:
        """Add what this address leads to; `chain`: the aliases that led here."""
        if len(self._goals) > MOST_GOALS:
            return
        if address.domain not in self._policy.local_domains:
            self._forward(address, chain)
            return
        name = ""
        for key in lookups(address, self._policy.subaddress):
            entry = self._book.entry(*key)
            if entry.targets or entry.account is not None:
                self._take(address, key, entry, chain)
                return
            name = key[0]
        self._follow_unlisted(address, name, chain)

    def _take(self, address: Address, key: Key, entry: Entry, chain: tuple[Key, ...]) -> None:
        """There is such an entry."""
        if entry.targets and key not in chain and key != self._end:
            self._expand(key, entry.targets, chain)
        elif entry.account is not None:
            self._deliver(address, entry.account, chain)
        else:
            self._circle = True
            self._say("it leads back to itself: nothing comes of this", row=_alias(key))

    def _expand(self, key: Key, targets: tuple[str, ...], chain: tuple[Key, ...]) -> None:
        if key in self._visited:
            return  # another way led here before
        self._visited.add(key)
        if self._trace is not None:
            self._say(f"it is an alias of {', '.join(targets)}", row=_alias(key))
        if len(chain) == MOST_STEPS:
            self._circle = True
            self._say(f"more than {MOST_STEPS} aliases in a chain are not followed", row=_alias(key))
            return
        self._need(targets)
        for target in targets:
            address = _parsed(target)
            if address is not None:
                self._follow(address, (*chain, key))
            else:
                self._refuse(NO_SUCH_USER, f"{target} is no address", row=_alias(key))

    def _need(self, targets: tuple[str, ...]) -> None:
        """Ask for all of them before the first is followed: what is missing is fetched at once then."""
        if len(targets) == 1:
            return
        missing: list[Key] = []
        for address in filter(None, map(_parsed, targets)):
            if address.domain in self._policy.local_domains:
                missing += self._missing(address)
        if missing:
            raise NotCached(missing)

    def _missing(self, address: Address) -> Iterator[Key]:
        for key in lookups(address, self._policy.subaddress):
            try:
                self._book.entry(*key)
            except NotCached as wanted:
                yield from wanted.keys

    def _deliver(self, address: Address, account: Account, chain: tuple[Key, ...]) -> None:
        if not account.enabled:
            self._refuse(DISABLED, f"{account.address} is disabled", row=f"user {account.address}")
            return
        if self._trace is not None:
            self._say(f"it goes into the mailbox {account.folder}", row=f"user {account.address}")
        self._add(Goal(mailbox_of(account.folder), account.address if chain else str(address), account))

    def _forward(self, address: Address, chain: tuple[Key, ...]) -> None:
        """To another domain, on the word of an alias of ours."""
        way = foreign_way(address.domain)
        if way is None:
            self._refuse(NO_SUCH_USER, f"{address} cannot be sent to", row=_alias(chain[-1]))
            return
        path = self._return_path()
        if path and self._trace is not None:
            self._say(f"it is forwarded with the return address <{path}>", setting="local.domains")
        via = str(Address(*chain[-1]))
        self._add(Goal(way, str(address), via=via, reverse_path=path))

    def _return_path(self) -> str:
        """What the forwarded copy leaves with; empty: with its sender, which is <>, or ours already, or too
        long to be rewritten."""
        sender = self._asker.sender
        if sender == NULL_PATH or sender.domain in self._policy.local_domains:
            return ""
        written = self._book.srs().rewritten(sender, self._policy.home_domain)
        return str(written) if written is not None else ""

    # addresses that are in no table

    def _follow_unlisted(self, address: Address, name: str, chain: tuple[Key, ...]) -> None:
        """`name`: its local part as it was looked up last."""
        if is_return_address(address.local):
            self._return(address)
        elif name == POSTMASTER:
            self._follow_postmaster(address, chain)
        elif (entry := self._book.entry(CATCH_ALL, address.domain)).targets:
            self._take(address, (CATCH_ALL, address.domain), entry, chain)
        elif self._policy.any_mailbox and _MAILBOX.fullmatch(name):
            self._say(f"every name is a mailbox: {name}", setting="local.mailboxes")
            self._add(Goal(mailbox_of(name), str(address)))
        else:
            self._refuse(NO_SUCH_USER, "nobody has this address", setting="local.mailboxes")

    def _follow_postmaster(self, address: Address, chain: tuple[Key, ...]) -> None:
        """There is always one (RFC 5321 4.5.1)."""
        home = (POSTMASTER, self._policy.home_domain)
        entry = self._book.entry(*home)
        if entry.targets or entry.account is not None:
            self._take(address, home, entry, chain)
        elif (administrator := self._book.administrator()) is not None:
            self._say("postmaster without a mailbox of its own is the first administrator")
            self._deliver(address, administrator, chain)
        else:
            self._say("postmaster always exists, and nobody has claimed it")
            self._add(Goal(mailbox_of(POSTMASTER), str(address)))

    def _return(self, address: Address) -> None:
        """A report comes back to us for mail that we have forwarded. Only a report: whatever else could be
        sent through such an address would make an open relay of everybody who has seen one."""
        original = self._book.srs().original(address.local)
        if original is None:
            self._refuse(NOT_FORWARDED, "the return address is not one that we wrote lately")
        elif self._asker.sender != NULL_PATH:
            self._refuse(NO_BOUNCE, f"it stands for {original}, who gets reports only")
        elif original.domain in self._policy.local_domains:
            self._follow(original, ())
        elif (way := foreign_way(original.domain)) is not None:
            self._say(f"it stands for {original}, to whom the report goes on")
            self._add(Goal(way, str(original)))
        else:
            self._refuse(NOT_FORWARDED, f"it stands for {original}, to whom nothing can be sent")

    # what all of them use

    def _add(self, goal: Goal) -> None:
        where = goal.way.folder if isinstance(goal.way, Mailbox) else f"<{goal.address}>"
        self._goals.setdefault(where, goal)

    def _refuse(self, reply: Reply, text: str, *, setting: str = "", row: str = "") -> None:
        """The first refusal counts, should nothing else be left; that of a disabled one more than others'."""
        self._say(text, setting=setting, row=row)
        if self._refusal in (None, NO_SUCH_USER):
            self._refusal = reply

    def _say(self, text: str, *, setting: str = "", row: str = "") -> None:
        if self._trace is not None:
            self._trace.append(Step(text, setting, row))


def lookups(address: Address, subaddress: str) -> Iterator[Key]:
    """Under which keys an address is looked for in the tables, in this order."""
    local, domain = key_of(address)
    if local:
        yield local, domain
    if subaddress and subaddress in local and (base := local.partition(subaddress)[0]):
        yield base, domain


@lru_cache(maxsize=10_000)
def _parsed(target: str) -> Address | None:
    """A target as it stands in the table; None for what is no address."""
    parsed = parse_path(b"<%b>" % target.encode("utf-8", "replace"))
    return parsed[0] if parsed is not None and parsed[0].domain else None


def _alias(key: Key) -> str:
    return f"alias {key[0]}@{key[1]}"
