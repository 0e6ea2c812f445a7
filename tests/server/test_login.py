"""Logging in at a real receiver: on every port, in clear and under TLS, and what is written down of it."""

from __future__ import annotations

import json
import os
import re
import select
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mta.server.tls import server_context
from mta.tls import TlsFilter, client_context
from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.passwords import make_secrets
from tests.protocol.scram_client import ScramClient
from tests.server.receiver import Client, House

PASSWORD = "open sesame"
SECRETS = make_secrets(PASSWORD, scram=True)
RIGHT = b"AUTH PLAIN " + b64encode(b"\0alice\0" + PASSWORD.encode())
WRONG = b"AUTH PLAIN " + b64encode(b"\0alice\0wrong")

OUTSIDE = ip_address("192.0.2.1")

Open = Callable[..., House]


class TlsClient(Client):
    """A client whose octets go through TLS once `secure` was called."""

    def __init__(self, house: House, plain: Client) -> None:
        super().__init__(house, plain.sock)
        self._tls = TlsFilter(client_context(verified=False))
        self.sock.setblocking(False)
        self._exchange(self._tls.receive(b""))
        house.until(self._is_established)

    def send(self, octets: bytes) -> None:
        self._tls.send(octets)
        self.sock.sendall(self._tls.to_wire())

    def _is_established(self) -> bool:
        self._has_reply()
        return self._tls.established

    def _has_reply(self) -> bool:
        while select.select([self.sock], [], [], 0)[0] and (octets := self.sock.recv(1 << 16)):
            self._exchange(self._tls.receive(octets))
        return any(line[3:4] == b" " for line in self.received.split(b"\r\n")[:-1])

    def _exchange(self, plain: bytes) -> None:
        self.received += plain
        wire = self._tls.to_wire()
        if wire:
            self.sock.sendall(wire)


@pytest.fixture
def pair_context(pair: tuple[bytes, bytes]) -> ssl.SSLContext:
    return server_context(*pair)


@pytest.fixture
def opened(tmp_path: Path, pair_context: ssl.SSLContext) -> Iterator[Open]:
    """Opens a house where alice@example.org may log in, and whose guard keeps nothing back."""
    houses: list[House] = []

    def open_(service: str, *settings: str, tls: bool = True) -> House:
        accounts = Accounts(Database(f"sqlite:///{tmp_path}/users.db"))
        accounts.add("alice", "example.org", SECRETS)
        house = House(tmp_path, pair_context if tls else None, service=service)
        houses.append(house)
        house.configure("application.debug=true", *settings)
        assert house.receiver._desk is not None
        house.receiver._desk.guard.hurry()
        return house

    yield open_
    for house in houses:
        house.close()


def secure(house: House) -> TlsClient:
    """A client after STARTTLS."""
    client = house.client()
    client.say(b"EHLO c.example\r\n", b"250")
    client.say(b"STARTTLS\r\n", b"220")
    return TlsClient(house, client)


def greeted(house: House, service: str) -> TlsClient:
    """A client under TLS, by whatever way this port has."""
    if service != "submissions":
        return secure(house)
    client = TlsClient(house, house.connect())
    client.expect(b"220")
    return client


# the ports


def test_submission_in_clear_on_loopback(opened: Open) -> None:
    client = opened("submission", tls=False).client()
    assert b"AUTH PLAIN LOGIN" in client.say(b"EHLO c.example\r\n", b"250")
    client.say(b"MAIL FROM:<alice@example.org>\r\n", b"530 5.7.0")
    client.say(RIGHT + b"\r\n", b"235 2.7.0")
    client.say(b"MAIL FROM:<alice@example.org>\r\n", b"250")


