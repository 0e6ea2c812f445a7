"""Clients, as far as their address says who they are."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from mta.config.units import IPAddress, Network


def client_address(text: str) -> IPAddress:
    """The address of a peer; an IPv4 one that came through an IPv6 socket is an IPv4 one."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def in_any(address: IPAddress, networks: Iterable[Network]) -> bool:
    """Whether one of the networks holds the address."""
    return any(address in network for network in networks)
