"""Bans: who is meant by one, and, for the loop, whether somebody is under one.

Looking up an address costs one step for each prefix length that occurs among the bans, however many they are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Final

from mta.config.units import IPAddress, Network, Unfit, parse_domain
from mta.users.account import Ban
from mta.users.errors import UnfitName
from mta.users.names import fit

_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


def subject_of(text: str) -> str:
    """The canonical form of an address, a network, or `name@domain`. Raises UnfitName."""
    return _user(text) if "@" in text else _written(_network(text))


def _network(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError as error:
        if "has host bits set" in str(error):
            whole = ip_network(text, strict=False)
            raise UnfitName(
                f"{text} is an address in a network: say {whole}, or the address alone"
            ) from error
        raise UnfitName(f"{text[:80]!a} is no address, network or user") from error
    if isinstance(network, ipaddress.IPv6Network):
        return _unmapped(network)
    return network


def _unmapped(network: ipaddress.IPv6Network) -> Network:
    """Clients of an IPv6 socket that use IPv4 are IPv4 clients."""
    if network.network_address.scope_id is not None:
        raise UnfitName("an address with a zone means another machine on every interface")
    if not network.subnet_of(_MAPPED):
        return network
    address = int(network.network_address) & 0xFFFFFFFF
    return ipaddress.IPv4Network((address, network.prefixlen - 96))


def _written(network: Network) -> str:
    alone = network.prefixlen == network.max_prefixlen
    return str(network.network_address if alone else network)


def _user(text: str) -> str:
    name, _, domain = text.rpartition("@")
    try:
        return f"{fit(name)}@{parse_domain(domain)}"
    except Unfit as error:
        raise UnfitName(f"{text[:80]!a} is no user: {error}") from error


class Bans:
    """The bans in force at some moment; some of them end by themselves."""

    def __init__(self, bans: Iterable[Ban] = ()) -> None:
        self._users: dict[str, Ban] = {}
        self._networks: dict[tuple[int, int], dict[int, Ban]] = {}
        """By version and by bits to shift away: the rest of the address."""
        for ban in bans:
            self._add(ban)

    def of(self, address: IPAddress, now: float) -> Ban | None:
        """The ban that this address is under at `now` (epoch seconds)."""
        for (version, shift), networks in self._networks.items():
            if version == address.version:
                ban = networks.get(int(address) >> shift)
                if ban is not None and _in_force(ban, now):
                    return ban
        return None

    def of_user(self, user: str, now: float) -> Ban | None:
        """The ban that `name@domain` is under at `now`."""
        ban = self._users.get(user)
        return ban if ban is not None and _in_force(ban, now) else None

    def _add(self, ban: Ban) -> None:
        if "@" in ban.subject:
            self._users[ban.subject] = ban
            return
        network = ipaddress.ip_network(ban.subject)
        shift = network.max_prefixlen - network.prefixlen
        networks = self._networks.setdefault((network.version, shift), {})
        networks[int(network.network_address) >> shift] = ban


def _in_force(ban: Ban, now: float) -> bool:
    return ban.until is None or now < ban.until
