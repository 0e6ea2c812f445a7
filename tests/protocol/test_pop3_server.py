"""The POP3 session where dialogues do not reach: ends, bounds, TLS, secrets, and any order of commands."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.protocol import sasl
from mta.protocol.events import NEED_DATA, PAUSED, Closed
from mta.protocol.pop3 import replies
from mta.protocol.pop3.events import Event, Listing, More
from mta.protocol.pop3.replies import Reply, err, ok
from mta.protocol.pop3.server import OUTPUT_BOUND, Pop3Server
from mta.protocol.pop3.verbs import CAPA, TABLE, VERBS
from mta.protocol.replies import TOO_MANY_CONNECTIONS
from mta.protocol.scram import Verifier, keys_of
from tests.protocol.pop3_host import LOGIN, TERMS, Pop3Host, logged_in, pop3_host
from tests.protocol.scram_client import ScramClient

# --- ends


@pytest.mark.parametrize("marked", [b"", b"DELE 1\r\n"])
def test_a_lost_connection_removes_nothing(marked: bytes) -> None:
    host = logged_in()
    host.say(marked)

    host.leave()

    assert host.closed == "lost"
    assert host.removed is None


def test_a_time_out_says_nothing_and_removes_nothing() -> None:
    host = logged_in()
    host.say(b"DELE 1\r\n")

    assert host.end(Pop3Server.time_out) == b""

    assert host.closed == "timeout"
    assert host.removed is None


def test_a_shutdown_says_so_and_removes_nothing() -> None:
    host = logged_in()
    host.say(b"DELE 1\r\n")

    assert host.end(Pop3Server.shut_down) == replies.SHUTTING_DOWN.octets

    assert host.closed == "shutdown"
    assert host.removed is None


def test_a_shutdown_waits_for_what_quit_removes() -> None:
    session = asking(b"DELE 2\r\nQUIT\r\n")

    session.shut_down()
    assert session.next_event() is PAUSED
    session.reply(replies.BYE)

    assert session.data_to_send().endswith(replies.BYE.octets)
    assert session.next_event() == Closed("quit")


def test_half_a_close_still_gets_its_answers() -> None:
    host = Pop3Host()
    host.session.receive_data(b"USER alice\r\nPASS secret\r\nRETR 1\r\nQUIT\r\n")

    host.leave()

    assert host.output.endswith(b"second\r\n.\r\n" + replies.BYE.octets)
    assert host.closed == "quit"


def test_a_text_that_cannot_go_on_ends_the_session_without_its_last_line() -> None:
    session = asking(b"RETR 1\r\n")
    session.text(b"half a line", last=False)
    assert session.next_event() == More()

    session.reply(replies.UNREADABLE)

    assert session.next_event() == Closed("text broken off")
    assert session.data_to_send().endswith(b"half a line")


@pytest.mark.parametrize("end", [Pop3Server.time_out, Pop3Server.shut_down])
def test_nothing_is_said_in_the_middle_of_a_text(end: object) -> None:
    session = asking(b"RETR 1\r\n")
    session.text(b"first\r\n", last=False)
    session.next_event()
    assert callable(end)

    end(session)
    session.text(b"second\r\n", last=False)

    assert isinstance(session.next_event(), Closed)
    assert session.data_to_send().endswith(b"first\r\nsecond\r\n")


def test_a_refused_client_is_told_why_in_our_words() -> None:
    session = Pop3Server(TERMS)

    session.refuse(TOO_MANY_CONNECTIONS)

    assert session.data_to_send() == b"-ERR [SYS/TEMP] too many connections, try again later\r\n"
    assert session.next_event() == Closed("refused")


# --- bounds


@pytest.mark.parametrize("octets", [b"x" * 1_000_000, b"\r" * 20_000, b"PASS " + b"y" * 1_000_000])
def test_a_line_without_end_ends_the_session(octets: bytes) -> None:
    host = Pop3Host()

    host.say(*(octets[start : start + 4096] for start in range(0, len(octets), 4096)))

    assert host.closed == "endless line"


def test_input_waits_while_the_host_works() -> None:
    session = asking(b"RETR 1\r\n")
    session.receive_data(b"NOOP\r\n" * 20_000)

    assert not session.wants_data
    assert session.next_event() is PAUSED


@pytest.mark.parametrize("command", [b"LIST\r\n", b"UIDL\r\n"])
def test_a_long_listing_leaves_in_portions(command: bytes) -> None:
    count = 100_000
    session = asking(listing=Listing([10] * count, [f"identity{n}" for n in range(count)], 10 * count))
    session.receive_data(command + b"NOOP\r\n")
    lines, portions = 0, 0

    while True:
        event = session.next_event()
        octets = session.data_to_send()
        lines += octets.count(b"\r\n")
        portions += 1
        assert len(octets) < 2 * OUTPUT_BOUND
        if not session.has_more:
            break

    assert event is NEED_DATA
    assert octets.endswith(b".\r\n+OK\r\n")
    assert lines == count + 3
    assert portions > 10


def test_what_is_pipelined_is_not_answered_faster_than_it_is_taken() -> None:
    session = asking()
    session.receive_data(b"LIST\r\n" * 5_000)

    assert session.next_event() is PAUSED
    assert session.has_more
    assert len(session.data_to_send()) < 2 * OUTPUT_BOUND


@given(st.binary(max_size=300))
def test_any_octets_are_lines_answered_or_the_end(octets: bytes) -> None:
    whole, bytewise = Pop3Host(), Pop3Host()

    answer = whole.say(octets)

    assert bytewise.say_bytewise(octets)[: len(answer)] == answer or whole.closed != bytewise.closed
    assert answer == b"" or answer.endswith(b"\r\n")
    assert all(line.startswith((b"-ERR ", b"+OK", b"+ ")) for line in answer.splitlines()) or b"." in answer


# --- TLS

STARTTLS = {"starttls": True, "login": replace(LOGIN, in_clear=False, binding=b"hash")}


def test_input_behind_stls_ends_the_session() -> None:
    host = pop3_host(**STARTTLS)

    assert host.say(b"STLS\r\nCAPA\r\n") == replies.OUT_OF_STEP.octets

    assert host.closed == "input behind STLS"


def test_what_comes_in_clear_after_stls_is_never_read() -> None:
    host = pop3_host(**STARTTLS)
    host.say(b"STLS\r\n")

    assert host.say(b"USER alice\r\nPASS secret\r\n") == b""
    host.session.tls_started()

    assert host.say(b"PASS secret\r\n").startswith(b"-ERR PASS is out of order")


def test_what_was_said_before_tls_is_forgotten() -> None:
    host = pop3_host(starttls=True)
    host.say(b"UTF8\r\nUSER alice\r\nSTLS\r\n")

    host.session.tls_started()

    assert host.say(b"PASS secret\r\n").startswith(b"-ERR")
    assert not host.session.utf8
    assert b"STLS" not in host.say(b"CAPA\r\n")
    assert host.say(b"STLS\r\n") == replies.ALREADY_TLS.octets


def test_under_tls_passwords_are_taken() -> None:
    host = pop3_host(**STARTTLS)
    assert b"\r\nUSER\r\n" not in host.say(b"CAPA\r\n")
    host.say(b"STLS\r\n")
    host.session.tls_started()

    assert b"USER\r\nSASL PLAIN LOGIN\r\n" in host.say(b"CAPA\r\n")
    host.log_in()


def test_tls_comes_before_the_greeting() -> None:
    session = Pop3Server(TERMS, tls=True)
    assert session.next_event() is PAUSED

    session.tls_started()
    session.open()

    assert session.data_to_send().startswith(b"+OK mx.example.org")


def test_tls_must_have_been_asked_for() -> None:
    with pytest.raises(RuntimeError):
        Pop3Server(TERMS).tls_started()


# --- SCRAM

VERIFIER = Verifier(b"salt", 4096, *keys_of(hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 4096)))


@pytest.mark.parametrize("right", [True, False])
def test_scram(right: bool) -> None:
    session = Pop3Server(replace(TERMS, login=replace(LOGIN, scram=True)))
    client = ScramClient("alice", "secret" if right else "wrong")

    assert say(session, b"AUTH SCRAM-SHA-256 " + client.first) == sasl.NeedVerifier("alice")
    session.verify_by(VERIFIER)
    challenge = session.data_to_send()
    assert challenge.startswith(b"+ ")
    question = say(session, client.final(challenge[2:-2]))

    if not right:
        assert question == sasl.Disproved("alice")
        session.reply(replies.WRONG_PASSWORD)
        assert session.data_to_send() == replies.WRONG_PASSWORD.octets
        return
    assert question == sasl.Proven("alice")
    session.admit(Listing([10], ["a"], 10))
    assert client.is_server(session.data_to_send()[2:-2])
    assert say(session, b"") is NEED_DATA
    assert session.data_to_send() == b"+OK 1 messages (10 octets)\r\n"


def test_a_login_broken_off_at_the_last_word_gives_the_mail_drop_back() -> None:
    session = Pop3Server(replace(TERMS, login=replace(LOGIN, scram=True)))
    client = ScramClient("alice", "secret")
    say(session, b"AUTH SCRAM-SHA-256 " + client.first)
    session.verify_by(VERIFIER)
    say(session, client.final(session.data_to_send()[2:-2]))
    session.admit(Listing([10], ["a"], 10))

    assert say(session, b"*") == Closed("login broken off")


# --- secrets


@pytest.mark.parametrize(
    "octets",
    [
        b"USER alice\r\nPASS secret!\r\n",
        b"PASS secret!\r\n",
        b"pass\tsecret!\r\n",
        b"AUTH PLAIN AGFsaWNlAHNlY3JldCE=\r\n",
        b"AUTH PLAIN\r\nAGFsaWNlAHNlY3JldCE=\r\n",
        b"AUTH LOGIN\r\nYWxpY2U=\r\nc2VjcmV0IQ==\r\n",
        b"AUTH LOGIN\r\nYWxpY2U=\r\nc2VjcmV0IQ\r\n",
    ],
)
def test_nobody_is_shown_a_password(octets: bytes) -> None:
    shown: list[bytes] = []
    host = Pop3Host()
    host.session.transcript = lambda _direction, line: shown.append(line)
    host.session.rejected = lambda command, reply: shown.extend((command, reply.octets))

    host.say(octets)

    assert shown
    assert not [line for line in shown if b"secret!" in line or b"cmV0I" in line or b"NlY3Jl" in line]


def test_a_transcript_shows_texts_by_their_size() -> None:
    shown: list[tuple[str, bytes]] = []
    host = logged_in()
    host.octets = 1000
    host.session.transcript = lambda direction, line: shown.append((direction, line))

    host.say(b"RETR 1\r\n")

    text = [("S", b"[31 octets of text]"), ("S", b"[3 octets of text]")]
    assert shown == [("C", b"RETR 1"), ("S", b"+OK 31 octets"), *text]


# --- replies


@pytest.mark.parametrize("text", ["two\r\nlines", "käse", "x" * 5000, "\x00"])
def test_a_reply_is_one_short_line_of_ascii(text: str) -> None:
    octets = err(text, "SYS/TEMP").octets

    assert octets.startswith(b"-ERR [SYS/TEMP] ")
    assert octets.isascii()
    assert octets.count(b"\r") == octets.count(b"\n") == 1
    assert len(octets) <= 512


def test_replies_are_values() -> None:
    assert ok("x") == Reply(True, "x")
    assert ok("x") != err("x")
    assert len({ok("x"), ok("x"), err("x")}) == 2


# --- the order of commands

COMMANDS = {
    "capa": b"CAPA\r\n",
    "user": b"USER alice\r\n",
    "pass": b"PASS secret\r\n",
    "pass-wrong": b"PASS wrong\r\n",
    "auth": b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n",
    "auth-bare": b"AUTH\r\n",
    "stat": b"STAT\r\n",
    "dele": b"DELE 1\r\n",
    "rset": b"RSET\r\n",
    "utf8": b"UTF8\r\n",
    "quit": b"QUIT\r\n",
    "junk": b"JUNK\r\n",
}


@dataclass
class Model:
    """Three facts about a client, and for each command whether they call for +OK."""

    named: bool = False
    inside: bool = False
    marked: bool = False
    failures: int = 0
    gone: bool = False

    def answer(self, command: str) -> bool:
        named, self.named = self.named, False
        match command:
            case "capa":
                return True
            case "user" if not self.inside:
                self.named = True
                return True
            case "pass" | "auth" if not self.inside and (named or command == "auth"):
                self.inside = True
                return True
            case "pass-wrong" if named:
                self.failures += 1
                self.gone = self.failures == 3
            case "auth-bare" | "utf8" if not self.inside:
                return True
            case "stat" if self.inside:
                return True
            case "rset" if self.inside:
                self.marked = False
                return True
            case "dele" if self.inside:
                marked, self.marked = self.marked, True
                return not marked
            case "quit":
                self.gone = True
                return True
        return False


@pytest.mark.parametrize("beginning", [(), ("user",), ("auth",), ("auth", "dele")], ids="-".join)
def test_order(beginning: tuple[str, ...]) -> None:
    for sequence in product(COMMANDS, repeat=3):
        model, host = Model(), Pop3Host()
        for command in beginning + sequence:
            if model.gone:
                break
            expected = model.answer(command)
            answer = host.say(COMMANDS[command])
            assert answer.startswith(b"+OK" if expected else b"-ERR"), (sequence, command)
        assert (host.closed is not None) == model.gone, sequence
        update = model.inside and host.closed == "quit"
        assert host.removed == (([0] if model.marked else []) if update else None), sequence


def test_the_table_is_made_of_the_verbs() -> None:
    assert {name for _, name in TABLE} == {verb.name for verb in VERBS.values()}
    assert all(len(name) in (3, 4) for name in VERBS)
    assert TABLE["TRANSACTION", "QUIT"] == "UPDATE"  # type: ignore[index]
    assert TABLE["AUTHORIZATION", CAPA.name] == "AUTHORIZATION"  # type: ignore[index]


# --- sessions without a host


def say(session: Pop3Server, line: bytes) -> Event:
    session.receive_data(line + b"\r\n")
    return session.next_event()


def asking(octets: bytes = b"", listing: Listing | None = None) -> Pop3Server:
    """A session with an open mail drop, that has been said these octets; its next question is asked."""
    session = Pop3Server(TERMS)
    session.receive_data(b"USER alice\r\nPASS secret\r\n")
    assert isinstance(session.next_event(), sasl.Password)
    session.admit(listing or Listing([31, 32, 31, 0], ["a", "b", "c", "d"], 94))
    session.receive_data(octets)
    session.next_event()
    session.data_to_send()
    return session
