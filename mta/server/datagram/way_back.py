"""The way back of a datagram: an answer has to come from the very address that was asked, or its peer takes
it for somebody else's. A socket that listens on all addresses of a machine knows which one that was only from
what the kernel tells along with each datagram (IP_PKTINFO in ip(7), IPV6_PKTINFO in ipv6(7)).

It also tells what was not meant for this machine alone: a broadcast or a multicast.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Sequence
from typing import Final

Ancillary = list[tuple[int, int, bytes]]

SPACE: Final = socket.CMSG_SPACE(20)
"""Octets for what the kernel tells."""

_IP_PKTINFO: Final = 8
"""ip(7); `socket` names it only since Python 3.12."""
_V4: Final = struct.Struct("@I4s4s")
"""struct in_pktinfo: interface, address to answer from, address that was asked."""
_V6: Final = struct.Struct("@16sI")
"""struct in6_pktinfo: address that was asked, interface."""


def tell_ways(sock: socket.socket) -> None:
    """Let the kernel tell the way of each datagram."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)


def way_back(told: Sequence[tuple[int, int, bytes]]) -> Ancillary | None:
    """What to send an answer with, by what came along with a datagram; None: it was meant for many."""
    for level, kind, octets in told:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, ours, asked = _V4.unpack(octets)
            return [(level, kind, _V4.pack(0, ours, bytes(4)))] if ours == asked else None
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            asked, _ = _V6.unpack(octets)
            return None if ipaddress.IPv6Address(asked).is_multicast else [(level, kind, octets)]
    return []
