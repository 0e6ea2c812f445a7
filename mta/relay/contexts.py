"""In which manner a host is met: under TLS with a certificate that holds, with any certificate, or in clear.

Mail goes to strangers in the best manner that works (RFC 7435): a certificate that does not hold protects
against those who only listen, and no TLS is what mail had for thirty years. Where the operator requires TLS,
only a certificate that holds will do. What was wrong with a certificate is remembered for the host, so that
the next connection does not have to find out again.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from enum import Enum
from typing import Final, Literal

from mta.protocol.client.events import Failed, Fault
from mta.relay.connection import Cause, Connection
from mta.relay.routing.routes import Hop
from mta.tls import client_context

_MOST_REMEMBERED: Final = 10_000


class Manner(Enum):
    """The better ones first."""

    VERIFIED = "verified"
    ANY_CERTIFICATE = "any certificate"
    CLEAR = "clear"

    def terms(self, hop: Hop) -> Literal["none", "opportunistic", "require", "implicit"]:
        """What the session is told."""
        return "none" if self is Manner.CLEAR else hop.tls


class Contexts:
    """The contexts for connections, and what is known of hosts."""

    def __init__(self) -> None:
        self._verified = client_context(verified=True)
        self._any = client_context(verified=False)
        self._complaints: OrderedDict[str, str] = OrderedDict()
        """By host, what was wrong with its certificate."""

    def of(self, manner: Manner) -> ssl.SSLContext:
        return self._verified if manner is Manner.VERIFIED else self._any

    def best(self, hop: Hop) -> Manner:
        """How to meet this host first."""
        if hop.tls == "none":
            return Manner.CLEAR
        known = hop.tls == "opportunistic" and hop.name in self._complaints
        return Manner.ANY_CERTIFICATE if known else Manner.VERIFIED

    def next_worse(self, hop: Hop, manner: Manner, connection: Connection, cause: Cause) -> Manner | None:
        """How to meet it after a connection that ended for this cause; None: TLS is not what was wrong."""
        if hop.tls != "opportunistic" or not isinstance(cause, Failed) or cause.fault is not Fault.TLS_FAILED:
            return None
        if manner is Manner.VERIFIED and connection.bad_certificate:
            self._remember(hop.name, connection.bad_certificate)
            return Manner.ANY_CERTIFICATE
        return Manner.CLEAR

    def verdict(self, hop: Hop, manner: Manner) -> str:
        """What a log says of the certificate of a host that was met so."""
        return "held" if manner is Manner.VERIFIED else self._complaints.get(hop.name, "not checked")

    def _remember(self, host: str, complaint: str) -> None:
        self._complaints[host] = complaint
        self._complaints.move_to_end(host)
        if len(self._complaints) > _MOST_REMEMBERED:
            self._complaints.popitem(last=False)
