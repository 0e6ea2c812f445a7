"""What SCRAM-SHA-256 (RFC 5802, RFC 7677) needs kept of a password: how it is made and written.

A verifier is written `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, binary parts in base64, as
PostgreSQL writes it too. Making one takes as long as a hash; reading one takes nothing.
"""

from __future__ import annotations

import hmac
from hashlib import pbkdf2_hmac, sha256
from secrets import token_bytes
from typing import Final

from mta.protocol.scram import Verifier, saslprep

ITERATIONS: Final = 15_000
"""As many as RFC 7677 4 asks of those who can afford it; 4096 is the least."""
_SALT: Final = 16


def make(password: str) -> Verifier:
    """A verifier of this password, with a salt of its own. Blocks."""
    raise NotImplementedError


def parse(text: str) -> Verifier | None:
    """A verifier as it was written; None when there is none, or nothing that could be one."""
    raise NotImplementedError


def decoy(secret: bytes, user: str) -> Verifier:
    """For a user without one: its salt stays the same as long as `secret` does, as a real one would, and no
    password fits (RFC 5802 9)."""
    raise NotImplementedError
