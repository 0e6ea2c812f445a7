"""From what the DNS says of a domain to the hosts that are to be tried: the decision, pure (RFC 5321 5.1).

Exchangers are tried by preference, equals in random order. Where we are one of them ourselves, only
those better than us remain, or the mail would turn in a circle; none left is 5.4.6. An address that is not
on the public Internet is never connected to on a stranger's word: whoever controls a zone could otherwise
point our mail, and our connections, at the machines behind us. Networks in `relay.private_targets` are
exempt, and so are hosts that the operator named (`targets`), which do not come here.

A Never needs an answer that says so. What may be different in an hour (no answer, SERVFAIL) is a TryLater.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from itertools import islice, zip_longest
from random import Random
from typing import Final, Literal, NamedTuple, TypeAlias

from mta.config.units import Endpoint, IPAddress, Network
from mta.protocol.client.login import Login
from mta.relay.outcome import Never, Reason, TryLater

Tls: TypeAlias = Literal["none", "opportunistic", "require", "implicit"]

MOST_ADDRESSES: Final = 6
"""Addresses tried in one attempt."""

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""Well-known prefix of RFC 6052: an IPv4 address as a DNS64 tells it to a host without IPv4."""
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All that IANA gives out; older site-local ones (fec0::/10) are not in it."""
_COMPATIBLE: Final = IPv6Network("::/96")
"""RFC 4291 2.5.5.1, deprecated; some stacks still connect to the IPv4 address in it."""


class Hop(NamedTuple):
    """One address to connect to. It was looked up and judged; nobody looks it up again."""

    address: IPAddress
    port: int
    name: str
    """The host's name, which its certificate should show."""
    tls: Tls = "opportunistic"
    login: Login | None = None


class Route(NamedTuple):
    """Where the mail of a domain goes: to the first of these that takes it. Never empty."""

    hosts: tuple[Hop, ...]


Decision: TypeAlias = Route | TryLater | Never


# --- what the DNS says


class Missing(Enum):
    """An answer that there is nothing."""

    NAME = "there is no such name"
    DATA = "the name has no such record"


class Silence(NamedTuple):
    """No answer that could be used; `detail` is what came instead."""

    detail: str


class Host(NamedTuple):
    """An exchanger, and the addresses it has."""

    preference: int
    name: str
    """Lower-case, without the final dot; empty for the root, which is a null MX (RFC 7505)."""
    addresses: tuple[IPAddress, ...]
    silence: str = ""
    """Why its addresses are not known, or not all of them."""


class Exchangers(NamedTuple):
    """The exchangers of a domain by preference, the best ones at least; without MX, the domain itself."""

    hosts: tuple[Host, ...]


Found: TypeAlias = Exchangers | Missing | Silence


def is_silent(found: Found) -> bool:
    """Whether this may be different as soon as somebody answers."""
    if isinstance(found, Exchangers):
        silent = any(host.silence for host in found.hosts)
        return silent and not any(host.addresses for host in found.hosts)
    return isinstance(found, Silence)


# --- who we are


@dataclass(frozen=True, slots=True)
class Own:
    """By what this server is recognised as an exchanger."""

    names: frozenset[str]
    addresses: frozenset[IPAddress] = frozenset()
    """Of our interfaces, loopback or not."""
    listeners: tuple[Endpoint, ...] = ()
    """Where we take mail."""

    def is_at(self, address: IPAddress, port: int) -> bool:
        """Whether a connection to there would end here.

        On a loopback address another server may listen at another port. An address of an interface is ours
        whatever the port: 25 may be redirected to where we listen."""
        address = _plain(address)
        if not (address.is_loopback or address.is_unspecified):
            return address in self.addresses or any(_listens(e, address, port) for e in self.listeners)
        return any(e.port == port and _covers(e, address) for e in self.listeners)


def _listens(endpoint: Endpoint, address: IPAddress, port: int) -> bool:
    return endpoint.port == port and ip_address(endpoint.host) == address


def _covers(endpoint: Endpoint, address: IPAddress) -> bool:
    """Whether a listener on loopback or on all addresses is met at this loopback or unspecified one."""
    host = ip_address(endpoint.host)
    if host.version != address.version:
        return host == IPv6Address("::")
    return host == address or host.is_unspecified or (address.is_unspecified and host.is_loopback)


