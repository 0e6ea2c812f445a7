"""The order of POP3 commands (RFC 1939 3) as data.

Each verb carries one of these orders: the states in which it may come, and the state that its success leads
to. What is not in it is an error, said in one place by the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias


class State(StrEnum):
    AUTHORIZATION = "AUTHORIZATION"
    USER_GIVEN = "USER_GIVEN"
    """The line before was USER: only now PASS may come (RFC 1939 7)."""
    AUTHENTICATING = "AUTHENTICATING"
    """Lines are answers to challenges (RFC 5034 4)."""
    TRANSACTION = "TRANSACTION"
    UPDATE = "UPDATE"
    """QUIT said; the host removes what is marked."""
    TLS_STARTING = "TLS_STARTING"
    """+OK said; the next octets are a handshake and not for us."""
    CLOSED = "CLOSED"


AUTHORIZATION, USER_GIVEN, AUTHENTICATING = State.AUTHORIZATION, State.USER_GIVEN, State.AUTHENTICATING
TRANSACTION, UPDATE = State.TRANSACTION, State.UPDATE
TLS_STARTING, CLOSED = State.TLS_STARTING, State.CLOSED

Order: TypeAlias = Mapping[State, State]

ANY_TIME: Final[Order] = {
    AUTHORIZATION: AUTHORIZATION,
    USER_GIVEN: AUTHORIZATION,
    TRANSACTION: TRANSACTION,
}
PREPARING: Final[Order] = dict.fromkeys((AUTHORIZATION, USER_GIVEN), AUTHORIZATION)
NAMING: Final[Order] = dict.fromkeys((AUTHORIZATION, USER_GIVEN), USER_GIVEN)
PROVING: Final[Order] = {USER_GIVEN: TRANSACTION}
AUTHORIZING: Final[Order] = dict.fromkeys((AUTHORIZATION, USER_GIVEN), TRANSACTION)
SECURING: Final[Order] = dict.fromkeys((AUTHORIZATION, USER_GIVEN), TLS_STARTING)
READING: Final[Order] = {TRANSACTION: TRANSACTION}
LEAVING: Final[Order] = {AUTHORIZATION: CLOSED, USER_GIVEN: CLOSED, TRANSACTION: UPDATE}
"""QUIT enters UPDATE from TRANSACTION only (RFC 1939 6)."""
