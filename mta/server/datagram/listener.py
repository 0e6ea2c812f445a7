"""SMTP over UDP: one socket, a table of sessions by the address and port of their peer.

Each session is an ordinary one with an ordinary host; only what carries it differs (`exchange`). Here the
socket is read, the session found, and everybody dealt with who has none:

    a datagram of a session            to its Exchange
    an opening of `datagram.trusted`   begins a session
    an opening of a stranger           is answered with a cookie
    a cookie that holds                begins a session
    anything else                      is ignored

A source address can be forged, so that whatever is answered to a stranger hits whom he names. Before the
cookie there is therefore no state, no log record, and no reply that is longer than what came. What is not
answered is not served either: peers repeat what they hear nothing of.

This module must never know what a line means.
"""

from __future__ import annotations

import os
import socket
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

from mta.config.units import IPAddress
from mta.loop import Loop
from mta.policy import client_address
from mta.protocol.datagram import Again, Cookies, Numbers, challenge, cookie_in, is_opening
from mta.protocol.replies import Reply
from mta.protocol.smtp.server import SmtpServer
from mta.server.connection import Connect, Host, Session
from mta.server.datagram.exchange import Exchange
from mta.server.datagram.way_back import SPACE, Ancillary, tell_ways, way_back
from mta.server.desk import Rules
from mta.server.listener import household
from mta.server.smtp.host import SMTP

LONGEST: Final = 16384
"""Octets of a datagram; longer ones are ignored."""

SILENT_PORTS: Final = frozenset({0, 7, 13, 17, 19, 53, 123})
"""Services there answer whatever comes: two of us would talk for ever."""

LINGER: Final = 15.0
"""Seconds in which the last reply of a session is given again; a client repeats its QUIT for ten."""

STRANGERS: Final = (20, 1000)
SESSIONS: Final = (20_000, 50_000)
"""Replies in one second to one address, and to all."""

_ONE_TURN: Final = 64
"""Datagrams taken in one turn; the others wait for the next."""
_MOST_ENDED: Final = 1000
"""Sessions that linger."""

Peer = tuple[Any, ...]
"""An address as recvmsg(2) tells it: host and port first."""

Begin = Callable[[Peer, Connect], Reply | None]
"""Begins a session with this peer, or returns the refusal."""


class RateLimit:
    """How many replies there may be in one second, to one address and to all together."""

    __slots__ = ("_all", "_altogether", "_each", "_one", "_second")

    def __init__(self, one: int, altogether: int) -> None:
        self._one = one
        self._altogether = altogether
        self._second = -1
        self._all = 0
        self._each: Counter[int] = Counter()

    def allows(self, client: IPAddress, now: float) -> bool:
        """Count one more, unless there have been too many. `now`: seconds of the loop's clock."""
        if int(now) != self._second:
            self._second = int(now)
            self._all = 0
            self._each.clear()
        key = household(client)
        if self._all >= self._altogether or self._each[key] >= self._one:
            return False
        self._all += 1
        self._each[key] += 1
        return True


class _Guest(NamedTuple):
    """A session in the table: what carries it, and the cookie it began with."""

    exchange: Exchange
    cookie: bytes | None


class Origin(NamedTuple):
    """Where a datagram came from, and how an answer gets there."""

    peer: Peer
    address: IPAddress
    way: Ancillary

    @property
    def name(self) -> str:
        """As a cookie knows it."""
        return f"{self.peer[0]} {self.peer[1]}"


