"""Mail addresses as SMTP writes them (RFC 5321 4.1.2, RFC 6531 3.3): paths in, values out.

The ordinary address is taken by one regular expression; whatever it does not know (quoted local parts,
source routes, literals, other scripts) goes the long way. A domain leaves here only as lower-case
A-labels or as a literal in its canonical form, so that two spellings of one domain cannot differ; a local
part leaves as it was sent, for only its own host may read more into it (RFC 5321 2.3.11). Whose address
it is, this module never asks.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

import idna

LOCAL_LIMIT: Final = 64
"""Octets of a local part as sent, quotes included (RFC 5321 4.5.3.1.1)."""
DOMAIN_LIMIT: Final = 253
"""Octets that the DNS can carry as text; SMTP's 255 (4.5.3.1.2) counts the ends of the wire form."""
LABEL_LIMIT: Final = 63

_ATOM = r"[^\x00-\x20\x7f()<>@,;:\\\".\[\]]+"
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*"
_QUOTED = r'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"'
_HOST = r"(?:[^\x00-\x20\x7f()<>@,;:\\\"\[\]]+|\[[^\x00-\x20\x7f<>\\\[\]]+\])"
_MAILBOX = rf"(?P<local>{_DOT_STRING}|{_QUOTED})(?:@(?P<domain>{_HOST}))?"
_REST = r"(?: +(?P<rest>.*))?"

_ordinary = re.compile(
    rb"<([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    rb"@([A-Za-z0-9]+(?:(?:-+|\.)[A-Za-z0-9]+)*(?<![0-9]))>(?: +(.*))?"
).fullmatch
"""Local part, domain, rest. A domain that ends in a digit may be a number and goes the long way."""
_path = re.compile(rf"<(?:(?:@{_HOST}(?:,@{_HOST})*:)?{_MAILBOX})?>{_REST}", re.DOTALL).fullmatch
_loose_path = re.compile(rf" *(?:{_MAILBOX}){_REST}", re.DOTALL).fullmatch
_dot_string = re.compile(_DOT_STRING).fullmatch
_domain = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*").fullmatch
_quoted_pair = re.compile(r"\\(.)")
_special = re.compile(r'(["\\])')


class Address(NamedTuple):
    """A mailbox. `str()` gives its canonical wire form, quoted where it must be, without brackets."""

    local: str
    """The local part as sent, quotes and backslashes removed."""
    domain: str
    """Lower-case A-labels, or a literal in brackets (`[192.0.2.1]`, `[IPv6:2001:db8::1]`)."""

    def __str__(self) -> str:
        local = self.local if not self.domain or _dot_string(self.local) else _quote(self.local)
        return f"{local}@{self.domain}" if self.domain else local

    @property
    def is_literal(self) -> bool:
        return self.domain.startswith("[")

    @property
    def literal_address(self) -> str:
        """The address in a literal, as `str(ipaddress.ip_address())` writes it."""
        return self.domain[1:-1].removeprefix("IPv6:")


NULL_PATH: Final = Address("", "")
"""The reverse-path `<>`. Its `str()` is empty."""


def parse_path(octets: bytes, start: int = 0, *, loose: bool = False) -> tuple[Address, bytes] | None:
    """The path at `start`, and the parameters behind it; None when it is none.

    The domain is empty for `<>` (NULL_PATH) and for a local part alone (`<postmaster>`). `loose`: blanks
    before the path and a path without brackets are taken."""
    found = _ordinary(octets, start)
    if found is not None:
        local, domain, rest = found.groups()
        if len(local) <= LOCAL_LIMIT and len(domain) <= LABEL_LIMIT:
            return Address(str(local, "ascii"), str(domain.lower(), "ascii")), rest or b""
    return _parse_any_path(octets[start:], loose)


def _parse_any_path(octets: bytes, loose: bool) -> tuple[Address, bytes] | None:
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        return None
    found = _path(text.lstrip(" ") if loose else text) or (_loose_path(text) if loose else None)
    if found is None:
        return None
    rest = (found["rest"] or "").encode("utf-8")
    if found["local"] is None:
        return NULL_PATH, rest
    address = _mailbox(found["local"], found["domain"])
    return (address, rest) if address else None


def _mailbox(local: str, domain: str | None) -> Address | None:
    if len(local.encode("utf-8")) > LOCAL_LIMIT:
        return None
    local = _quoted_pair.sub(r"\1", local[1:-1]) if local.startswith('"') else local
    if not local.isprintable() or not (local or domain):
        return None
    if domain is None:
        return Address(local, "")
    host = normal_literal(domain) if domain.startswith("[") else normal_domain(domain)
    return Address(local, host) if host else None


def normal_domain(text: str) -> str | None:
    """`text` as lower-case A-labels; None when it is no domain name.

    U-labels must be valid as they stand (RFC 5891 4): nothing is mapped, so that no look-alike becomes a name
    of ours. A number at the top is an address without brackets, not a name (RFC 3696 2)."""
    if len(text) > DOMAIN_LIMIT:
        return None
    if not text.isascii():
        try:
            text = idna.encode(text.encode("utf-8").lower().decode("utf-8"), strict=True).decode("ascii")
        except UnicodeError:  # of which IDNAError is one
            return None
    text = text.lower()
    if len(text) > DOMAIN_LIMIT or not _domain(text):
        return None
    labels = text.split(".")
    return text if max(map(len, labels)) <= LABEL_LIMIT and not labels[-1].isdigit() else None


def normal_literal(text: str) -> str | None:
    """An address literal (RFC 5321 4.1.3) in canonical form; None when it is no IPv4 or IPv6 address."""
    inner = text[1:-1]
    if text != f"[{inner}]":
        return None
    try:
        if inner[:5].lower() == "ipv6:":
            address = ipaddress.IPv6Address(inner[5:])
            return f"[IPv6:{address}]" if address.scope_id is None else None
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError:
        return None


def _quote(local: str) -> str:
    return '"' + _special.sub(r"\\\1", local) + '"'
