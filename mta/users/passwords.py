"""Passwords: what is kept of one, and whether somebody knows it.

Of a new password an argon2id hash is kept (RFC 9106; 19 MiB, two passes, one lane), and beside it what
SCRAM-SHA-256 needs, where that is wanted. Accounts that come from other servers bring hashes of other kinds:
those verify too, and ask to be renewed when their password is known next, at a login.

Everything here takes as long as a hash takes (some 20 ms) and so must never run in the loop's thread. This
module must never know whose password it is, nor log anything.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

import argon2

from mta.protocol.scram import saslprep
from mta.users import foreign
from mta.users import scram as verifiers

MEMORY_KIB: Final = 19 * 1024
PASSES: Final = 2
LANES: Final = 1

NOBODYS: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$qPt4yqCGTOjMU6Lg6Aj+Sw$Sx+E5JPgqGw/AGxLaZU+8Av/Ts0T7AF2yzPRCgGpNkk"
)
"""The hash of a password that nobody knows: to be verified for an unknown user, so that it costs the same."""

_OURS: Final = "$argon2"

LONGEST: Final = 1024
"""Octets of a password; more would only be work."""

_hasher = argon2.PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is kept of a password; nothing of it is ever shown."""

    hash: str = field(repr=False)
    scram: str = field(default="", repr=False)
    """A verifier of SCRAM-SHA-256 as `mta.users.scram` writes it; empty when none is kept."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether a password was right, and whether its hash should be made anew by our own rules."""

    ok: bool
    renew: bool = False


def make_secrets(password: str, *, scram: bool) -> Secrets:
    """What to keep of this password; blocks for as long as a hash takes, or two with `scram`."""
    return Secrets(_hasher.hash(_prepared(password)), _scram(password) if scram else "")


def verify(hash: str, password: str) -> Verified:  # noqa: A002 - the field of Secrets
    """Whether this is the password of this hash, of whatever kind. Blocks. A hash that nobody can read is the
    hash of no password."""
    ours = hash[hash.find("}") + 1 :]  # others write {ARGON2ID} before it
    if ours.startswith(_OURS):
        return _verify_ours(ours, password)
    fits = foreign.fits(hash, _octets(password))
    return Verified(fits, renew=fits)


def _verify_ours(hash: str, password: str) -> Verified:  # noqa: A002
    """Others have hashed what came over the wire, as it came; renewed, it is what we make of it."""
    prepared, raw = _prepared(password), _octets(password)
    if _is(hash, prepared):
        return Verified(ok=True, renew=_hasher.check_needs_rehash(hash))
    known = raw != prepared and _is(hash, raw)
    return Verified(known, renew=known)


def _is(hash: str, octets: bytes) -> bool:  # noqa: A002
    try:
        return _hasher.verify(hash, octets)
    except (argon2.exceptions.VerificationError, ValueError):  # the latter for what is no hash at all
        return False


def _prepared(password: str) -> bytes:
    """The same octets for the same password, however a keyboard composed its letters (RFC 4616 2)."""
    try:
        return _octets(saslprep(password))
    except ValueError:
        return _octets(password)  # whoever set it could type it, and will type it again


def _octets(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def _scram(password: str) -> str:
    try:
        return verifiers.write(verifiers.make(password))
    except ValueError:
        return ""  # not a password that SCRAM could speak of


def fault_of(password: str, minimum: int) -> str | None:
    """What keeps this from being a new password, in words; None when nothing does. `minimum`: characters."""
    if len(password) < minimum:
        return f"a password has at least {minimum} characters"
    if len(_octets(password)) > LONGEST:
        return f"a password has at most {LONGEST} octets"
    try:
        saslprep(password)
    except ValueError as error:
        return f"a password cannot have {error}"
    return None


def generate() -> str:
    """A new password of 100 random bits, in four groups, fit to be read over a telephone."""
    return "-".join("".join(secrets.choice(_CLEAR) for _ in range(5)) for _ in range(4))


_CLEAR: Final = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 characters, none of which is taken for another."""
