"""A connection between a real socket pair and a session made of a script; time is the test's."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from mta.loop import Loop
from mta.protocol.events import NEED_DATA, PAUSED, Closed, Event
from mta.server.connection import Connection
from mta.server.tls import TlsFilter


class Echo:
    """A session that answers each line with itself; `wait` pauses it, `quit` ends it, `bug` breaks."""

    wants_data = True
    has_more = False

    def __init__(self) -> None:
        self.input, self.output = b"", b"220 hello\r\n"
        self.paused = False
        self.end: Closed | None = None

    phase = ""

    def receive_data(self, data: bytes) -> None:
        self.input += data

    def receive_eof(self) -> None:
        self.end = Closed("client left")

    def next_event(self) -> Event:
        while not self.paused and self.end is None:
            line, found, rest = self.input.partition(b"\r\n")
            if not found:
                return NEED_DATA
            self.input = rest
            self.serve(line)
        return PAUSED if self.paused else self.end or NEED_DATA

    def serve(self, line: bytes) -> None:
        if line == b"bug":
            raise ZeroDivisionError("a defect")
        self.paused = line == b"wait"
        if line in (b"quit", b"refuse"):
            self.end = Closed(line.decode())
        self.output += line * (5_000_000 if line == b"much" else 1) + b"\r\n"

    def data_to_send(self) -> bytes:
        output, self.output = self.output, b""
        return output

    def tls_started(self) -> None: ...

    def time_out(self) -> None:
        self.output += b"421 timeout\r\n"
        self.end = Closed("timeout")

    def shut_down(self) -> None:
        self.output += b"421 shutdown\r\n"
        self.end = Closed("shutdown")


class Host:
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.defects: list[Exception] = []

    def handle(self, event: Event) -> None: ...
    def tls_established(self, tls: TlsFilter) -> None: ...

    def disconnected(self, reason: str) -> None:
        self.reasons.append(reason)

    def failed(self, defect: Exception) -> None:
        self.defects.append(defect)


class Bench:
    """One connection under test, and the client's end of it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.loop = Loop(clock=lambda: self.now)
        self.client, server = socket.socketpair()
        server.setblocking(False)
        self.client.setblocking(False)
        self.session, self.host = Echo(), Host()
        self.connection = Connection(self.loop, server, self.session, self.host, timeout=300)
        self.connection.open()

    def say(self, octets: bytes) -> bytes:
        self.client.sendall(octets)
        self.loop.turn(0)
        return self.heard()

    def heard(self) -> bytes:
        """All that has arrived; b"" when nothing has."""
        octets = b""
        while select.select([self.client], [], [], 0)[0]:
            piece = self.client.recv(1 << 20)
            if not piece:
                break
            octets += piece
        return octets

    def at_end(self) -> bool:
        """Whether the server has closed its side."""
        try:
            return self.client.recv(1 << 20) == b""
        except BlockingIOError:
            return False

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.connection.check_time(self.now)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    assert made.heard() == b"220 hello\r\n"
    yield made
    made.client.close()
    made.connection._close("end of test")
    made.loop.close()


def test_lines_are_answered(bench: Bench) -> None:
    assert bench.say(b"one\r\ntwo\r\nthr") == b"one\r\ntwo\r\n"
    assert bench.say(b"ee\r\n") == b"three\r\n"


def test_quit_closes_at_once(bench: Bench) -> None:
    assert bench.say(b"quit\r\n") == b"quit\r\n"
    assert bench.host.reasons == ["quit"]


def test_a_client_that_is_refused_gets_to_read_why(bench: Bench) -> None:
    """Closing with input unread would reset the connection and take the reply with it."""
    assert bench.say(b"refuse\r\nmore that nobody will read") == b"refuse\r\n"
    assert not bench.connection.closed
    bench.say(b"and more")
    assert bench.at_end()
    bench.pass_time(3)
    assert bench.host.reasons == ["refuse"]


def test_who_pours_on_while_refused_is_not_listened_to_for_ever(bench: Bench) -> None:
    bench.say(b"refuse\r\n")
    for _ in range(20):
        bench.say(b"x" * 10_000)
    bench.pass_time(3)
    assert bench.connection.closed


def test_a_paused_session_goes_on_when_its_host_resumes_it(bench: Bench) -> None:
    assert bench.say(b"wait\r\nnext\r\n") == b"wait\r\n"
    bench.session.paused = False
    bench.connection.resume()
    assert bench.heard() == b"next\r\n"


def test_a_held_connection_reads_nothing(bench: Bench) -> None:
    bench.connection.hold()
    bench.connection.resume()
    assert bench.say(b"one\r\n") == b""
    assert bench.session.input == b""
    bench.connection.release()
    bench.loop.turn(0)
    assert bench.heard() == b"one\r\n"


def test_nothing_is_read_from_a_client_that_does_not_listen(bench: Bench) -> None:
    bench.client.sendall(b"much\r\n")
    bench.loop.turn(0)
    bench.client.sendall(b"next\r\n")
    bench.loop.turn(0)
    assert bench.session.input == b""
    octets = b""
    while not octets.endswith(b"next\r\n"):
        octets += bench.heard()
        bench.loop.turn(0)
    assert len(octets) == 5_000_000 * 4 + 2 + 6


def test_silence_is_answered_421_after_the_timeout_and_not_before(bench: Bench) -> None:
    bench.pass_time(299)
    assert bench.heard() == b""
    bench.pass_time(2)
    assert bench.heard() == b"421 timeout\r\n"


def test_a_reply_grants_the_whole_time_again(bench: Bench) -> None:
    bench.pass_time(250)
    bench.say(b"noop\r\n")
    bench.pass_time(250)
    assert bench.heard() == b""


def test_single_octets_buy_no_time(bench: Bench) -> None:
    for _ in range(29):
        bench.say(b"x")
        bench.pass_time(10)
    assert bench.heard() == b""
    bench.say(b"x")
    bench.pass_time(11)
    assert bench.heard() == b"421 timeout\r\n"


def test_our_own_delay_is_not_held_against_the_client(bench: Bench) -> None:
    bench.say(b"wait\r\n")
    bench.pass_time(10_000)
    assert bench.heard() == b""
    assert not bench.connection.closed


def test_a_client_that_vanishes_while_it_waits_is_noticed(bench: Bench) -> None:
    bench.say(b"wait\r\n")
    bench.client.close()
    for _ in range(3):
        bench.loop.turn(0)
    assert bench.connection.closed


def test_half_a_close_still_gets_its_answer(bench: Bench) -> None:
    bench.client.sendall(b"one\r\n")
    bench.client.shutdown(socket.SHUT_WR)
    bench.loop.turn(0)
    bench.loop.turn(0)
    assert bench.heard() == b"one\r\n"
    assert bench.host.reasons == ["client left"]


def test_a_defect_costs_its_own_session_only(bench: Bench) -> None:
    bench.say(b"bug\r\n")
    assert bench.host.reasons == ["internal error"]
    assert [type(defect) for defect in bench.host.defects] == [ZeroDivisionError]
    bench.loop.turn(0)


def test_shutting_down_tells_the_client(bench: Bench) -> None:
    bench.connection.shut_down()
    assert bench.heard() == b"421 shutdown\r\n"


def test_events_for_a_connection_closed_meanwhile_mean_nothing(bench: Bench) -> None:
    bench.client.sendall(b"one\r\n")
    bench.connection._close("neighbour")
    bench.loop.turn(0)
    assert bench.host.reasons == ["neighbour"]
