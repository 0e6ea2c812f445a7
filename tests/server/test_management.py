"""Administration: what a dialogue cannot show. Long lines, brute force, secrets, TLS, and TIMEOUT."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mta.server.tls import server_context
from mta.users.passwords import verify
from mta.users.penalties import Penalties
from tests.instance import MTA, ROOT
from tests.server.office import Office

TEXT = b"Subject: x\r\n\r\nhello\r\n"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


def turns(office: Office, number: int = 5) -> None:
    for _ in range(number):
        office.loop.turn(2)


# lines


def test_a_line_of_512_octets_is_taken_and_one_more_is_not(office: Office) -> None:
    client = office.secretary()
    client.expect("+OK Management server ready")
    client.send(b"USER " + b"x" * 505 + b"\r\n")
    client.expect("+OK USER")
    client.send(b"USER " + b"x" * 506 + b"\r\n")
    client.expect("-ERR LINE TOO LONG")
    client.say("USER admin", "+OK USER")


def test_after_three_long_lines_the_connection_closes(office: Office) -> None:
    client = office.secretary("admin")
    client.send(b"x" * 513 + b"\r\n")
    client.expect("-ERR LINE TOO LONG")
    client.say("NOOP", "+OK NOOP")
    client.send(b"y" * 5000 + b"\r\n" + b"z" * 70000)
    client.expect("-ERR LINE TOO LONG")
    client.expect("-ERR LINE TOO LONG")
    client.expect_end()


def test_a_long_line_is_one_line_however_it_comes(office: Office) -> None:
    client = office.secretary("admin")
    for _ in range(10):
        client.send(b"x" * 300)
        turns(office, 2)
    client.send(b"\r\nNOOP\r\n")
    client.expect("-ERR LINE TOO LONG")
    client.expect("+OK NOOP")


# logins


def test_refusals_take_their_time_and_others_do_not_wait(office: Office) -> None:
    assert office.desk is not None
    office.desk.guard._penalties = Penalties(office.loop, (60.0,))
    guessing = office.secretary()
    guessing.expect("+OK Management server ready")
    guessing.say("USER admin", "+OK USER")
    guessing.send(b"PASS guess\r\nNOOP\r\n")
    office.until(lambda: office.desk is not None and office.desk.guard._waiting == 0)
    turns(office)
    assert not guessing.has_line()
    assert office.client().say(b"NOOP\r\n", b"250")
    office.secretary("admin").say("NOOP", "+OK NOOP")
    office.desk.guard.hurry()
    guessing.expect("-ERR LOGIN FAILED")
    guessing.expect("-ERR LOG IN FIRST: USER name, PASS password")


def test_no_password_is_logged(tmp_path: Path) -> None:
    office = Office(tmp_path, "application.debug=true")
    client = office.secretary("admin")
    client.say("ADD_USER eve eve-password", "+OK ADD_USER", "USER ADDED SUCCESSFULLY")
    client.say("CHANGE_PASSWORD admin-password other-password", "+OK CHANGE_PASSWORD")
    client.say("RESET_USER_PASSWORD bob", "PASSWORD CHANGED SUCCESSFULLY", "+OK RESET_USER_PASSWORD")
    client.expect("PASSWORD RESET SUCCESSFULLY")
    password = client.line().removeprefix("NEW PASSWORD = ")
    client.say("QUIT", "+OK GOODBYE")
    orders = [record.text("order") for record in office.records("administered")]
    office.close()
    assert orders == ["ADD_USER eve", "CHANGE_PASSWORD admin@example.org", "RESET_USER_PASSWORD bob"]
    shown = str(office._records)
    assert "ADD_USER eve ***" in shown
    assert not any(secret in shown for secret in ("-password", password))


def test_what_is_set_is_what_logs_in(office: Office) -> None:
    client = office.secretary("admin")
    client.say("RESET_USER_PASSWORD bob", "+OK RESET_USER_PASSWORD", "PASSWORD RESET SUCCESSFULLY")
    password = client.line().removeprefix("NEW PASSWORD = ")
    assert office.desk is not None
    found = office.desk.accounts.secrets_of("bob", "example.org")
    assert found is not None
    assert verify(found[1].hash, password).ok
    other = office.secretary()
    other.expect("+OK Management server ready")
    other.say("USER bob", "+OK USER")
    other.say(f"PASS {password}", "+OK PASS")


def test_the_mail_of_a_deleted_user_stays(office: Office) -> None:
    office.client().deliver(TEXT, b"bob@example.org")
    office.secretary("admin").say("DELETE_USER bob", "+OK DELETE_USER", "USER DELETED SUCCESSFULLY")
    assert len(office.files("bob/new")) == 1


def test_a_database_that_does_not_answer_is_told_as_such(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mta.users.accounts import Accounts
    from mta.users.errors import DatabaseDown

    def down(*_: object) -> None:
        raise DatabaseDown("gone")

    client = office.secretary("admin")
    monkeypatch.setattr(Accounts, "count", down)
    client.say("STATUS", "-ERR TRY AGAIN LATER: THE DATABASE DOES NOT ANSWER")
    client.say("LIVE_CONNEC", "+OK LIVE_CONNEC", "LIVE CONNECTIONS = 0")


def test_who_administers_gets_in_when_the_house_is_full(tmp_path: Path) -> None:
    office = Office(tmp_path, "limits.connections=1")
    office.client()
    office.connect().expect(b"421")
    client = office.secretary("admin")
    client.say("MAX_CONNEC 2", "+OK MAX_CONNEC CHANGED")
    office.client()
    office.close()


# TLS


def test_outside_loopback_it_speaks_tls_from_the_start(tmp_path: Path, pair: tuple[bytes, bytes]) -> None:
    office = Office(tmp_path, context=server_context(*pair), outside=True)
    client = office.secretary()
    trust = ssl.create_default_context(cadata=pair[0].decode())
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
    received = b""
    client.sock.setblocking(False)

    def pump() -> bool:
        nonlocal received
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
            received += tls.read(4096)
        if outgoing.pending:
            client.sock.sendall(outgoing.read())
        with suppress(BlockingIOError):
            incoming.write(client.sock.recv(65536))
        return bool(received)

    office.until(pump)
    assert received == b"+OK Management server ready\r\n"
    office.close()


@pytest.mark.parametrize("trusted", [True, False])
def test_the_client_speaks_tls_with_whom_it_trusts(
    tmp_path: Path, pair: tuple[bytes, bytes], trusted: bool
) -> None:
    office = Office(tmp_path, context=server_context(*pair), outside=True)
    certificate = tmp_path / "ca.pem"
    certificate.write_bytes(pair[0])
    place = ("-i", "localhost", "-P", str(office.management.getsockname()[1]), "--tls")
    trust = ("--ca", str(certificate)) if trusted else ()
    with subprocess.Popen(
        [*MTA, "admin", *place, *trust, "1.0", "admin", "admin-password", "-NOOP"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        office.until(lambda: client.poll() is not None)
        printed, complaints = client.communicate()
    office.close()
    if trusted:
        assert printed.splitlines()[-2:] == ["+OK NOOP", "+OK GOODBYE"]
    else:
        assert (client.returncode, printed) == (1, "")
        assert "its certificate is not to be trusted" in complaints


def test_in_clear_it_says_nothing_there(tmp_path: Path, pair: tuple[bytes, bytes]) -> None:
    office = Office(tmp_path, context=server_context(*pair), outside=True)
    client = office.secretary()
    turns(office)
    assert not client.has_line()
    client.send(b"USER admin\r\nPASS admin-password\r\nDELETE_USER bob\r\n")
    office.until(lambda: client.has_line() or client.ended)
    assert office.desk is not None
    assert office.desk.accounts.find("bob", "example.org") is not None
    office.close()


# TIMEOUT


def test_while_it_rests_nobody_is_let_in_or_answered_and_nobody_is_cut_off(office: Office) -> None:
    mail, client = office.client(), office.secretary("admin")
    client.send(b"TIMEOUT 3600\r\nNOOP\r\n")
    office.until(lambda: office.receiver._intermission.lasts)
    mail.send(b"NOOP\r\n")
    late = office.connect()
    other = office.secretary()
    turns(office)
    assert not mail._has_reply()
    assert not late._has_reply()
    assert not other.has_line()
    assert not client.has_line()
    office.receiver._intermission.end()
    client.expect("+OK TIMEOUT COMPLETED")
    client.expect("+OK NOOP")
    mail.expect(b"250 ")
    late.expect(b"220 ")
    other.expect("+OK Management server ready")
    assert office.records("closed") == []


def test_it_goes_on_by_itself(office: Office) -> None:
    client = office.secretary("admin")
    client.say("TIMEOUT 1", "+OK TIMEOUT COMPLETED")
    assert [record.text("order") for record in office.records("administered")] == ["TIMEOUT 1"]


def test_a_message_under_way_is_stored_and_answered_afterwards(office: Office) -> None:
    mail, client = office.client(), office.secretary("admin")
    mail.envelope(b"bob@example.org")
    mail.say(b"DATA\r\n", b"354")
    assert office.desk is not None
    waiting = office.desk.committer
    mail.send(TEXT + b".\r\n")
    office.until(lambda: waiting.waiting or office.files("bob/new"))
    client.send(b"TIMEOUT 3600\r\n")
    office.until(lambda: office.receiver._intermission.lasts and office.files("bob/new"))
    turns(office)
    office.receiver._intermission.end()
    mail.expect(b"250 2.0.0 queued")


def test_what_the_threads_finish_meanwhile_is_answered_afterwards(office: Office) -> None:
    mail, client = office.client(), office.secretary("admin")
    client.send(b"TIMEOUT 3600\r\n")
    office.until(lambda: office.receiver._intermission.lasts)
    connection = next(
        each for each, host in office.receiver._sessions.items() if host.client.service == "smtp"
    )
    mail.sock.sendall(b"NOOP\r\n")
    connection._session.receive_data(b"NOOP\r\n")  # type: ignore[attr-defined]
    connection.resume()
    assert not mail._has_reply()
    office.receiver._intermission.end()
    mail.expect(b"250 ")
    mail.expect(b"250 ")


def test_the_time_of_sessions_stands_still(office: Office) -> None:
    mail, client = office.client(), office.secretary("admin")
    client.send(b"TIMEOUT 3600\r\n")
    office.until(lambda: office.receiver._intermission.lasts)
    connection = next(
        each for each, host in office.receiver._sessions.items() if host.client.service == "smtp"
    )
    before, clock = connection.deadline, office.loop.clock
    office.loop.clock = lambda: clock() + 1000
    office.receiver._tick()
    office.receiver._intermission.end()
    assert connection.deadline >= before + 1000
    office.receiver._tick()
    turns(office)
    mail.say(b"NOOP\r\n", b"250 ")


def test_it_ends_early_when_its_connection_closes(office: Office) -> None:
    mail, client = office.client(), office.secretary("admin")
    client.send(b"TIMEOUT 3600\r\n")
    office.until(lambda: office.receiver._intermission.lasts)
    client.sock.shutdown(socket.SHUT_RDWR)
    office.until(lambda: not office.receiver._intermission.lasts)
    mail.say(b"NOOP\r\n", b"250")


def test_a_reload_and_its_new_listeners_wait_too(office: Office) -> None:
    client = office.secretary("admin")
    client.send(b"TIMEOUT 3600\r\n")
    office.until(lambda: office.receiver._intermission.lasts)
    office.receiver._listen({})
    office.configure("limits.connections=77")
    assert office.desk is not None
    assert office.desk.settings.limits.connections == 77
    late = office.connect()
    turns(office)
    assert not late._has_reply()
    office.receiver._intermission.end()
    late.expect(b"220 ")


def test_a_stop_ends_it(office: Office) -> None:
    mail, client = office.client(), office.secretary("admin")
    client.send(b"TIMEOUT 3600\r\n")
    office.until(lambda: office.receiver._intermission.lasts)
    office.receiver.stop()
    mail.expect(b"421 ")
    client.expect("+OK TIMEOUT COMPLETED")


def test_the_loop_goes_on_turning(office: Office) -> None:
    client = office.secretary("admin")
    client.send(b"TIMEOUT 3600\r\n")
    office.until(lambda: office.receiver._intermission.lasts)
    beats: list[None] = []
    office.loop.call_later(0, lambda: beats.append(None))
    office.loop.post(lambda: beats.append(None))
    office.until(lambda: len(beats) == 2)
    assert office.receiver._intermission.lasts
