"""A name server of our own, with zones as data and every bad habit that one can have.

It serves real UDP and TCP on one port of 127.0.0.1, in two threads, and answers as a resolver does: an alias
comes with what it leads to, as far as the zone knows. Names not in the zone do not exist.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Zone = Mapping[str, Mapping[str, list[str]]]
"""Name, then type, then the records as a zone file writes them; a name without records exists."""
Habit = Callable[[dns.message.Message], bytes | None]
"""From a question to the octets that are sent, by UDP; None: silence."""

TTL = 300


def refuse(rcode: dns.rcode.Rcode) -> Habit:
    """Answer with this code only."""

    def answer(question: dns.message.Message) -> bytes:
        response = dns.message.make_response(question)
        response.set_rcode(rcode)
        return response.to_wire()

    return answer


def silence(_question: dns.message.Message) -> None:
    return None


def empty(_question: dns.message.Message) -> bytes:
    return b""


def truncated(question: dns.message.Message) -> bytes:
    response = dns.message.make_response(question)
    response.flags |= dns.flags.TC
    return response.to_wire()


def wrong_id(question: dns.message.Message) -> bytes:
    response = dns.message.make_response(question)
    response.id = question.id ^ 1
    response.answer.append(
        dns.rrset.from_text(question.question[0].name, TTL, "IN", "MX", "10 evil.example.")
    )
    return response.to_wire()


def wrong_question(question: dns.message.Message) -> bytes:
    other = dns.message.make_query("other.example.", question.question[0].rdtype)
    other.id = question.id
    return dns.message.make_response(other).to_wire()


class NameServer:
    """A context: it serves while it is entered."""

    def __init__(self, zone: Zone, *, tcp: bool = True) -> None:
        self.zone = zone
        self.habits: dict[str, Habit] = {}
        """By name, for all its types."""
        self.asked: Counter[tuple[str, str]] = Counter()
        """By name and type."""
        self.ttl = TTL
        self.open = threading.Event()
        """Nothing is answered while it is not set."""
        self.open.set()
        self._tcp, self._udp = _one_port(tcp)
        self.port: int = self._udp.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve_udp)]
        if tcp:
            self._threads.append(threading.Thread(target=self._serve_tcp))

    @property
    def address(self) -> str:
        """As `dns.servers` has it."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open.set()
        for sock in (self._udp, self._tcp):
            with suppress(OSError):  # it wakes whoever waits there, connected or not
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    # serving

    def _serve_udp(self) -> None:
        while True:
            octets, peer = self._udp.recvfrom(65535)
            if not peer or not octets:
                return
            answer = self._answer(octets, udp=True)
            if answer is not None:
                self._udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            with connection, suppress(ConnectionError, struct.error):
                (length,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
                answer = self._answer(connection.recv(length, socket.MSG_WAITALL), udp=False)
                if answer is not None:
                    connection.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, octets: bytes, *, udp: bool) -> bytes | None:
        question = dns.message.from_wire(octets)
        name = question.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.question[0].rdtype)
        self.asked[name, kind] += 1
        self.open.wait()
        habit = self.habits.get(name)
        if habit is not None and udp:
            return habit(question)
        response = self._look_up(question, name, kind)
        wire = response.to_wire(max_size=65535)
        return truncated(question) if udp and len(wire) > 1232 else wire

    def _look_up(self, question: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        response = dns.message.make_response(question)
        for owner, records in self._chain(name, kind):
            if records is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
            for shown in (kind, "CNAME"):
                texts = (records or {}).get(shown)
                if texts:
                    rrset = dns.rrset.from_text(dns.name.from_text(owner), self.ttl, "IN", shown, *texts)
                    response.answer.append(rrset)
                    break
        return response

    def _chain(self, name: str, kind: str) -> Iterator[tuple[str, Mapping[str, list[str]] | None]]:
        """The name, and those that its aliases lead to; an endless chain is given up after thirty."""
        for _ in range(30):
            records = self.zone.get(name)
            yield name, records
            if records is None or kind in records or "CNAME" not in records:
                return
            name = records["CNAME"][0].removesuffix(".")


def _one_port(tcp: bool) -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket of one port; the TCP one only takes connections if wanted."""
    while True:
        stream = socket.socket()
        stream.bind(("127.0.0.1", 0))
        datagram = socket.socket(type=socket.SOCK_DGRAM)
        try:
            datagram.bind(stream.getsockname())
        except OSError:
            stream.close()
            datagram.close()
            continue
        if tcp:
            stream.listen()
        return stream, datagram


@contextmanager
def nobody() -> Iterator[str]:
    """The address of a name server that is not there. Its port is kept, so that nobody else gets it, by a
    socket that hears somebody else only."""
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.connect(("127.0.0.1", 9))
        yield f"127.0.0.1:{other.getsockname()[1]}"
