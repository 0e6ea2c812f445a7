"""Return addresses for forwarded mail (the Sender Rewriting Scheme), as pure functions of a secret and a day.

Who forwards a message to another domain sends it, and so must be able to answer for its sender (SPF). The
reverse-path becomes an address of ours, from which the original one can be read when a bounce comes back:

    anna@a.example          SRS0=HHHHHHHH=TT=a.example=anna@us
    SRS0=...@b.example      SRS1=HHHHHHHH=b.example==...@us         it was forwarded to us: b undoes its own
    SRS1=...=b.example==... SRS1=HHHHHHHH=b.example==...@us         twice: we take the place of the second one

H is a code over the rest (HMAC-SHA256, 40 bits in base32), so that nobody can make an address through which
we would send; T is the day in base32, modulo 1024, so that one which was seen is of no use for long. Both
survive a host that changes the case of letters.

An address that would be longer than 64 octets is not rewritten: it goes as it is, and its bounces go straight
home. Whether a return address may be used, the policy decides.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b32encode
from typing import Final, NamedTuple

from mta.protocol.address import LOCAL_LIMIT, Address, normal_domain, normal_literal

MOST_DAYS: Final = 21
"""How long after a message left its bounce is taken: longer than anybody tries to deliver it."""

_DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CODE_LENGTH: Final = 8
_DAYS: Final = 1024
"""The day stamp counts modulo this."""

_srs0: Final = re.compile(r"SRS0([=+-].+)", re.IGNORECASE | re.DOTALL).fullmatch
_srs1: Final = re.compile(r"SRS1[=+-][^=]*=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL).fullmatch
_our_srs0: Final = re.compile(
    r"SRS0=([A-Z2-7]{8})=([A-Z2-7]{2})=([^=]+)=(.+)", re.IGNORECASE | re.DOTALL
).fullmatch
_our_srs1: Final = re.compile(r"SRS1=([A-Z2-7]{8})=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL).fullmatch


def is_return_address(local: str) -> bool:
    """Whether a local part of ours has the form of a return address, whoever made it."""
    return local[:4].upper() in ("SRS0", "SRS1") and local[4:5] == "="


class Srs(NamedTuple):
    """Writes and reads return addresses on one day."""

    secret: bytes
    day: int
    """Days since the epoch."""

    def rewritten(self, sender: Address, domain: str) -> Address | None:
        """The return address at a domain of ours for this sender; None when there is no room for one."""
        local = self._rewritten(sender)
        address = Address(local, domain)
        written = str(address).rpartition("@")[0]
        return address if len(written.encode("utf-8")) <= LOCAL_LIMIT and local.isprintable() else None

    def original(self, local: str) -> Address | None:
        """The sender that a return address of ours stands for; None when we did not write it, or too long
        ago."""
        if found := _our_srs0(local):
            code, stamp, domain, rest = found.groups()
            known = self._is_ours(code, stamp, domain, rest) and self._is_recent(stamp)
            return _address(rest, domain) if known else None
        if found := _our_srs1(local):
            code, domain, rest = found.groups()
            return _address("SRS0" + rest, domain) if self._is_ours(code, domain, rest) else None
        return None

    def _rewritten(self, sender: Address) -> str:
        if found := _srs0(sender.local):
            return self._second(sender.domain, found[1])
        if found := _srs1(sender.local):
            return self._second(found[1], found[2])
        stamp = _stamp(self.day)
        code = self._code(stamp, sender.domain, sender.local)
        return f"SRS0={code}={stamp}={sender.domain}={sender.local}"

    def _second(self, domain: str, rest: str) -> str:
        return f"SRS1={self._code(domain, rest)}={domain}={rest}"

    def _code(self, *parts: str) -> str:
        octets = "=".join(parts).encode("utf-8").lower()  # ASCII only: what hosts change on the way
        digest = hmac.digest(self.secret, octets, hashlib.sha256)
        return b32encode(digest[: _CODE_LENGTH * 5 // 8]).decode("ascii")

    def _is_ours(self, code: str, *parts: str) -> bool:
        return hmac.compare_digest(code.upper().encode("ascii"), self._code(*parts).encode("ascii"))

    def _is_recent(self, stamp: str) -> bool:
        high, low = map(_DIGITS.index, stamp.upper())
        return (self.day - (high * 32 + low)) % _DAYS <= MOST_DAYS


def _stamp(day: int) -> str:
    high, low = divmod(day % _DAYS, 32)
    return _DIGITS[high] + _DIGITS[low]


def _address(local: str, domain: str) -> Address | None:
    host = normal_literal(domain) if domain.startswith("[") else normal_domain(domain)
    return Address(local, host) if host is not None else None
