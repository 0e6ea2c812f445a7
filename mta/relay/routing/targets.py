"""Hosts that the operator names: `relay.routes`, `relay.smarthost`, and the passwords for them.

    smtp://host[:25][?tls=none|opportunistic|require]      STARTTLS where it is offered, if nothing is said
    smtps://[user[:password]@]host[:465]                   TLS from the start

A login is not sent in clear: a URL with a user, or a host with a line in `relay.credentials`, means
`tls=require` if nothing is said, but on loopback. The file of credentials has lines `host user password`,
`#` in front of comments; the password is the rest of its line. Only its owner may read it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Final, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

from mta.config.units import IPAddress, Unfit, parse_relay_url
from mta.protocol.client.login import Login
from mta.relay.outcome import Reason, TryLater
from mta.relay.routing.routes import MOST_ADDRESSES, Decision, Exchangers, Found, Hop, Route, Tls

_PORTS: Final = {"smtp": 25, "smtps": 465}
_MODES: Final = frozenset(get_args(Tls)) - {"implicit"}


class BadCredentials(Exception):
    """The file of credentials cannot be used; the text says why, and never holds a password."""


@dataclass(frozen=True, slots=True)
class Target:
    """A host as the operator wrote it."""

    host: str
    """A name, or an address without brackets."""
    port: int
    tls: Tls | None
    """None: what is usual."""
    user: str = ""
    login: Login | None = field(default=None)

    def hop(self, address: IPAddress) -> Hop:
        """The host at this address of it."""
        usual: Tls = "require" if self.login and not address.is_loopback else "opportunistic"
        return Hop(address, self.port, self.host, self.tls or usual, self.login)


def decide_named(found: Found, targets: Sequence[Target]) -> Decision:
    """The route to hosts that the operator named; `found` has their addresses, the preference being the place
    in `targets`. Nothing here is ever a Never: what is wrong is wrong on our side."""
    hosts = found.hosts if isinstance(found, Exchangers) else ()
    for target in targets:
        if target.user and target.login is None:
            detail = f"relay.credentials has no password of {target.user} for {target.host}"
            return TryLater(Reason.LOGIN_FAILED, status="4.7.8", detail=detail)
    hops = [targets[host.preference].hop(address) for host in hosts for address in host.addresses]
    if hops:
        return Route(tuple(hops[:MOST_ADDRESSES]))
    detail = "; ".join(host.silence or f"{host.name} has no address" for host in hosts)
    return TryLater(Reason.DNS_SILENT, status="4.4.3", detail=detail)


def parse_target(url: str) -> Target:
    """The host that a URL names. Raises Unfit, which may show the URL."""
    parts = urlsplit(parse_relay_url(url))
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Target(
        host=(parts.hostname or "").lower(),
        port=parts.port or _PORTS[parts.scheme],
        tls=_tls(parts.scheme, dict(parse_qsl(parts.query, keep_blank_values=True))),
        user=user,
        login=Login(user, password) if password else None,
    )


def _tls(scheme: str, options: Mapping[str, str]) -> Tls | None:
    unknown = options.keys() - {"tls"}
    if unknown:
        raise Unfit(f'"{min(unknown)[:40]}" is no option of a route', "there is one: tls")
    tls = options.get("tls")
    if scheme == "smtps":
        if tls not in (None, "require"):
            raise Unfit("smtps:// is TLS from the start", "leave out tls=, or write smtp://")
        return "implicit"
    for mode in get_args(Tls):
        if tls == mode and mode in _MODES:
            return mode  # type: ignore[no-any-return]
    if tls is not None:
        raise Unfit(f'tls="{tls[:40]}" is not known', "one of " + ", ".join(sorted(_MODES)))
    return None


@dataclass(frozen=True, slots=True)
class Targets:
    """All hosts that the operator named, with their logins."""

    routes: Mapping[str, tuple[Target, ...]]
    """By domain; several for one domain are tried in the order they were written."""
    smarthost: tuple[Target, ...] = ()

    def of(self, domain: str) -> tuple[Target, ...]:
        """The hosts for a domain's mail; none when the DNS is to be asked."""
        return self.routes.get(domain, self.smarthost)


def parse_targets(routes: Iterable[str], smarthost: str, credentials: Credentials) -> Targets:
    """The hosts in these settings. Raises Unfit."""
    found: dict[str, tuple[Target, ...]] = {}
    for route in routes:
        domain, _, url = route.partition(" ")
        found[domain] = (*found.get(domain, ()), credentials.complete(parse_target(url)))
    single = (credentials.complete(parse_target(smarthost)),) if smarthost else ()
    return Targets(found, single)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Logins by host, in the order of the file."""

    logins: Mapping[str, tuple[Login, ...]] = field(default_factory=dict)

    def complete(self, target: Target) -> Target:
        """The target with its login: the one of the user it names, else the first of the host."""
        if target.login:
            return target
        logins = self.logins.get(target.host, ())
        login = next((login for login in logins if target.user in ("", login.user)), None)
        return replace(target, login=login, user=login.user if login else target.user)


def read_credentials(path: Path | None) -> Credentials:
    """The credentials in a file; none without a file. Raises BadCredentials."""
    if path is None:
        return Credentials()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, encoding="utf-8") as file:
            _require_private(path, os.fstat(fd))
            return parse_credentials(file, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BadCredentials(f"{path}: {getattr(error, 'strerror', None) or 'is not UTF-8'}") from error


def parse_credentials(lines: Iterable[str], name: str) -> Credentials:
    """The credentials in these lines; `name` is for the error. Raises BadCredentials."""
    logins: dict[str, tuple[Login, ...]] = {}
    for number, line in enumerate(lines, 1):
        words = line.strip().split(maxsplit=2)
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 3 or "\0" in line:
            raise BadCredentials(f"{name}:{number}: a line is: host user password")
        host, user, password = words
        host = host.lower()
        logins[host] = (*logins.get(host, ()), Login(user, password))
    return Credentials(logins)


def literal(host: str) -> IPAddress | None:
    """The address that a host is written as, if it is."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise BadCredentials(f"{path}: is not a regular file")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise BadCredentials(f"{path}: others may read it; its mode must be 0600")
    if status.st_uid not in (os.geteuid(), 0):
        raise BadCredentials(f"{path}: belongs to somebody else")