def test_submission_outside_loopback(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.server.receiver.client_address", lambda _text: OUTSIDE)
    house = opened("submission")
    client = house.client()
    assert b"AUTH" not in client.say(b"EHLO c.example\r\n", b"250")
    client.say(RIGHT + b"\r\n", b"538 5.7.11")
    client.say(b"MAIL FROM:<alice@example.org>\r\n", b"530 5.7.0 say STARTTLS")
    safe = secure(house)
    assert b"AUTH PLAIN LOGIN" in safe.say(b"EHLO c.example\r\n", b"250")
    safe.say(RIGHT + b"\r\n", b"235")
    safe.say(b"MAIL FROM:<alice@example.org>\r\n", b"250")


@pytest.mark.parametrize("service", ["submission", "submissions"])
def test_a_message_under_tls(opened: Open, service: str) -> None:
    house = opened(service)
    client = greeted(house, service)
    assert b"STARTTLS" not in client.say(b"EHLO c.example\r\n", b"250")
    client.say(RIGHT + b"\r\n", b"235")
    client.say(b"MAIL FROM:<alice@example.org>\r\n", b"250")
    client.say(b"RCPT TO:<x@elsewhere.example>\r\n", b"250")
    client.say(b"DATA\r\n", b"354")
    client.say(b"Subject: x\r\n\r\nx\r\n.\r\n", b"250 2.0.0 queued as")
    (letter,) = house.files(".OTHER_SERVERS/elsewhere.example")
    _, envelope, *_ = letter.read_bytes().split(b"\n")
    assert json.loads(envelope)["client"]["submitter"] == "alice@example.org"
    assert b"with ESMTPSA\r\n" in letter.read_bytes()
    (record,) = house.records("accepted")
    assert record.text("login") == "alice@example.org"


def test_a_login_on_smtp_when_it_is_offered(opened: Open) -> None:
    house = opened("smtp", "smtp.login=true", "relay.from=[]", tls=False)
    client = house.client()
    assert b"AUTH PLAIN LOGIN" in client.say(b"EHLO c.example\r\n", b"250")
    client.say(b"MAIL FROM:<x@client.example>\r\n", b"250")
    client.say(b"RCPT TO:<x@elsewhere.example>\r\n", b"550 5.7.1")
    client.say(b"RSET\r\n", b"250")
    client.say(RIGHT + b"\r\n", b"235")
    client.say(b"MAIL FROM:<alice@example.org>\r\n", b"250")
    client.say(b"RCPT TO:<x@elsewhere.example>\r\n", b"250")


def test_no_login_on_smtp_by_default(opened: Open) -> None:
    client = opened("smtp").client()
    assert b"AUTH" not in client.say(b"EHLO c.example\r\n", b"250")
    client.say(RIGHT + b"\r\n", b"502")


# TLS


def test_tls_forgets_a_login(opened: Open) -> None:
    house = opened("submission")
    client = house.client()
    client.say(b"EHLO c.example\r\n", b"250")
    client.say(RIGHT + b"\r\n", b"235")
    client.say(b"STARTTLS\r\n", b"220")
    safe = TlsClient(house, client)
    safe.say(b"MAIL FROM:<alice@example.org>\r\n", b"503")
    safe.say(b"EHLO c.example\r\n", b"250")
    safe.say(b"MAIL FROM:<alice@example.org>\r\n", b"530 5.7.0 log in first")


def test_words_in_clear_where_tls_comes_first(opened: Open) -> None:
    house = opened("submissions")
    client = house.connect()
    client.send(b"EHLO c.example\r\n")
    house.until(lambda: house.records("closed"))
    assert house.records("closed")[0].text("reason").startswith("TLS: ")
    assert b"220" not in client.sock.recv(1 << 16)


def test_scram_is_bound_to_the_certificate(opened: Open, pair: tuple[bytes, bytes]) -> None:
    house = opened("submissions", "users.scram=true")
    client = greeted(house, "submissions")
    offered = client.say(b"EHLO c.example\r\n", b"250")
    assert b"AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" in offered
    end_point = x509.load_pem_x509_certificate(pair[0]).fingerprint(hashes.SHA256())
    right = ScramClient("alice", PASSWORD, binding=end_point)
    proof = right.final(client.say(b"AUTH SCRAM-SHA-256-PLUS " + right.first + b"\r\n", b"334 ")[4:])
    assert right.is_server(client.say(proof + b"\r\n", b"334 ")[4:])
    client.say(b"\r\n", b"235")
    house.configure("users.scram=true")
    other = greeted(house, "submissions")
    other.say(b"EHLO c.example\r\n", b"250")
    wrong = ScramClient("alice", PASSWORD, binding=b"another certificate")
    proof = wrong.final(other.say(b"AUTH SCRAM-SHA-256-PLUS " + wrong.first + b"\r\n", b"334 ")[4:])
    other.say(proof + b"\r\n", b"535")


# what is written down


def test_logins_are_recorded_and_counted(opened: Open) -> None:
    house = opened("submission", tls=False)
    client = house.client()
    client.say(b"EHLO c.example\r\n", b"250")
    client.say(b"AUTH PLAIN " + b64encode(b"\0nobody\0x") + b"\r\n", b"535")
    client.say(WRONG + b"\r\n", b"535")
    client.say(RIGHT + b"\r\n", b"235")
    (good,) = house.records("logged_in")
    assert (good.text("login"), good.text("mechanism")) == ("alice@example.org", "PLAIN")
    failed = house.records("login_failed")
    assert [(each.text("login"), each.text("reason")) for each in failed] == [
        ("nobody", "no such user"),
        ("alice", "wrong password"),
    ]
    assert failed[0].text("peer").startswith("127.0.0.1:")


def scripts(password: str) -> list[list[bytes]]:
    """Ways to say a password: as one should, and out of turn, misspelt, cut short, or meant for others."""
    message, word = b64encode(b"\0alice\0" + password.encode()), b64encode(password.encode())
    name = b64encode(b"alice")
    return [
        [b"AUTH PLAIN " + message],
        [b"AUTH PLAIN", message],
        [b"AUTH LOGIN", name, word],
        [b"AUTH LOGIN " + name, word],
        [b"AUTH LOGIN", message, word],
        [b"AUTH PLAIN " + message + b" x"],
        [b"AUTH " + message],
        [b"AUTH PLAIN" + message],
        [b"AUTH PLAIN " + message[:-1]],
        [b"AUTH PLAIN", message[:-1]],
        [b"AUTH CRAM-MD5 " + message],
        [b"AUTH PLAIN *", message],
        [message],
        [word],
        [b"PASS " + password.encode()],
    ]


def scram(client: Client, password: str, end_point: bytes | None) -> None:
    name = b"SCRAM-SHA-256" if end_point is None else b"SCRAM-SHA-256-PLUS"
    talk = ScramClient("alice", password, binding=end_point)
    proof = talk.final(client.say(b"AUTH " + name + b" " + talk.first + b"\r\n", b"334 ")[4:])
    if client.say(proof + b"\r\n", b"")[:3] == b"334":
        client.say(b"\r\n", b"235")


def all_of_the_log(house: House) -> bytes:
    house.log.flush()
    found = b""
    while select.select([house._log_fd], [], [], 0)[0]:
        found += os.read(house._log_fd, 1 << 20)
    return found


def test_no_password_is_ever_written_down(opened: Open, pair: tuple[bytes, bytes]) -> None:
    """Every mechanism, right and wrong, with a transcript of each line: neither clear nor in base64."""
    house = opened("submissions", "users.scram=true")
    end_point = x509.load_pem_x509_certificate(pair[0]).fingerprint(hashes.SHA256())

    def named() -> TlsClient:
        client = greeted(house, "submissions")
        client.say(b"EHLO c.example\r\n", b"250")
        return client

    passwords = (PASSWORD, "opem sesame")
    for password in passwords:
        for script in scripts(password):
            client = named()
            for line in script:
                client.say(line + b"\r\n", b"")
        scram(named(), password, None)
        scram(named(), password, end_point)
    written = all_of_the_log(house)
    assert written.count(b"received=***") > 10
    assert b'sent="334 ***"' in written
    assert not re.search(rb"334 [A-Za-z0-9+/]", written)
    for password in passwords:
        secret = password.encode()
        # However it falls among the three octets that four letters stand for; its ends may be shared.
        hidden = (b64encode(pad + secret)[4:-4] for pad in (b"", b"x", b"xy"))
        assert [form for form in (secret, *hidden) if form in written] == []


# what does not work


def test_a_database_that_does_not_answer(opened: Open, tmp_path: Path) -> None:
    house = opened("submission", tls=False)
    client = house.client()
    client.say(b"EHLO c.example\r\n", b"250")
    (tmp_path / "users.db").write_bytes(b"no database" * 1000)
    client.say(RIGHT + b"\r\n", b"454 4.7.0")
    client.say(b"NOOP\r\n", b"250")


def test_a_client_that_leaves_before_the_verdict(opened: Open) -> None:
    house = opened("submission", tls=False)
    client = house.client()
    client.say(b"EHLO c.example\r\n", b"250")
    client.send(WRONG + b"\r\n")
    client.close()
    house.until(lambda: house.records("closed"))
    house.until(lambda: house.records("login_failed"))


def test_the_end_does_not_wait_for_refusals(opened: Open) -> None:
    house = opened("submission", tls=False)
    assert house.receiver._desk is not None
    house.receiver._desk.guard._penalties._hurried = False
    client = house.client()
    client.say(b"EHLO c.example\r\n", b"250")
    client.send(WRONG + b"\r\n")
    house.until(lambda: house.receiver._desk.guard._penalties._kept_back)  # type: ignore[union-attr]
    house.receiver.stop()
    client.expect(b"535")
    client.expect(b"421")
