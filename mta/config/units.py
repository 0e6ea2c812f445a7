"""Values that are written as text, each with its way in and its way out again.

`parse_x(text)` gives the value or raises Unfit, `show_x(value)` gives a text that parses to the same value; a
test proves the round trip. Nothing here knows which key a value belongs to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface, ip_network
from urllib.parse import urlsplit

import idna

IPAddress = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_OCTETS = {
    "TB": 10**12,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 1000,
    "B": 1,
    "TiB": 2**40,
    "GiB": 2**30,
    "MiB": 2**20,
    "KiB": 2**10,
}
_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]{1,3})", re.ASCII)
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII)


class Unfit(ValueError):
    """A text that is not a value of its kind; `hint` says how one looks."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


def _amount(text: str, units: dict[str, int], hint: str) -> Fraction:
    found = _AMOUNT.fullmatch(text)
    if not found or found[2] not in units:
        raise Unfit(f'"{text[:40]}" is not {hint}')
    return Fraction(found[1]) * units[found[2]]


def parse_duration(text: str) -> float:
    """Seconds, to the millisecond."""
    return round(_amount(text, _MILLISECONDS, 'a duration such as "30s", "5m", "4h", "5d"')) / 1000


def show_duration(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    unit = next(
        name
        for name, size in _MILLISECONDS.items()
        if milliseconds % size == 0 and (milliseconds or size == 1000)
    )
    return f"{milliseconds // _MILLISECONDS[unit]}{unit}"


def parse_size(text: str) -> int:
    """Octets."""
    octets = _amount(text, {**_OCTETS, "KB": 1000}, 'a size such as "64KiB", "50MB", "2GB"')
    if octets.denominator != 1:
        raise Unfit(f'"{text}" is not a whole number of octets')
    return int(octets)


def show_size(octets: int) -> str:
    fitting = [f"{octets // size}{unit}" for unit, size in _OCTETS.items() if octets % size == 0]
    return min(fitting, key=len) if octets else "0B"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where to listen: a literal address and a port (0: any free one, for tests)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return ip_address(self.host).is_loopback


def parse_endpoint(text: str) -> Endpoint:
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise Unfit(
            f'"{text[:80]}" has no port', 'an address and a port, such as "127.0.0.1:25" or "[::1]:25"'
        )
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError as error:
        hint = 'names are not looked up; write an address such as "127.0.0.1:25", "[::1]:25" or "0.0.0.0:25"'
        raise Unfit(f'"{host[:80]}" is not an IP address', hint) from error
    if (address.version == 6) != bracketed:
        raise Unfit(f'"{text}" is ambiguous', f'write "{Endpoint(str(address), int(port))}"')
    return Endpoint(str(address), int(port))


def parse_network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise Unfit(f'"{text[:80]}" is not a network', _network_hint(text)) from error


def _network_hint(text: str) -> str:
    """A network with bits set behind its prefix is nearly right; say which network it lies in."""
    try:
        return f'the network is "{ip_interface(text).network}"'
    except ValueError:
        return 'a network is written "192.0.2.0/24", "2001:db8::/32" or "::1"'


def parse_domain(text: str) -> str:
    """A domain name as lower-case A-labels (RFC 5890), fit for DNS and for the name of a folder."""
    try:
        name = idna.encode(text[:300], uts46=True, std3_rules=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise Unfit(f'"{text[:80]}" is not a domain name: {error}') from error
    labels = name.split(".")
    if len(text) > 300 or len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise Unfit(
            f'"{text[:80]}" is not a domain name', "labels of letters, digits and hyphens, with dots between"
        )
    if labels[-1].isdigit():
        raise Unfit(f'"{text[:80]}" is an address, not a domain name')
    return name


_TLS = ("tls=none", "tls=opportunistic", "tls=require")


def parse_relay_url(text: str) -> str:
    """Where to send mail: `smtp://host[:port][?tls=...]` or `smtps://[user@]host[:port]`."""
    hint = 'such as "smtp://host:25" or "smtps://user@host:465"'
    try:
        url = urlsplit(text)
        fits = url.scheme in ("smtp", "smtps") and url.hostname and url.port != 0 and url.path in ("", "/")
    except ValueError as error:
        raise Unfit(f'"{text[:80]}" is not a URL: {error}', hint) from error
    if not fits or not text.isprintable() or " " in text:
        raise Unfit(f'"{text[:80]}" names no server to send to', hint)
    allowed = ("", "tls=require") if url.scheme == "smtps" else ("", *_TLS)
    if url.query not in allowed:
        raise Unfit(f'"{url.query[:40]}" is no option of a route', " or ".join(filter(None, allowed)))
    return text


def parse_route(text: str) -> str:
    """A domain and the server that takes its mail: `example.org smtp://host:25`; the domain as A-labels."""
    domain, _, url = text.strip().partition(" ")
    if not url:
        raise Unfit(
            f'"{text[:80]}" is not a route', 'a domain, a blank and a URL: "example.org smtp://host:25"'
        )
    return f"{parse_domain(domain)} {parse_relay_url(url.strip())}"


def parse_nameserver(text: str) -> str:
    """A literal IP address, in its canonical form, or one with a port as in `parse_endpoint`."""
    try:
        return str(ip_address(text))
    except ValueError as error:
        if text.startswith("[") or text.count(":") == 1:
            return str(parse_endpoint(text))
        raise Unfit(
            f'"{text[:80]}" is not an IP address', 'such as "192.0.2.53", "2001:db8::53" or "[::1]:5353"'
        ) from error
