"""Who is connected, for whoever watches: one row a session, those first that have been here longest.

Looking costs the loop about a microsecond for each row, so there is a bound on rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from mta.server.service import Guest

Message = dict[str, Any]

MOST_ROWS: Final = 500

_FOUND, _NOT_FOUND, _USAGE = 0, 1, 2


def answer(guests: Iterable[Guest], count: int, now: float, request: Message) -> Message:
    """One request of the local socket. `guests`: in the order in which they came; `now`: by the loop's
    clock."""
    match request:
        case {"request": "sessions"}:
            rows = [_row(guest, now) for guest in islice(guests, MOST_ROWS)]
            return {"status": _FOUND, "count": count, "sessions": rows}
        case {"request": "drop", "session": str(session)}:
            return _drop(guests, session)
        case _:
            return {"status": _USAGE, "text": "the receiver does not know this request"}


def _row(guest: Guest, now: float) -> Message:
    connection = guest.connection
    return {
        "session": guest.session_id,
        "service": guest.client.service,
        "peer": guest.client.peer,
        "phase": guest.session.phase,
        "age": now - guest.started,
        "waits_for": connection.waits_for if connection is not None else "",
    }


def _drop(guests: Iterable[Guest], session: str) -> Message:
    """Tell it 421 and let it go; a reply that is due goes first."""
    for guest in guests:
        if guest.session_id == session and guest.connection is not None:
            guest.connection.shut_down()
            return {"status": _FOUND, "text": ""}
    return {"status": _NOT_FOUND, "text": f"no session {session[:40]}"}