# --- the decision


@dataclass(frozen=True, slots=True)
class Terms:
    """What the configuration says of hosts that the DNS names."""

    own: Own
    port: int = 25
    private_targets: tuple[Network, ...] = ()


def decide(found: Found, terms: Terms, random: Random) -> Decision:
    """The route that follows from what was found."""
    match found:
        case Missing.NAME:
            return Never("5.1.2", Reason.NO_SUCH_DOMAIN, detail=found.value)
        case Missing.DATA:
            return Never("5.1.2", Reason.NO_EXCHANGER, detail="it has neither exchangers nor an address")
        case Silence(detail):
            return TryLater(Reason.DNS_SILENT, status="4.4.3", detail=detail)
        case Exchangers(hosts):
            return _choose(hosts, terms, random)


def _choose(hosts: tuple[Host, ...], terms: Terms, random: Random) -> Decision:
    if any(not host.name for host in hosts):
        return Never("5.1.10", Reason.NULL_MX, detail="null MX (RFC 7505)")
    better = _better_than_us(hosts, terms)
    if hosts and not better:
        return Never("5.4.6", Reason.LOOPS_BACK, detail=f"we are its best exchanger: {_names(hosts)}")
    # Sorting keeps the order of equals, which is random by then.
    ranked = sorted(random.sample(better, len(better)), key=lambda host: host.preference)
    hops = [hop for host in ranked for hop in _hops(host, terms, random)]
    return Route(tuple(hops[:MOST_ADDRESSES])) if hops else _unusable(better)


def _better_than_us(hosts: tuple[Host, ...], terms: Terms) -> list[Host]:
    """The hosts before us in the list, all of them if we are not in it (RFC 5321 5.1)."""
    ours = min((host.preference for host in hosts if _is_own(host, terms)), default=None)
    return [host for host in hosts if ours is None or host.preference < ours]


def _is_own(host: Host, terms: Terms) -> bool:
    return host.name in terms.own.names or any(terms.own.is_at(a, terms.port) for a in host.addresses)


def _hops(host: Host, terms: Terms, random: Random) -> Iterator[Hop]:
    """The host's addresses that we may connect to: of either family by turns, IPv6 first, in random order."""
    allowed = [address for address in host.addresses if may_connect(address, terms.private_targets)]
    random.shuffle(allowed)
    six = [address for address in allowed if address.version == 6]
    four = [address for address in allowed if address.version == 4]
    turns = (address for pair in zip_longest(six, four) for address in pair if address is not None)
    return (Hop(address, terms.port, host.name) for address in islice(turns, MOST_ADDRESSES))


def _unusable(hosts: list[Host]) -> Decision:
    """What it means that none of these hosts has an address for us."""
    silent = [host.silence for host in hosts if host.silence]
    if silent:
        return TryLater(Reason.DNS_SILENT, status="4.4.3", detail=silent[0])
    if any(host.addresses for host in hosts):
        return Never("5.4.4", Reason.PRIVATE_TARGET, detail=f"only private addresses: {_names(hosts)}")
    return Never("5.4.4", Reason.NO_EXCHANGER, detail=f"no exchanger has an address: {_names(hosts)}")


def _names(hosts: Iterable[Host]) -> str:
    """The exchangers for a detail, the first few of them; a stranger chose the names."""
    return ", ".join(ascii(host.name)[1:-1] for host in islice(hosts, 5))


# --- addresses


def may_connect(address: IPAddress, private_targets: Iterable[Network]) -> bool:
    """Whether an address that the DNS gave is public, or allowed by the operator. One that carries another is
    judged by that."""
    plain = _plain(address)
    if any(plain in network or address in network for network in private_targets):
        return True
    if isinstance(plain, IPv6Address) and plain not in _GLOBAL_UNICAST:
        return False
    return plain.is_global and not (plain.is_multicast or plain.is_reserved)


def _plain(address: IPAddress) -> IPAddress:
    """The IPv4 address inside an IPv6 address that stands for one."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour or address
    is_wrapped = address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)
    return IPv4Address(int(address) & 0xFFFFFFFF) if is_wrapped else address
