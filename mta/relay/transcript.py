"""The transcript of outgoing sessions: who was met, and each line that was said on either side.

Texts appear as their size, passwords not at all: the session shows neither.
"""

from __future__ import annotations

from collections.abc import Callable

from mta.log import events as tell
from mta.log.log import Log
from mta.protocol.client.session import SmtpClient


def transcribe(
    log: Log, session: SmtpClient, identifier: str, peer: str, name: str
) -> Callable[[float], None] | None:
    """Record this session line by line, if that is wanted now; what is returned is to be called at its end,
    with its seconds. `peer`: address and port; `name`: the host's."""
    if not log.transcript:
        return None
    tell.transcript_started(log, identifier, "relay", peer, name)

    def line(direction: str, octets: bytes) -> None:
        told = tell.transcript_sent if direction == "C" else tell.transcript_received
        told(log, identifier, octets)

    session.transcript = line
    return lambda seconds: tell.transcript_completed(log, identifier, seconds)
