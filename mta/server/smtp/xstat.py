"""XSTAT: the counters of the mail services as sentences, which programs of others read word by word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from mta.counters import (
    CONNECTIONS_CURRENT,
    CONNECTIONS_TOTAL,
    MAIL_SERVICES,
    MESSAGES_ACCEPTED,
    OCTETS_ACCEPTED,
    Counters,
)
from mta.protocol.events import Statistic
from mta.protocol.replies import Reply

_SENTENCES: Final[Mapping[str, tuple[str, Callable[[Counters], int]]]] = {
    "TOTAL": ("total connections", lambda grid: grid.sum(CONNECTIONS_TOTAL, *MAIL_SERVICES)),
    "CURRENT": ("current connections", lambda grid: grid.sum(CONNECTIONS_CURRENT, *MAIL_SERVICES)),
    "BYTES": ("total bytes of data transferred", lambda grid: grid.total(OCTETS_ACCEPTED)),
    "MAILS": ("total mails sent", lambda grid: grid.total(MESSAGES_ACCEPTED)),
}


def answer(event: Statistic, grid: Counters) -> Reply:
    """The reply, the one without an enhanced code."""
    what, count = _SENTENCES[event.name]
    return Reply(250, "", f"{what}: {count(grid)}")
