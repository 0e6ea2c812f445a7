"""The order of commands (RFC 5321 4.1.4) as data.

Each verb carries one of these orders: the states in which it may come, and the state an accepting reply leads
to. What is not in it is 503, said in one place by the session. A refused command leaves the state as it was.
Entering INIT or START empties the transaction, so that no way out of a transaction can forget to.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias


class State(StrEnum):
    START = "START"
    """Greeted; the client has not said its name, or said it before TLS."""
    INIT = "INIT"
    """Named, no transaction."""
    MAIL_STARTED = "MAIL_STARTED"
    RCPT_RECEIVED = "RCPT_RECEIVED"
    """At least one recipient was accepted."""
    DATA_RECEIVING = "DATA_RECEIVING"
    """Octets are text until CRLF.CRLF."""
    CHUNK_RECEIVING = "CHUNK_RECEIVING"
    """Octets are text until the chunk is full (RFC 3030)."""
    CHUNK_SKIPPING = "CHUNK_SKIPPING"
    """Octets are the chunk of a BDAT that is refused."""
    CHUNKED = "CHUNKED"
    """Between two chunks."""
    TLS_STARTING = "TLS_STARTING"
    """220 said; the next octets are a handshake and not for us."""
    AUTH_ANSWERING = "AUTH_ANSWERING"
    """334 said; the next line answers it (RFC 4954)."""
    CLOSED = "CLOSED"


START, INIT, MAIL_STARTED, RCPT_RECEIVED = State.START, State.INIT, State.MAIL_STARTED, State.RCPT_RECEIVED
DATA_RECEIVING, CHUNK_RECEIVING = State.DATA_RECEIVING, State.CHUNK_RECEIVING
CHUNK_SKIPPING, CHUNKED = State.CHUNK_SKIPPING, State.CHUNKED
TLS_STARTING, AUTH_ANSWERING, CLOSED = State.TLS_STARTING, State.AUTH_ANSWERING, State.CLOSED

Order: TypeAlias = Mapping[State, State]

COMMAND_STATES: Final = (START, INIT, MAIL_STARTED, RCPT_RECEIVED, CHUNKED)
"""Where lines are commands."""

ANY_TIME: Final[Order] = {state: state for state in COMMAND_STATES}
NAMING: Final[Order] = dict.fromkeys(COMMAND_STATES, INIT)
RESETTING: Final[Order] = {**dict.fromkeys(COMMAND_STATES, INIT), START: START}
LEAVING: Final[Order] = dict.fromkeys(COMMAND_STATES, CLOSED)
BEGINNING: Final[Order] = {INIT: MAIL_STARTED}
ADDRESSING: Final[Order] = {MAIL_STARTED: RCPT_RECEIVED, RCPT_RECEIVED: RCPT_RECEIVED}
SENDING: Final[Order] = {RCPT_RECEIVED: DATA_RECEIVING}
CHUNKING: Final[Order] = {RCPT_RECEIVED: CHUNK_RECEIVING, CHUNKED: CHUNK_RECEIVING}
SECURING: Final[Order] = {INIT: TLS_STARTING}
IDENTIFYING: Final[Order] = {INIT: AUTH_ANSWERING}
