"""Accounts as lines of text: passwd-files of Dovecot, and lines `name:password`. Pure.

    name:{SCHEME}hash:uid:gid:gecos:home:shell:extra fields
    name:password

A password that stands there as it is gets hashed; a hash is taken as it is and renewed at the first login.
Of the extra fields we know Dovecot's quota, and our own, which Dovecot does not mind: `mta_role`,
`mta_disabled`, `mta_scram`. What we write is a passwd-file that reads the same again.

This module must never put a password or a hash into the text of an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from mta.config.units import Unfit, parse_domain
from mta.users.account import Account, Key, Role
from mta.users.names import fold
from mta.users.passwords import Secrets

LOCKED: Final = "*"
"""The hash of an account that nobody can log in to."""

_OTHERS: Final = 6
"""Fields after the password: uid, gid, gecos, home, shell, extra fields."""
_NUMBERS: Final = re.compile(r"[^:]*:\d*:\d*(?::|\Z)")
_CLEAR: Final = re.compile(r"\{(?:PLAIN|CLEAR|CLEARTEXT)\}", re.IGNORECASE)
_HASH: Final = re.compile(r"\{[A-Za-z0-9.-]{1,20}\}|\$[0-9A-Za-z-]{1,20}\$")
_QUOTA: Final = re.compile(r"\*:(?P<bounds>.*)")
_BOUND: Final = re.compile(
    r"(?P<what>storage|bytes|messages)=(?P<amount>\d{1,15})(?P<unit>[BKMGT]?)", re.IGNORECASE
)
_UNITS: Final = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class BadLine(Exception):
    """Why a line is no account; nothing secret stands in it."""


@dataclass(frozen=True, slots=True)
class Line:
    """An account as a line describes it: with a hash, or with a password that is still to be hashed."""

    name: str
    domain: str
    secrets: Secrets | None
    password: str = field(default="", repr=False)
    role: Role = Role.USER
    enabled: bool = True
    quota_octets: int = 0
    quota_messages: int = 0

    @property
    def key(self) -> Key:
        """Its address."""
        return self.name, self.domain


def read(text: str, domain: str) -> Line | None:
    """The account of this line, at `domain` unless it says another; None for a comment. Raises BadLine."""
    text = text.rstrip("\r\n")
    if not text.strip() or text.startswith("#"):
        return None
    user, colon, rest = text.partition(":")
    if not colon:
        raise BadLine("there is no colon, and so no password")
    # A password may have colons; that of a passwd-file, which goes on with two numbers, may not.
    listed = _NUMBERS.match(rest) is not None
    secret, *others = rest.split(":", _OTHERS) if listed or _HASH.match(rest) else [rest]
    extra = _extra(others[-1]) if len(others) == _OTHERS else {}
    return _line(_key(user, domain), secret, extra, hashed=listed)


def write(account: Account, secrets: Secrets) -> str:
    """The line of a passwd-file for this account."""
    hash = secrets.hash  # noqa: A001 - the field of Secrets
    scheme = "{ARGON2ID}" if hash.startswith("$argon2id$") else "{CRYPT}" if hash.startswith("$") else ""
    return f"{account.address}:{scheme}{hash}::::::{' '.join(_extra_fields(account, secrets))}\n"


def _key(user: str, domain: str) -> Key:
    name, at, own = user.rpartition("@")
    try:
        return (fold(name), parse_domain(own)) if at else (fold(user), domain)
    except Unfit as error:
        raise BadLine(f"{user[:80]!a}: {error}") from error


def _line(key: Key, secret: str, extra: Mapping[str, str], *, hashed: bool) -> Line:
    octets, messages = _quota(extra)
    role = extra.get("mta_role", Role.USER.value)
    if role not in set(Role):
        raise BadLine(f"there is no role {role[:20]!a}")
    locked = secret.startswith(("*", "!")) and hashed
    if not secret or _CLEAR.fullmatch(secret):
        raise BadLine("there is no password")
    secrets, password = _secrets(LOCKED if locked else secret, extra.get("mta_scram", ""), hashed)
    enabled = not locked and "mta_disabled" not in extra
    return Line(*key, secrets, password, Role(role), enabled, octets, messages)


def _secrets(secret: str, scram: str, hashed: bool) -> tuple[Secrets | None, str]:
    clear = _CLEAR.match(secret)
    if clear is not None:
        return None, secret[clear.end() :]
    if hashed or _HASH.match(secret):
        return Secrets(secret.removeprefix("{ARGON2ID}"), scram), ""
    return None, secret


# extra fields: `key=value`, or `key`, parted by blanks


def _extra(text: str) -> Mapping[str, str]:
    pairs = (word.partition("=") for word in text.split())
    return {key: value for key, _, value in pairs}


def _extra_fields(account: Account, secrets: Secrets) -> Iterator[str]:
    bounds = {"bytes": account.quota_octets, "messages": account.quota_messages}
    told = ":".join(f"{what}={amount}" for what, amount in bounds.items() if amount)
    if told:
        yield f"userdb_quota_rule=*:{told}"
    if account.role is not Role.USER:
        yield f"mta_role={account.role}"
    if not account.enabled:
        yield "mta_disabled"
    if secrets.scram:
        yield f"mta_scram={secrets.scram}"


def _quota(extra: Mapping[str, str]) -> tuple[int, int]:
    """(octets, messages): `*:storage=1G:messages=1000`; storage without a unit counts KiB, as Dovecot's."""
    found = _QUOTA.fullmatch(extra.get("userdb_quota_rule", extra.get("quota_rule", "")))
    octets = messages = 0
    for bound in _BOUND.finditer(found["bounds"] if found else ""):
        what, unit = bound["what"].lower(), bound["unit"].upper()
        if what == "messages":
            messages = int(bound["amount"])
        else:
            octets = int(bound["amount"]) * _UNITS[unit or ("K" if what == "storage" else "B")]
    return octets, messages
