"""The rules of one configuration, and the questions put to them: of the client, the sender, a recipient."""

from __future__ import annotations

from dataclasses import dataclass

from mta.config import Settings
from mta.config.units import IPAddress, Network
from mta.policy.clients import in_any
from mta.policy.decisions import (
    BAD_DOMAIN,
    LOCKED_OUT,
    SENDER_NOT_LOCAL,
    SENDER_NOT_YOURS,
    Asker,
    Goal,
    Step,
    Trace,
    Verdict,
)
from mta.policy.recipients import Book, Resolution, foreign_way, lookups, mailbox_of
from mta.protocol.address import NULL_PATH, Address
from mta.protocol.replies import RELAY_DENIED, Reply
from mta.users.account import CATCH_ALL, Account, Key


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one configuration; a session keeps those it began with."""

    local_domains: frozenset[str]
    relay_domains: frozenset[str]
    relay_from: tuple[Network, ...]
    any_mailbox: bool
    subaddress: str
    any_sender: bool
    home_domain: str
    """The first of ours: it completes what has none, and return addresses are there."""

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """The policy that a configuration asks for."""
        return cls(
            local_domains=frozenset(settings.local.domains),
            relay_domains=frozenset(settings.relay.domains),
            relay_from=tuple(settings.relay.from_),
            any_mailbox=settings.local.mailboxes == "any",
            subaddress=settings.local.subaddress,
            any_sender=settings.smtp.senders == "any",
            home_domain=settings.local.domains[0],
        )

    def trusts(self, client: IPAddress, trace: Trace | None = None) -> bool:
        """Whether this client may send to other domains without a login (`relay.from`)."""
        trusted = in_any(client, self.relay_from)
        if trace is not None:
            text = f"{client} is " + ("trusted" if trusted else "a stranger")
            trace.append(Step(text, "relay.from"))
        return trusted

    # senders

    def judge_sender(self, asker: Asker, book: Book, trace: Trace | None = None) -> Reply | None:
        """The refusal of a reverse-path, or None. May raise NotCached."""
        if asker.account is not None:
            return self._judge_own(asker.sender, asker.account, book, trace)
        local = asker.sender == NULL_PATH or asker.sender.domain in self.local_domains
        allowed = self.any_sender or local
        if trace is not None:
            text = "any sender may send here" if self.any_sender else "only our own senders may send here"
            trace.append(Step(text, "smtp.senders"))
        return None if allowed else SENDER_NOT_LOCAL

    def _judge_own(self, sender: Address, account: Account, book: Book, trace: Trace | None) -> Reply | None:
        """Who is logged in sends as itself, whatever its role: `<>` is nobody's. An account may have been
        disabled since."""
        now = book.entry(account.name, account.domain).account
        if now is None or not now.enabled:
            return LOCKED_OUT
        owned = sender.domain in self.local_domains and self._owns(account, sender, book, trace)
        if trace is not None:
            text = f"<{sender}> is {'' if owned else 'not '}an address of {account.address} alone"
            trace.append(Step(text, row=f"user {account.address}"))
        return None if owned else SENDER_NOT_YOURS

    def _owns(self, account: Account, sender: Address, book: Book, trace: Trace | None) -> bool:
        own = (account.name, account.domain)
        for key in lookups(sender, self.subaddress):
            if key == own:
                return True
            entry = book.entry(*key)
            if entry.targets or entry.account is not None:
                break
        goals = Resolution(self, book, Asker(trusted=False), trace, end=own).resolve(sender)
        return not isinstance(goals, Reply) and all(_is_of(goal, account) for goal in goals)

    # recipients

    def judge_recipient(
        self, recipient: Address, asker: Asker, book: Book, trace: Trace | None = None
    ) -> Verdict:
        """Where a message for this recipient goes, or the reply that refuses it. May raise NotCached."""
        if recipient.domain in self.local_domains:
            return self._judge_ours(recipient, asker, book, trace)
        if trace is not None:
            trace.append(self._sends_on(recipient, asker))
        if not (asker.trusted or asker.account is not None or recipient.domain in self.relay_domains):
            return RELAY_DENIED
        way = foreign_way(recipient.domain)
        return BAD_DOMAIN if way is None else (Goal(way, str(recipient)),)

    def keys_of(self, recipient: Address) -> list[Key]:
        """All that is looked up for an address at first, to be fetched at once."""
        if recipient.domain not in self.local_domains:
            return []
        return [*lookups(recipient, self.subaddress), (CATCH_ALL, recipient.domain)]

    def _judge_ours(self, recipient: Address, asker: Asker, book: Book, trace: Trace | None) -> Verdict:
        if trace is not None:
            trace.append(Step(f"mail for {recipient.domain} is ours", "local.domains"))
        elif recipient.local.isascii():
            # Nearly all there is: an account, by its own name.
            entry = book.entry(recipient.local.lower(), recipient.domain)
            account = entry.account
            if account is not None and account.enabled and not entry.targets:
                return (Goal(mailbox_of(account.folder), str(recipient), account),)
        return Resolution(self, book, asker, trace).resolve(recipient)

    def _sends_on(self, recipient: Address, asker: Asker) -> Step:
        """What decides whether mail for another domain is taken from this asker."""
        if recipient.domain in self.relay_domains:
            return Step(f"mail for {recipient.domain} is taken from anybody and sent on", "relay.domains")
        if asker.account is not None:
            return Step("who is logged in may send to other domains", row=f"user {asker.account.address}")
        who = "a trusted client may" if asker.trusted else "a stranger may not"
        return Step(f"{who} send to other domains", "relay.from")


def _is_of(goal: Goal, account: Account) -> bool:
    return goal.account is not None and goal.account.id == account.id
