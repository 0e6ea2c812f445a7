"""Asking the DNS: blocking, with dnspython, in whatever thread it is called.

An answer comes back as what it means for mail, and with the seconds for which it holds. How much a stranger's
zone can make us do is bounded: so many exchangers are looked up, so many addresses kept of each, and no
further look-up begins when the time for all of them is over. Chains of aliases are followed by the resolver
that we ask, and believed up to dnspython's limit (16); a longer chain, or a loop, is no answer.

An exchanger whose name is an alias is against RFC 2181 10.3 and works nearly everywhere, so here too.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Final, NamedTuple, TypeAlias

import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.MX import MX
from dns.resolver import Answer

from mta.config.units import IPAddress, parse_endpoint
from mta.relay.routing.routes import MOST_ADDRESSES, Exchangers, Found, Host, Missing, Silence
from mta.relay.routing.targets import literal

_MOST_HOSTS: Final = 10
"""Exchangers looked up of one domain."""
_MOST_KEPT: Final = 4 * MOST_ADDRESSES
"""Addresses kept of one host and family."""
_PATIENCE: Final = 3
"""Times of one question, after which no further host is looked up."""
_EDNS_OCTETS: Final = 1232
"""Size of an answer by UDP that needs no fragments (DNS flag day 2020)."""
_ONE_TRY: Final = 2.0
"""Seconds before the next server is asked, or the same again; less where so many would not fit the time."""
_TRIES: Final = 3
_NO_TTL: Final = 60.0
"""Seconds for which an answer holds that tells no time: a negative one, or the host table's."""
_LONGEST_TTL: Final = 3600.0
"""A zone may ask to be remembered for years; who repairs one wants to be noticed."""
_DETAIL: Final = 300
"""Characters of what a resolver says about its failure."""
_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_ROOT: Final = dns.name.root.to_text(omit_final_dot=True)

_USABLE: Final = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_-]{1,63}\.)*(?!\d+\Z)[a-z0-9_-]{1,63}")
"""A name that can be a host's: no escapes, and no address written as a name."""


class Lookup(NamedTuple):
    """What was found, and for how many seconds that holds; 0 for what is not to be remembered."""

    found: Found
    ttl: float


class _Records(NamedTuple):
    answer: Answer
    ttl: float


_Reply: TypeAlias = _Records | Missing | Silence


