"""How this server is recognised when a domain's exchangers are looked up: names, listeners, interfaces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from mta.config import Settings
from mta.config.units import IPAddress
from mta.relay.routing.routes import Own

_LOCAL_IPV4 = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")
"""A leaf of /proc/net/fib_trie, the kernel's routes."""
_NET = Path("/proc/net")


def own(settings: Settings) -> Own:
    """Who we are by this configuration, on this machine, now. Reads /proc; OSError."""
    listeners = (*settings.smtp.listen, *settings.submission.listen, *settings.submissions.listen)
    return Own(frozenset({settings.hostname}), frozenset(interface_addresses()), listeners)


def interface_addresses(net: Path = _NET) -> Iterator[IPAddress]:
    """The addresses of this machine's interfaces. A kernel without one of the families has no file for it."""
    for text in _LOCAL_IPV4.findall(_read(net / "fib_trie")):
        yield IPv4Address(text)
    for line in _read(net / "if_inet6").splitlines():
        yield IPv6Address(int(line.split()[0], 16))


def _read(path: Path) -> str:
    return path.read_text("ascii") if path.exists() else ""
