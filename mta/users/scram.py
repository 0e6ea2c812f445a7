"""What SCRAM-SHA-256 (RFC 5802, RFC 7677) needs kept of a password: how it is made and written.

A verifier is written `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, binary parts in base64, as
PostgreSQL writes it too. Making one takes as long as a hash; reading one takes nothing.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from hashlib import pbkdf2_hmac
from secrets import token_bytes
from typing import Final

from mta.protocol.scram import Verifier, keys_of, saslprep

ITERATIONS: Final = 15_000
"""As many as RFC 7677 4 asks of those who can afford it; 4096 is the least."""
_SALT: Final = 16
"""Octets."""

_BASE64: Final = r"[A-Za-z0-9+/]+={0,2}"
_written = re.compile(
    rf"SCRAM-SHA-256\$(?P<iterations>[1-9][0-9]{{3,6}}):(?P<salt>{_BASE64})"
    rf"\$(?P<stored>[A-Za-z0-9+/]{{43}}=):(?P<server>[A-Za-z0-9+/]{{43}}=)"
).fullmatch


def make(password: str) -> Verifier:
    """A verifier of this password, with a salt of its own. Blocks. Raises ValueError for a password that
    SCRAM cannot speak of (RFC 4013)."""
    salt = token_bytes(_SALT)
    salted = pbkdf2_hmac("sha256", saslprep(password).encode("utf-8"), salt, ITERATIONS)
    return Verifier(salt, ITERATIONS, *keys_of(salted))


def write(verifier: Verifier) -> str:
    """A verifier as it is kept."""
    salt, stored, server = (
        b64encode(octets).decode("ascii")
        for octets in (verifier.salt, verifier.stored_key, verifier.server_key)
    )
    return f"SCRAM-SHA-256${verifier.iterations}:{salt}${stored}:{server}"


def parse(text: str) -> Verifier | None:
    """A verifier as it was written; None when there is none, or nothing that could be one."""
    found = _written(text)
    if found is None or len(found["salt"]) % 4:
        return None
    salt, stored, server = (b64decode(found[name]) for name in ("salt", "stored", "server"))
    return Verifier(salt, int(found["iterations"]), stored, server)


def decoy(secret: bytes, user: str) -> Verifier:
    """For a user without one: its salt stays the same as long as `secret` does, as a real one would, and no
    password fits (RFC 5802 9)."""
    salt = hmac.digest(secret, user.encode("utf-8", "surrogatepass"), "sha256")[:_SALT]
    return Verifier(salt, ITERATIONS, token_bytes(32), token_bytes(32))
