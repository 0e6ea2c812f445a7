"""The terms of a POP3 session: all that it knows of its surroundings."""

from __future__ import annotations

from dataclasses import dataclass

from mta.protocol.smtp.terms import LoginTerms


@dataclass(frozen=True, slots=True)
class Pop3Terms:
    """What a session is told at its start and keeps to its end, whatever is reloaded meanwhile."""

    hostname: str
    """Our own name, ASCII."""
    error_limit: int
    """Refused commands, then the end; five times as many that get nobody further before the login."""
    starttls: bool
    """STLS is offered."""
    login: LoginTerms
