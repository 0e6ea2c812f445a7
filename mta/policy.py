"""The policy: who may send what to whom, and where it goes. Pure: settings in, decisions out.

A recipient is judged by the domain behind its last @ and nothing else; percent signs, bangs and quoted @ in
a local part are letters like any other, and a local part of ours is looked up literally. So none of the
historic ways to write a relay request inside an address has a meaning here.

    domain is ours              -> the mailbox of the local part, or 550 5.1.1
    domain is in relay.domains  -> a letter
    client is in relay.from     -> a letter
    otherwise                   -> 550 5.7.1

This module must never know sessions, sockets, folders or time; `mta explain` runs the same code.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mta.config import Settings
from mta.protocol.address import NULL_PATH, Address
from mta.protocol.replies import NO_SUCH_USER, RELAY_DENIED, Reply
from mta.store import Domain, Mailbox

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

POSTMASTER: Final = "postmaster"

SENDER_NOT_LOCAL: Final = Reply(550, "5.7.1", "only senders of our own domains may send here")
BAD_DOMAIN: Final = Reply(550, "5.1.2", "no mail can be sent to that domain")

_MAILBOX: Final = re.compile(r"[a-z0-9][a-z0-9._=-]{0,63}")
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?!\d+\Z){_LABEL}")
"""A lower-case name whose last label is no number (RFC 1123 2.1), so that no address passes for a domain."""


def client_address(text: str) -> IPAddress:
    """The address of a peer; an IPv4 one that came through an IPv6 socket is an IPv4 one."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one configuration; a session keeps those it began with."""

    local_domains: frozenset[str]
    relay_domains: frozenset[str]
    relay_from: tuple[Network, ...]
    any_mailbox: bool
    subaddress: str
    any_sender: bool

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
        )

    def trusts(self, client: IPAddress) -> bool:
        """Whether this client may send to other domains (`relay.from`)."""
        return _in_any(client, self.relay_from)

    def judge_sender(self, sender: Address) -> Reply | None:
        """The refusal of a reverse-path, or None (`smtp.senders`)."""
        if self.any_sender or sender == NULL_PATH or sender.domain in self.local_domains:
            return None
        return SENDER_NOT_LOCAL

    def judge_recipient(self, recipient: Address, trusted: bool) -> Mailbox | Domain | Reply:
        """Where a message for this recipient goes, or the reply that refuses it."""
        if recipient.domain in self.local_domains:
            return self._mailbox(recipient.local)
        if not trusted and recipient.domain not in self.relay_domains:
            return RELAY_DENIED
        if not _DOMAIN.fullmatch(recipient.domain):
            return BAD_DOMAIN
        return Domain(recipient.domain)

    def _mailbox(self, local: str) -> Mailbox | Reply:
        # Only ASCII is folded to lower case: the Kelvin sign is no k.
        name = local.lower() if local.isascii() else ""
        if self.subaddress:
            name = name.partition(self.subaddress)[0]
        if name == POSTMASTER or (self.any_mailbox and _MAILBOX.fullmatch(name)):
            return Mailbox(name)
        return NO_SUCH_USER


def _in_any(address: IPAddress, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
