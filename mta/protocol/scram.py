"""SCRAM-SHA-256 (RFC 5802, RFC 7677) as the server speaks it, and SASLprep (RFC 4013)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a server keeps to recognise a password without knowing it (RFC 5802 3)."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def saslprep(text: str) -> str:
    """`text` in the one form in which two of them are compared (RFC 4013). Raises ValueError for what cannot
    be a name or a password."""
    raise NotImplementedError
