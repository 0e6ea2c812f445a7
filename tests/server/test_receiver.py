"""The receiver as its clients meet it: messages in, files out, limits, trouble, TLS, the end."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mta.counters import (
    CONNECTIONS_CURRENT,
    CONNECTIONS_TOTAL,
    MESSAGES_ACCEPTED,
    OCTETS_ACCEPTED,
    REJECTS,
)
from mta.server.tls import server_context
from mta.store import Space
from tests.server.receiver import Client, House

TEXT = b"Subject: x\r\n\r\nhello\r\n..dot\r\n"
STORED = b"Subject: x\n\nhello\n.dot\n"
LARGE = b"Subject: large\r\n\r\n" + (b"y" * 76 + b"\r\n") * 40_000


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture
def secure_house(tmp_path: Path, pair: tuple[bytes, bytes]) -> Iterator[House]:
    made = House(tmp_path, server_context(*pair))
    yield made
    made.close()


@pytest.fixture
def client(house: House) -> Iterator[Client]:
    made = house.client()
    yield made
    made.close()


def test_a_message_lies_in_its_mailbox_under_the_id_of_the_reply(house: House, client: Client) -> None:
    reply = client.deliver(TEXT, b"User1+tag@EXAMPLE.org")
    identifier = reply.removeprefix(b"250 2.0.0 queued as ").decode()
    (mail,) = house.files("user1/new")
    head, _, text = mail.read_bytes().partition(b"Subject:")
    assert b"Subject:" + text == STORED
    lines = head.decode().split("\n")
    assert lines[0] == "Return-Path: <s@client.example>"
    assert lines[1] == "Received: from client.example ([127.0.0.1])"
    assert lines[2:4] == ["\tby mx.example.org with ESMTP", f"\tid {identifier}"]
    assert lines[4] == "\tfor <User1+tag@example.org>;"
    assert f".{identifier}." in mail.name
    (record,) = house.records("accepted")
    assert record.text("id") == identifier
    assert record.text("size") == str(len(TEXT) - 1)


def test_several_recipients_are_not_told_to_each_other(house: House, client: Client) -> None:
    client.deliver(TEXT, b"a@example.org", b"b@example.org", b"c@other.example")
    house.until(lambda: house.files("b/new") and house.files(".OTHER_SERVERS/other.example"))
    (mail,) = house.files("a/new")
    assert b"for <" not in mail.read_bytes()
    assert mail.samefile(house.files("b/new")[0])
    (letter,) = house.files(".OTHER_SERVERS/other.example")
    assert letter.read_bytes().startswith(b"mta-letter/1 ")
    assert letter.read_bytes().endswith(b"\r\nhello\r\n.dot\r\n")


def test_what_the_sender_wants_to_be_told_is_kept_with_the_letter(house: House, client: Client) -> None:
    client.say(b"EHLO client.example\r\n", b"250-")
    client.say(b"MAIL FROM:<s@client.example> RET=HDRS ENVID=order+2B7\r\n", b"250 ")
    client.say(
        b"RCPT TO:<c@other.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;first@client.example\r\n", b"250 "
    )
    client.say(b"RCPT TO:<d@other.example>\r\n", b"250 ")
    client.say(b"DATA\r\n", b"354 ")
    client.say(TEXT + b".\r\n", b"250 ")
    (letter,) = house.files(".OTHER_SERVERS/other.example")
    message, first, second = map(json.loads, letter.read_bytes().split(b"\n")[1:4])
    assert (message["ret"], message["envid"]) == ("HDRS", "order+2B7")
    assert (first["notify"], first["orcpt"]) == ("SUCCESS,DELAY", "rfc822;first@client.example")
    assert second == {"address": "d@other.example", "domain": "other.example"}


def test_a_large_message_goes_to_disk_as_it_comes(house: House, client: Client) -> None:
    client.deliver(LARGE, b"a@example.org").startswith(b"250 ")
    (mail,) = house.files("a/new")
    assert mail.read_bytes().endswith(LARGE.replace(b"\r\n", b"\n"))
    assert house.receiver._memory.reserved == 0
    assert house.leftovers() == []


def test_the_next_message_after_a_large_one_is_an_ordinary_one(house: House, client: Client) -> None:
    client.deliver(LARGE, b"a@example.org")
    client.say(b"MAIL FROM:<>\r\n", b"250 ")
    client.say(b"RCPT TO:<b@example.org>\r\n", b"250 ")
    client.say(b"DATA\r\n", b"354 ")
    client.say(TEXT + b".\r\n", b"250 ")
    assert house.files("b/new")[0].read_bytes().startswith(b"Return-Path: <>\n")


@pytest.mark.parametrize("text", [TEXT, LARGE], ids=["small", "large"])
def test_a_client_that_leaves_in_the_middle_leaves_nothing(house: House, text: bytes) -> None:
    client = house.client()
    client.envelope(b"a@example.org", b"b@other.example")
    client.say(b"DATA\r\n", b"354 ")
    client.send(text)
    client.close()
    house.until(lambda: house.records("closed"))
    house.until(lambda: not house.leftovers())
    assert house.files("a/new") == house.files(".OTHER_SERVERS/other.example") == []
    assert house.receiver._memory.reserved == 0


def test_a_message_refused_after_its_text_leaves_nothing(house: House, client: Client) -> None:
    assert client.deliver(LARGE + b"bare\n\r\n", b"a@example.org").startswith(b"55")
    house.until(lambda: not house.leftovers())
    assert house.files("a/new") == []
    client.say(b"NOOP\r\n", b"250 ")


def test_half_a_close_after_the_dot_still_delivers(house: House) -> None:
    client = house.client()
    client.envelope(b"a@example.org")
    client.say(b"DATA\r\n", b"354 ")
    client.send(TEXT + b".\r\n")
    client.sock.shutdown(socket.SHUT_WR)
    client.expect(b"250 ")
    assert len(house.files("a/new")) == 1


def test_a_rejected_command_is_logged_with_its_reply(house: House, client: Client) -> None:
    client.say(b"EHLO x\r\n", b"250")
    client.say(b"MAIL FROM:<a@client.example>\r\n", b"250 ")
    reply = client.say(b"RCPT TO:<a/b@example.org>\r\n", b"550 5.1.1 ")
    (record,) = house.records("rejected")
    assert record.text("command") == "RCPT TO:<a/b@example.org>"
    assert record.text("reply") == reply.decode()
    session = record.text("session")
    assert reply.endswith(f" (session {session})".encode())


def test_strangers_cause_only_so_many_folders(house: House, client: Client) -> None:
    house.configure("limits.mailboxes=1", "limits.domains=1")
    client.close()
    client = house.client()
    client.deliver(TEXT, b"a@example.org", b"x@one.example")
    house.until(lambda: house.files(".OTHER_SERVERS/one.example"))
    client.say(b"MAIL FROM:<>\r\n", b"250 ")
    client.say(b"RCPT TO:<a@example.org>\r\n", b"250 ")
    client.say(b"RCPT TO:<y@one.example>\r\n", b"250 ")
    client.say(b"RCPT TO:<b@example.org>\r\n", b"452 4.2.2 ")
    client.say(b"RCPT TO:<x@two.example>\r\n", b"452 4.3.1 ")


def test_a_full_disk_refuses_before_the_text_and_recovers(house: House, client: Client) -> None:
    desk = house.receiver._desk
    assert desk is not None
    client.say(b"EHLO x\r\n", b"250")
    desk.space = Space(1000, 1000)
    client.say(b"MAIL FROM:<>\r\n", b"452 4.3.1 ")
    desk.space = Space(1 << 40, 0)
    client.say(b"MAIL FROM:<>\r\n", b"452 4.3.1 ")
    desk.space = Space(3_000_000, 1000)
    client.say(b"MAIL FROM:<> SIZE=2500000\r\n", b"452 4.3.1 ")
    client.say(b"MAIL FROM:<> SIZE=25000\r\n", b"250 ")


def test_one_client_has_so_many_connections(house: House) -> None:
    house.configure("limits.per_client=1", "relay.from=[]")
    first = house.client()
    second = house.connect()
    second.expect(b"421 4.7.0 ")
    assert [record.text("reply") for record in house.records("refused")] == [
        "421 4.7.0 too many connections, try again later"
    ]
    first.say(b"QUIT\r\n", b"221 ")
    house.until(lambda: house.records("closed"))
    house.client().close()


def test_who_speaks_before_the_greeting_is_refused(house: House) -> None:
    client = house.connect()
    client.sock.sendall(b"EHLO x\r\nMAIL FROM:<>\r\n")
    client.expect(b"554 5.5.1 ")
    client.expect_end()
    (record,) = house.records("rejected")
    assert record.text("reply") == "554 5.5.1 you spoke before the greeting"


@pytest.mark.parametrize(
    ("address", "reply"),
    [
        (b"a@example.org", b"250 2.1.5 <a@example.org>"),
        (b"a/b@example.org", b"550 5.1.1 "),
        (b"x@far.example", b"252 "),
    ],
)
def test_only_what_is_known_is_verified(client: Client, address: bytes, reply: bytes) -> None:
    client.say(b"EHLO x\r\n", b"250")
    client.say(b"VRFY " + address + b"\r\n", reply)


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"SSH-2.0-x\r\n"]
)
def test_another_protocol_gets_one_refusal_and_the_door(house: House, client: Client, line: bytes) -> None:
    client.say(line, b"5")
    client.expect_end()
    assert client.received == b""


def test_counters_count(house: House, client: Client) -> None:
    client.deliver(TEXT, b"a@example.org")
    client.say(b"RSTE\r\n", b"502 ")
    total = house.counters.total
    assert (total(CONNECTIONS_TOTAL["smtp"]), total(CONNECTIONS_CURRENT["smtp"])) == (1, 1)
    assert (total(MESSAGES_ACCEPTED), total(OCTETS_ACCEPTED)) == (1, len(TEXT) - 1)
    assert total(REJECTS["syntax"]) == 1
    client.say(b"QUIT\r\n", b"221 ")
    house.until(lambda: house.records("closed"))
    assert total(CONNECTIONS_CURRENT["smtp"]) == 0


def test_silence_ends_a_session_with_421(house: House, client: Client) -> None:
    house.let_time_run_out()
    client.expect(b"421 4.4.2 ")
    client.expect_end()


def test_debug_acts_at_once_on_open_sessions_and_hostname_on_the_next(house: House, client: Client) -> None:
    client.say(b"EHLO x\r\n", b"250-mx.example.org")
    house.configure("application.debug=true", "hostname=new.example.org")
    client.say(b"NOOP\r\n", b"250 ")
    client.say(b"EHLO x\r\n", b"250-mx.example.org")
    house.client().say(b"EHLO x\r\n", b"250-new.example.org")
    transcript = [record.fields.get("received") for record in house.records("transcript")]
    assert "NOOP" in transcript
    house.configure()
    before = len(house.records("transcript"))
    client.say(b"NOOP\r\n", b"250 ")
    assert len(house.records("transcript")) == before


def test_stopping_finishes_what_was_begun_and_tells_everybody(tmp_path: Path) -> None:
    house = House(tmp_path)
    idle, busy = house.client(), house.client()
    busy.envelope(b"a@example.org")
    busy.say(b"DATA\r\n", b"354 ")
    busy.send(TEXT + b".\r\n")
    house.loop.turn(1000)
    house.receiver.stop()
    busy.expect(b"250 ")
    busy.expect(b"421 4.3.2 ")
    idle.expect(b"421 4.3.2 ")

    house.close()
    assert len(house.files("a/new")) == 1


# TLS


class SecureClient(Client):
    """A client after STARTTLS: the same talk, encrypted."""

    def __init__(self, house: House, plain: Client) -> None:
        super().__init__(house, plain.sock)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        house.until(self._has_shaken)

    def send(self, octets: bytes) -> None:
        self.tls.write(octets)
        super().send(self.outgoing.read())

    def _has_shaken(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            super().send(self.outgoing.read())
            with suppress(BlockingIOError):
                self.incoming.write(self.sock.recv(1 << 16))
            return False
        super().send(self.outgoing.read())
        return True

    def _has_reply(self) -> bool:
        with suppress(BlockingIOError):
            self.incoming.write(self.sock.recv(1 << 16))
        with suppress(ssl.SSLWantReadError):
            self.received += self.tls.read(1 << 16)
        return any(line[3:4] == b" " for line in self.received.split(b"\r\n")[:-1])


def secured(house: House) -> SecureClient:
    client = house.client()
    assert b"STARTTLS" in client.say(b"EHLO x\r\n", b"250")
    client.say(b"STARTTLS\r\n", b"220 ")
    return SecureClient(house, client)


def test_starttls_forgets_what_was_said_and_is_not_offered_again(secure_house: House) -> None:
    client = secured(secure_house)
    client.say(b"MAIL FROM:<>\r\n", b"503 ")
    assert b"STARTTLS" not in client.say(b"EHLO x\r\n", b"250")


def test_a_message_under_tls_says_so(secure_house: House) -> None:
    client = secured(secure_house)
    client.deliver(LARGE, b"a@example.org")
    (mail,) = secure_house.files("a/new")
    head = mail.read_bytes()[:400]
    assert b"with ESMTPS" in head
    assert b"(TLSv1.3 TLS_" in head
    (record,) = secure_house.records("accepted")
    assert record.text("tls") == "TLSv1.3"


def test_seventeen_kilobytes_of_commands_in_one_record_are_all_answered(secure_house: House) -> None:
    client = secured(secure_house)
    client.say(b"EHLO x\r\n", b"250")
    client.send(b"NOOP\r\n" * 2700)
    for _ in range(2700):
        client.expect(b"250 ")


def test_octets_behind_starttls_end_the_session(secure_house: House) -> None:
    client = secure_house.client()
    client.say(b"EHLO x\r\n", b"250")
    client.say(b"STARTTLS\r\nRSET\r\nMAIL FROM:<evil@x.example>\r\n", b"5")
    client.expect_end()


@pytest.mark.parametrize("octets", [b"", b"\x16", b"\x16\x03\x01\x40\x00" + b"x" * 99])
def test_a_handshake_that_stalls_is_ended_in_time(secure_house: House, octets: bytes) -> None:
    client = secure_house.client()
    client.say(b"EHLO x\r\n", b"250")
    client.say(b"STARTTLS\r\n", b"220 ")
    client.send(octets)
    secure_house.loop.turn(0)
    secure_house.let_time_run_out()
    secure_house.until(lambda: secure_house.records("closed"))


def test_without_a_certificate_starttls_is_not_known(house: House, client: Client) -> None:
    assert b"STARTTLS" not in client.say(b"EHLO x\r\n", b"250")
    client.say(b"STARTTLS\r\n", b"502 ")