class Resolver:
    """Asks name servers. Safe for several threads."""

    def __init__(self, servers: tuple[str, ...], timeout: float) -> None:
        """`servers` are addresses, `192.0.2.53`, `192.0.2.53:5353` or `[2001:db8::53]:5353`; empty means
        those of resolv.conf(5), which may change. `timeout`: seconds for one question to all of them.
        Raises ValueError for what is no address."""
        self._timeout = timeout
        self._servers = [_server(text) for text in servers]
        self._changed = 0
        self._asking = self._fresh()

    def exchangers(self, domain: str, random: Random) -> Lookup:
        """The exchangers of a domain and their addresses, as many as an attempt can use."""
        records = self._ask(domain, dns.rdatatype.MX)
        if isinstance(records, Silence):
            return Lookup(records, 0)
        if records is Missing.NAME:
            return Lookup(records, _NO_TTL)
        if isinstance(records, Missing):
            return self._without_mx(domain)
        named = [
            (record.preference, record.exchange.to_text(omit_final_dot=True).lower())
            for record in records.answer
            if isinstance(record, MX)
        ]
        if any(name == _ROOT for _, name in named):
            return Lookup(Exchangers((Host(0, "", ()),)), records.ttl)
        random.shuffle(named)
        named.sort(key=lambda exchanger: exchanger[0])
        hosts = list(self._hosts(named))
        return Lookup(Exchangers(tuple(host for host, _ in hosts)), min(records.ttl, *(t for _, t in hosts)))

    def hosts(self, names: Sequence[str]) -> Lookup:
        """The addresses of hosts that the operator named; their preference is the place in `names`."""
        found = [self._named(place, name) for place, name in enumerate(names)]
        return Lookup(Exchangers(tuple(host for host, _ in found)), min(ttl for _, ttl in found))

    # hosts

    def _named(self, place: int, name: str) -> tuple[Host, float]:
        """A host by its name, which may be an address, or stand in hosts(5)."""
        address = literal(name)
        if address is not None:
            return Host(place, name, (address,)), _LONGEST_TTL
        host, ttl = self._host(place, name) if "." in name else (Host(place, name, ()), _NO_TTL)
        return (host, ttl) if host.addresses else (host._replace(addresses=_host_table(name)), _NO_TTL)

    def _without_mx(self, domain: str) -> Lookup:
        """The domain is its own exchanger (RFC 5321 5.1), if it is a host at all."""
        host, ttl = self._host(0, domain)
        if host.addresses or host.silence:
            return Lookup(Exchangers((host,)), ttl)
        return Lookup(Missing.DATA, ttl)

    def _hosts(self, named: list[tuple[int, str]]) -> Iterator[tuple[Host, float]]:
        """The exchangers, preference by preference, until there are addresses enough.

        Those of one preference are looked up together, as any of them may turn out to be us."""
        deadline = time.monotonic() + _PATIENCE * self._timeout
        looked_up = addresses = 0
        for preference, group in groupby(named[:_MOST_HOSTS], key=lambda exchanger: exchanger[0]):
            if looked_up and addresses >= MOST_ADDRESSES:
                return
            for _, name in group:
                if time.monotonic() > deadline:
                    yield Host(preference, name, (), "looking up the exchangers takes too long"), 0
                    continue
                host, ttl = self._host(preference, name)
                looked_up, addresses = looked_up + 1, addresses + len(host.addresses)
                yield host, ttl

    def _host(self, preference: int, name: str) -> tuple[Host, float]:
        if not _USABLE.fullmatch(name):
            return Host(preference, name, ()), _NO_TTL
        addresses: list[IPAddress] = []
        silence, ttl = "", _LONGEST_TTL
        for kind in (dns.rdatatype.AAAA, dns.rdatatype.A):
            records = self._ask(name, kind)
            if isinstance(records, Silence):
                silence, ttl = records.detail, min(ttl, _NO_TTL)
            elif not isinstance(records, Missing):
                addresses += [ip_address(record.to_text()) for record in list(records.answer)[:_MOST_KEPT]]
                ttl = min(ttl, records.ttl)
        return Host(preference, name, tuple(addresses), silence), ttl if addresses else min(ttl, _NO_TTL)

    # questions

    def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> _Reply:
        try:
            resolver = self._resolver()
            answer = resolver.resolve(dns.name.from_text(name), kind, search=False)
        except dns.resolver.NXDOMAIN:
            return Missing.NAME
        except dns.resolver.NoAnswer:
            return Missing.DATA
        except dns.exception.DNSException as error:
            return Silence(str(error)[:_DETAIL])
        _prefer(resolver, answer)
        return _Records(answer, min(float(answer.chaining_result.minimum_ttl), _LONGEST_TTL))

    def _resolver(self) -> dns.resolver.Resolver:
        """The resolver; a new one when the system's configuration has changed, which may have been written
        by a network that came up after us."""
        if not self._servers and _changed(_RESOLV_CONF) != self._changed:
            self._asking = self._fresh()
        return self._asking

    def _fresh(self) -> dns.resolver.Resolver:
        resolver = dns.resolver.Resolver(configure=False)
        if self._servers:
            resolver.nameservers = self._servers
        else:
            self._changed = _changed(_RESOLV_CONF)
            resolver = _of_the_system()
        resolver.lifetime = self._timeout
        resolver.timeout = min(_ONE_TRY, self._timeout / _TRIES)
        resolver.use_edns(0, 0, _EDNS_OCTETS)
        return resolver


def _of_the_system() -> dns.resolver.Resolver:
    """As resolv.conf(5) says; without one the server is on this machine, as the C library has it."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    with suppress(dns.resolver.NoResolverConfiguration):
        resolver = dns.resolver.Resolver()
    resolver.nameservers = [dns.nameserver.Do53Nameserver(str(server)) for server in resolver.nameservers]
    return resolver


def _prefer(resolver: dns.resolver.Resolver, answer: Answer) -> None:
    """Ask first, from now on, who has answered: a dead server costs its time-out once, not every time."""
    place = answer.nameserver, answer.port
    servers = resolver.nameservers
    if _place(servers[0]) != place:
        resolver.nameservers = sorted(servers, key=lambda server: _place(server) != place)


def _place(server: str | dns.nameserver.Nameserver) -> tuple[str, int] | None:
    return (server.address, server.port) if isinstance(server, dns.nameserver.Do53Nameserver) else None


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _server(text: str) -> dns.nameserver.Nameserver:
    address = literal(text.strip("[]"))
    if address is not None:
        return dns.nameserver.Do53Nameserver(str(address))
    endpoint = parse_endpoint(text)
    return dns.nameserver.Do53Nameserver(endpoint.host, endpoint.port)


def _host_table(host: str) -> tuple[IPAddress, ...]:
    """What the C library makes of a name: hosts(5), and whatever nsswitch.conf(5) adds."""
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(ip_address(info[4][0]) for info in infos))