class DatagramListener:
    """One socket, and the sessions on it."""

    def __init__(self, loop: Loop, sock: socket.socket, rules: Callable[[], Rules], begin: Begin) -> None:
        """`rules`: those in force. The socket is the supervisor's; we keep a duplicate as long as sessions
        need it."""
        self._loop = loop
        self._socket = sock.dup()
        self._socket.setblocking(False)
        tell_ways(self._socket)
        self._own_port = int(sock.getsockname()[1])
        self._rules = rules
        self._begin = begin
        self._cookies = Cookies(os.urandom(32))
        self._strangers = RateLimit(*STRANGERS)
        self._acquainted = RateLimit(*SESSIONS)
        self._sessions: dict[Peer, _Guest] = {}
        self._ended: OrderedDict[Peer, tuple[float, Numbers]] = OrderedDict()
        self._open = True
        self.resume()

    # what the receiver does with it

    def close(self) -> None:
        """Take nothing more; the sessions get what they are owed, and 421."""
        self.pause()
        self._open = False
        for guest in list(self._sessions.values()):
            guest.exchange.shut_down()
        self._close_when_empty()

    def pause(self) -> None:
        """Leave what comes in the kernel's buffer."""
        self._loop.unwatch(self._socket.fileno())

    def resume(self) -> None:
        self._loop.watch(self._socket.fileno(), self._ready)

    # datagrams

    def _ready(self, _events: int) -> None:
        for _ in range(_ONE_TURN):
            try:
                datagram, told, flags, peer = self._socket.recvmsg(LONGEST, SPACE)
            except BlockingIOError:
                return
            except OSError:
                continue  # what an earlier reply met with, and nobody is there to be told
            way = way_back(told)
            if way is not None and not flags & socket.MSG_TRUNC and peer[1] != self._own_port:
                self._receive(datagram, Origin(peer, client_address(peer[0]), way))

    def _receive(self, datagram: bytes, origin: Origin) -> None:
        peer, address, _ = origin
        if not is_answered(address, peer[1]):
            return
        trusted = any(address in network for network in self._rules().settings.datagram.trusted)
        cookie = None if trusted else cookie_in(datagram)
        if cookie is not None:
            self._receive_cookie(cookie, origin)
        elif is_opening(datagram) and not trusted:
            self._challenge(len(datagram), origin)
        elif peer in self._sessions or peer in self._ended:
            self._receive_known(datagram, origin)
        elif is_opening(datagram) and self._acquainted.allows(address, self._loop.clock()):
            self._meet(origin, None)

    def _receive_known(self, datagram: bytes, origin: Origin) -> None:
        if not self._acquainted.allows(origin.address, self._loop.clock()):
            return
        guest = self._sessions.get(origin.peer)
        if guest is not None:
            guest.exchange.receive(datagram)
        elif is_opening(datagram):
            self._meet(origin, None)
        else:
            self._remember(datagram, origin)

    # strangers

    def _challenge(self, octets: int, origin: Origin) -> None:
        """Ask a stranger to show that our answers reach him; the question is no longer than what he sent."""
        now = self._loop.clock()
        hostname = self._rules().settings.hostname.encode("ascii")
        question = challenge(hostname, self._cookies.make(origin.name, now))
        if len(question) <= octets and self._strangers.allows(origin.address, now):
            self._send(origin, question)

    def _receive_cookie(self, cookie: bytes, origin: Origin) -> None:
        now = self._loop.clock()
        if not self._cookies.holds(cookie, origin.name, now):
            return
        if not self._acquainted.allows(origin.address, now):
            return
        guest = self._sessions.get(origin.peer)
        if guest is not None and guest.cookie == cookie:
            guest.exchange.greet_again()
            return
        if guest is not None:
            guest.exchange.abandon()
        self._meet(origin, cookie)

    # sessions

    def _meet(self, origin: Origin, cookie: bytes | None) -> None:
        """Begin a session. Who had to show a cookie has to number his lines too."""
        self._ended.pop(origin.peer, None)

        def connect(session: Session, host: Host, timeout: float) -> Exchange:
            assert isinstance(session, SmtpServer)
            exchange = Exchange(
                self._loop,
                partial(self._send, origin),
                partial(self._left, origin.peer),
                Numbers(optional=cookie is None),
                session,
                host,
                timeout,
            )
            self._sessions[origin.peer] = _Guest(exchange, cookie)
            return exchange

        refusal = self._begin(origin.peer, connect)
        if refusal is not None:
            self._send(origin, refusal.octets)

    def _left(self, peer: Peer) -> None:
        """A session is over. Its last reply may get lost, so its answers stay a while."""
        numbers = self._sessions.pop(peer).exchange.numbers
        now = self._loop.clock()
        if numbers.used:
            self._ended[peer] = now, numbers
        while self._ended and self._has_faded(now):
            self._ended.popitem(last=False)
        self._close_when_empty()

    def _has_faded(self, now: float) -> bool:
        """Whether the session that ended first has been over for long enough, or there are too many."""
        return len(self._ended) > _MOST_ENDED or next(iter(self._ended.values()))[0] + LINGER < now

    def _remember(self, datagram: bytes, origin: Origin) -> None:
        """A line of a session that is over: its last ones may be repeated."""
        taken = self._ended[origin.peer][1].receive(datagram, text=False)
        if isinstance(taken, Again):
            self._send(origin, taken.datagram)

    # the socket

    def _send(self, origin: Origin, datagram: bytes) -> None:
        """Send it, or lose it: the peer asks again."""
        with suppress(OSError):
            self._socket.sendmsg([datagram], origin.way, 0, origin.peer)

    def _close_when_empty(self) -> None:
        if not self._open and not self._sessions:
            self._socket.close()


def is_answered(address: IPAddress, port: int) -> bool:
    """Whether anything is ever sent there: to one host, and to none of the services that always answer."""
    nobody = address.is_multicast or address.is_unspecified or (address.version == 4 and address.is_reserved)
    return port not in SILENT_PORTS and not nobody


DATAGRAM: Final = replace(SMTP, greets=False)
"""Mail from networks without TCP, and for study; off by default."""
