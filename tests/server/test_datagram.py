"""SMTP over UDP, on a real socket: sessions, loss and repetition, forged sources."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from mta.counters import CONNECTIONS_CURRENT, CONNECTIONS_TOTAL
from mta.server.datagram import listener as datagram
from mta.server.datagram.listener import LONGEST, SILENT_PORTS, RateLimit, is_answered
from mta.server.datagram.way_back import way_back
from tests.server.datagrams import DATAGRAM, DatagramHouse, Peer
from tests.server.receiver import KEY

OPENING = b" " * 200 + b"\r\n"
ENVELOPE = (b"EHLO x.example", b"MAIL FROM:<s@x.example>", b"RCPT TO:<user@example.org>")
TEXT = (b"Subject: hello", b"", b"12 monkeys", b"same", b"same", b"same", b"..stuffed", b"")
STORED = b"Subject: hello\n\n12 monkeys\nsame\nsame\nsame\n.stuffed\n\n"

MakeHouse = Callable[..., DatagramHouse]


@pytest.fixture
def make_house(tmp_path: Path) -> Iterator[MakeHouse]:
    houses: list[DatagramHouse] = []

    def make(*overrides: str) -> DatagramHouse:
        houses.append(DatagramHouse(tmp_path, *overrides))
        return houses[-1]

    yield make
    for each in houses:
        each.close()


@pytest.fixture
def house(make_house: MakeHouse) -> DatagramHouse:
    return make_house()


def numbered(*lines: bytes, start: int = 1) -> list[bytes]:
    return [b"%d %b" % (number, line) for number, line in enumerate(lines, start)]


def stored(house: DatagramHouse) -> list[bytes]:
    return [file.read_bytes() for file in house.files("user/new")]


# a session


def test_a_session_of_an_old_client(house: DatagramHouse) -> None:
    peer = house.peer()
    assert peer.ask(b"\r\n") == b"220 mx.example.org ESMTP ready\r\n"
    codes = [answer[:3] for answer in peer.say(*ENVELOPE, b"DATA")]
    assert codes == [b"250", b"250", b"250", b"354"]
    assert peer.say(*TEXT) == [b""] * len(TEXT)
    assert peer.say(b".")[0].startswith(b"250 2.0.0 queued as ")
    assert peer.say(b"QUIT") == [b"221 2.0.0 bye\r\n"]
    (message,) = stored(house)
    assert message.endswith(STORED)
    assert house.sessions == 0


def test_a_session_with_numbers(house: DatagramHouse) -> None:
    peer = house.peer().open()
    answers = peer.say(*numbered(*ENVELOPE, b"DATA", *TEXT, b".", b"QUIT"))
    assert [answer.split(b" ")[0] for answer in answers] == [b"%d" % n for n in range(1, len(answers) + 1)]
    assert answers[4 : 4 + len(TEXT)] == [b"%d " % n for n in range(5, 5 + len(TEXT))]
    assert stored(house)[0].endswith(STORED)


def test_the_same_policy_as_over_tcp(house: DatagramHouse) -> None:
    peer = house.peer().open()
    answers = peer.say(b"HELO x", b"RCPT TO:<user@example.org>", b"MAIL FROM:<s@x.example>", b"RCPT TO:<@@>")
    assert [answer[:3] for answer in answers] == [b"250", b"503", b"250", b"501"]
    stranger = house.stranger().open()
    house.configure("relay.from=")
    (refusal,) = house.stranger().open().say(*numbered(*ENVELOPE[:2], b"RCPT TO:<x@elsewhere.example>"))[2:]
    assert refusal.startswith(b"3 550 5.7.1"), refusal
    assert stranger.say(b"1 NOOP")[0].startswith(b"1 250")


def test_nothing_that_needs_a_stream_is_offered(house: DatagramHouse) -> None:
    peer = house.peer().open()
    (offered, refused, _) = peer.say(b"EHLO x", b"BDAT 5 LAST", b"NOOP")
    assert not any(word in offered for word in (b"PIPELINING", b"CHUNKING", b"STARTTLS"))
    assert b"SIZE" in offered
    assert refused.startswith(b"502")


def test_it_counts_as_a_connection(house: DatagramHouse) -> None:
    row = house.counters.row("receiver")
    peer = house.peer().open()
    assert (row.get(CONNECTIONS_TOTAL["datagram"]), row.get(CONNECTIONS_CURRENT["datagram"])) == (1, 1)
    peer.say(b"QUIT")
    assert (row.get(CONNECTIONS_TOTAL["datagram"]), row.get(CONNECTIONS_CURRENT["datagram"])) == (1, 0)
    assert [record.text("service") for record in house.records("connected")] == ["datagram"]
    assert [record.text("reason") for record in house.records("closed")] == ["quit"]


def test_sessions_of_one_address_differ_by_port(house: DatagramHouse) -> None:
    first, second = house.peer().open(), house.peer().open()
    assert first.say(b"MAIL FROM:<s@x.example>")[0].startswith(b"503")
    assert second.say(b"HELO x", b"MAIL FROM:<s@x.example>")[1].startswith(b"250")
    assert first.say(b"MAIL FROM:<s@x.example>")[0].startswith(b"503")


def test_bounds_on_sessions(make_house: MakeHouse) -> None:
    house = make_house("limits.connections=2", "relay.from=", "limits.per_client=1")
    house.stranger().open()
    second = house.stranger()
    cookie = second.ask(OPENING).rpartition(b"=")[2]
    assert second.ask(b"COOKIE " + cookie).startswith(b"421 ")
    assert house.sessions == 1


def test_a_silent_session_ends(house: DatagramHouse) -> None:
    peer = house.peer().open()
    house.let_time_run_out()
    assert house.sessions == 0
    assert (peer.hear() or b"").startswith(b"421 ")
    peer.ask_in_vain(b"NOOP\r\n")


def test_when_the_server_stops_peers_are_told(house: DatagramHouse) -> None:
    idle, busy = house.peer().open(), house.peer().open()
    busy.say(*numbered(*ENVELOPE, b"DATA", b"text"))
    busy.sock.sendto(b"6 .\r\n", house.place)
    house.loop.turn(100)
    house.receiver.stop()
    assert (idle.hear() or b"").startswith(b"421 4.3.2")
    house.until(lambda: not house.sessions)
    answer = busy.hear() or b""
    assert answer.startswith(b"6 250 2.0.0 queued"), answer
    assert b"\r\n421 4.3.2" in answer


def test_a_listener_that_goes_says_good_bye(house: DatagramHouse) -> None:
    peer = house.peer().open()
    assert DATAGRAM in house.receiver._listeners
    house.receiver._listen({KEY: house.listener})
    assert (peer.hear() or b"").startswith(b"421 ")
    peer.ask_in_vain(OPENING)


def test_a_defect_of_ours_costs_one_session(house: DatagramHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = house.peer().open(), house.peer().open()
    first.say(b"HELO x")
    monkeypatch.setattr("mta.server.smtp.host.SmtpHost.handle", None)
    first.ask_in_vain(b"MAIL FROM:<s@x.example>\r\n")
    assert len(house.records("fault")) == 1
    assert second.say(b"NOOP")[0].startswith(b"250")
    assert house.sessions == 1


# loss and repetition


def test_a_repeated_line_is_answered_again_and_takes_no_effect(house: DatagramHouse) -> None:
    peer = house.peer().open()
    answers = peer.say(*numbered(*ENVELOPE, b"DATA", b"text", b"."))
    assert peer.say(b"6 .") == answers[5:]
    assert peer.say(b"5 text") == [b"5 "]
    peer.say(b"7 NOOP")
    assert len(stored(house)) == 1


def test_a_line_repeated_while_it_is_served_is_answered_with_one_reply_twice(house: DatagramHouse) -> None:
    peer = house.peer().open()
    peer.say(*numbered(*ENVELOPE, b"DATA", b"text"))
    for _ in range(2):
        peer.sock.sendto(b"6 .\r\n", house.place)
    first = peer.ask(b"6 .\r\n")
    assert first.startswith(b"6 250 2.0.0 queued as ")
    house.loop.turn(10)
    assert {peer.hear(), peer.hear()} == {first}
    assert len(stored(house)) == 1


def test_a_line_after_a_gap_waits_for_its_repetition(house: DatagramHouse) -> None:
    peer = house.peer().open()
    peer.say(*numbered(*ENVELOPE, b"DATA"))
    peer.ask_in_vain(b"6 second\r\n")
    assert peer.say(b"5 first", b"6 second", b"7 .")[:2] == [b"5 ", b"6 "]
    assert stored(house)[0].endswith(b"\nfirst\nsecond\n")


def test_a_repeated_opening_is_greeted_again(house: DatagramHouse) -> None:
    peer = house.peer()
    assert peer.ask(OPENING) == peer.ask(OPENING)
    assert house.sessions == 1
    peer.say(b"1 HELO x")
    peer.ask_in_vain(OPENING)


def test_a_late_opening_is_no_line_of_the_text(house: DatagramHouse) -> None:
    peer = house.peer().open()
    peer.say(*numbered(*ENVELOPE, b"DATA", b"first"))
    peer.ask_in_vain(b"\r\n")
    peer.say(b"6 second", b"7 .")
    assert stored(house)[0].endswith(b"\nfirst\nsecond\n")


def test_a_repeated_quit_is_answered_after_the_end(house: DatagramHouse) -> None:
    peer = house.peer().open()
    assert peer.say(b"1 QUIT", b"1 QUIT") == [b"1 221 2.0.0 bye\r\n"] * 2
    peer.ask_in_vain(b"2 NOOP\r\n")
    assert house.sessions == 0


def test_lines_sent_without_waiting_are_answered_one_by_one(house: DatagramHouse) -> None:
    peer = house.peer().open()
    peer.say(*numbered(*ENVELOPE, b"DATA", b"text"))
    for datagram_ in (b"6 .\r\n", b"7 NOOP\r\n", b"8 QUIT\r\n"):
        peer.sock.sendto(datagram_, house.place)
    house.until(lambda: not house.sessions)
    heard = [peer.hear() or b"", peer.hear() or b"", peer.hear() or b""]
    assert [answer[:5] for answer in heard] == [b"6 250", b"7 250", b"8 221"]


# what is no line


@pytest.mark.parametrize("octets", [b"", b"NOOP", b"NOOP\n", b"NOOP\r\nNOOP\r\n", b"\r"])
def test_what_is_no_line_takes_no_effect(house: DatagramHouse, octets: bytes) -> None:
    peer = house.peer().open()
    if octets:
        assert peer.ask(octets).startswith(b"500 5.5.2 a datagram is one line")
    else:
        peer.send(octets)
        peer.hear()
    peer.say(*numbered(*ENVELOPE, b"DATA"))
    peer.ask_in_vain(b"5 half a line")
    peer.ask_in_vain(b"5 one\r\n.\r\n")
    peer.say(b"5 whole", b"6 .")
    assert stored(house)[0].endswith(b"\nwhole\n")


def test_truncated_datagrams_are_ignored(house: DatagramHouse) -> None:
    peer = house.peer().open()
    peer.ask_in_vain(b"NOOP " + b"x" * LONGEST + b"\r\n")
    peer.ask_in_vain(b"x" * 65507)
    assert peer.say(b"NOOP")[0].startswith(b"250")


def test_without_an_opening_there_is_no_session(house: DatagramHouse) -> None:
    for peer in (house.peer(), house.stranger()):
        for octets in (b"HELO x\r\n", b"1 HELO x\r\n", b"", b"x" * 9000, b"COOKIE " + b"0" * 32 + b"\r\n"):
            peer.ask_in_vain(octets)
    assert house.sessions == 0


# strangers


def test_a_stranger_shows_the_cookie(house: DatagramHouse) -> None:
    peer = house.stranger()
    greeting = peer.ask(OPENING)
    assert greeting.startswith(b"220 mx.example.org ready cookie=")
    assert house.sessions == 0
    assert peer.ask(b"COOKIE " + greeting.rpartition(b"=")[2]).startswith(b"220 ")
    assert house.sessions == 1
    peer.ask_in_vain(b"NOOP\r\n")  # without a number
    assert peer.say(b"1 NOOP")[0].startswith(b"1 250")


def test_a_cookie_of_somebody_else_is_nothing(house: DatagramHouse) -> None:
    cookie = house.stranger().ask(OPENING).rpartition(b"=")[2]
    for other in (house.stranger(), house.peer("127.0.0.3")):
        other.ask_in_vain(b"COOKIE " + cookie)
    assert house.sessions == 0


def test_a_repeated_cookie_is_greeted_again_and_begins_nothing(house: DatagramHouse) -> None:
    peer = house.stranger()
    cookie = peer.ask(OPENING).rpartition(b"=")[2]
    assert peer.ask(b"COOKIE " + cookie) == peer.ask(b"COOKIE " + cookie)
    peer.say(b"1 HELO x")
    peer.ask_in_vain(b"COOKIE " + cookie)
    assert peer.say(b"2 MAIL FROM:<s@x.example>")[0].startswith(b"2 250")


def test_a_newer_cookie_begins_anew(house: DatagramHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = house.stranger().open()
    peer.say(b"1 HELO x")
    monkeypatch.setattr("mta.protocol.datagram._PERIOD", 7)
    peer.open()
    assert peer.say(b"1 MAIL FROM:<s@x.example>")[0].startswith(b"1 503")
    assert house.sessions == 1


def test_nothing_is_kept_or_logged_of_a_stranger(house: DatagramHouse) -> None:
    listener = house.receiver._listeners[DATAGRAM]
    for octets in (b"\r\n", OPENING, b"1 HELO x\r\n", b"HELO x\r\n", b"COOKIE " + b"f" * 32 + b"\r\n"):
        house.stranger().send(octets)
    assert isinstance(listener, datagram.DatagramListener)
    assert (listener._sessions, listener._ended) == ({}, {})
    assert house.records("connected") == house.records("refused") == []
    assert house.sessions == 0


@pytest.mark.parametrize("length", [2, 10, 40, 64, 65, 66, 67, 68, 69, 70, 80, 500])
def test_before_the_cookie_no_reply_is_longer_than_what_came(house: DatagramHouse, length: int) -> None:
    peer = house.stranger()
    peer.send(b" " * (length - 2) + b"\r\n")
    answer = peer.hear() or b""
    assert len(answer) <= length
    assert bool(answer) == (length >= 66)


def test_amplification_summed_over_all_a_forger_can_send(house: DatagramHouse) -> None:
    victim = house.stranger()
    forged = [b"", b"\r\n", OPENING, b"HELO x\r\n", b"1 EHLO x\r\n", b"QUIT\r\n", b"x" * 60000, b"\0" * 100]
    for octets in [
        *forged,
        *(b" " * n + b"\r\n" for n in range(0, 300, 7)),
        b"COOKIE " + b"a" * 32 + b"\r\n",
    ]:
        victim.send(octets)
        victim.hear()
    assert 0 < victim.received <= victim.sent


@pytest.mark.parametrize(
    ("address", "port"),
    [
        *(("192.0.2.1", port) for port in (0, 7, 13, 17, 19, 53, 123)),
        ("224.0.0.1", 4000),
        ("255.255.255.255", 4000),
        ("240.0.0.1", 4000),
        ("0.0.0.0", 4000),
        ("ff02::1", 4000),
        ("::", 4000),
    ],
)
def test_who_is_never_answered(address: str, port: int) -> None:
    assert not is_answered(ip_address(address), port)


def test_everybody_else_is() -> None:
    assert is_answered(ip_address("192.0.2.1"), 4000)
    assert is_answered(ip_address("2001:db8::1"), 4000)
    assert is_answered(ip_address("::1"), 4000)
    assert is_answered(ip_address("127.0.0.1"), 4000)
    assert {0, 7, 13, 17, 19, 53, 123} == SILENT_PORTS


def test_our_own_port_is_not_answered(house: DatagramHouse) -> None:
    twin = house.peer("127.0.0.4", house.place[1])
    twin.ask_in_vain(OPENING)
    house.configure("datagram.trusted=127.0.0.0/8")
    twin.ask_in_vain(OPENING)
    assert house.peer("127.0.0.4").ask(OPENING).startswith(b"220 ")


# how much


def test_replies_are_limited_for_each_address_and_second() -> None:
    limit = RateLimit(2, 3)
    one, two = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    assert [limit.allows(one, 5.0) for _ in range(3)] == [True, True, False]
    assert [limit.allows(two, 5.9) for _ in range(2)] == [True, False]
    assert limit.allows(one, 6.0)


def test_a_customer_s_network_is_one_address() -> None:
    limit = RateLimit(1, 9)
    assert limit.allows(ip_address("2001:db8::1"), 5.0)
    assert not limit.allows(ip_address("2001:db8::2"), 5.0)
    assert limit.allows(ip_address("2001:db8:0:1::1"), 5.0)


def test_strangers_are_limited_and_sessions_go_on(
    house: DatagramHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = house.peer("127.0.0.9").open()
    listener = house.receiver._listeners[DATAGRAM]
    assert isinstance(listener, datagram.DatagramListener)
    monkeypatch.setattr(listener, "_strangers", RateLimit(2, 1000))
    monkeypatch.setattr(house.loop, "clock", lambda: 1000.0)
    flood = [house.peer("127.0.0.8") for _ in range(5)]
    for each in flood:
        each.send(OPENING)
    assert sum(each.hear() is not None for each in flood) == 2
    assert peer.say(b"1 NOOP")[0].startswith(b"1 250")


def test_waiting_datagrams_are_bounded(house: DatagramHouse) -> None:
    peer = house.peer().open()
    peer.say(*ENVELOPE, b"DATA", b"text")
    exchange = next(iter(house.receiver._sessions))
    exchange.hold()
    for _ in range(20):
        peer.send(b"x" * 10_000 + b"\r\n")
    waiting = exchange._waiting  # type: ignore[attr-defined]
    assert sum(map(len, waiting)) <= 65536
    exchange.release()


def test_an_answer_comes_from_the_address_that_was_asked(tmp_path: Path) -> None:
    house = DatagramHouse(tmp_path, at="0.0.0.0")
    peer = house.stranger()
    peer.sock.connect(("127.0.0.5", house.place[1]))  # from now on it hears nobody else
    assert b"cookie=" in peer.ask(OPENING)
    house.configure("datagram.trusted=127.0.0.0/8")
    trusted = house.peer("127.0.0.6")
    trusted.sock.connect(("127.0.0.5", house.place[1]))
    assert trusted.ask(OPENING).startswith(b"220 ")
    assert trusted.ask(b"1 NOOP\r\n").startswith(b"1 250")
    house.close()


def test_ipv6(tmp_path: Path) -> None:
    house = DatagramHouse(tmp_path, "datagram.trusted=::1", at="::")
    peer = house.peer("::1")
    assert peer.ask(OPENING).startswith(b"220 mx.example.org ESMTP")
    assert peer.ask(b"1 NOOP\r\n").startswith(b"1 250")
    house.configure("datagram.trusted=")
    assert b"cookie=" in house.peer("::1").ask(OPENING)
    house.close()


@pytest.mark.parametrize(
    ("asked", "way"), [(b"\x7f\0\0\1", True), (b"\xff\xff\xff\xff", False), (b"\xe0\0\0\1", False)]
)
def test_what_was_meant_for_many_is_not_answered(asked: bytes, way: bool) -> None:
    told = [(socket.IPPROTO_IP, 8, struct.pack("@I4s4s", 1, b"\x7f\0\0\1", asked))]
    assert (way_back(told) is not None) is way


def test_sockets_of_both_kinds_are_served(house: DatagramHouse) -> None:
    assert house.client().say(b"NOOP\r\n", b"250")
    assert house.datagrams.type == socket.SOCK_DGRAM
    assert isinstance(house.peer().open(), Peer)
