"""AUTH in a session of SMTP, where dialogues do not reach: bounds, TLS, and what others are shown of it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.protocol import replies
from mta.protocol.events import NEED_DATA, PAUSED, Closed, Sender
from mta.protocol.replies import Reply
from mta.protocol.sasl import LINE_LIMIT, NeedVerifier, Password
from mta.protocol.smtp.server import SmtpServer
from mta.protocol.smtp.states import START, TLS_STARTING
from tests.protocol.host import PENCIL, TERMS, Host, codes, host, login_terms, replies_of
from tests.protocol.scram_client import ScramClient

EHLO = b"EHLO c.example\r\n"
RIGHT = b"AUTH PLAIN " + b64encode(b"\0alice\0sesame") + b"\r\n"
MAIL = b"MAIL FROM:<alice@example.org>\r\n"


def town(words: str = "clear,scram", **changes: object) -> Host:
    return host(login=login_terms(words), **changes)


# bounds


def test_an_answer_as_long_as_the_standard_allows() -> None:
    longest = b64encode(b"\0alice\0".ljust(LINE_LIMIT // 4 * 3, b"x"))
    assert codes(town().say(EHLO, b"AUTH PLAIN\r\n", longest + b"\r\n"))[1:] == [334, 535]
    server = town()
    assert server.say(EHLO, b"AUTH PLAIN\r\n", longest + b"AAAA\r\n").endswith(
        b"500 5.5.6 answer too long\r\n"
    )
    assert codes(server.say(b"NOOP\r\n")) == [250]


def test_an_answer_without_end() -> None:
    server = town()
    assert codes(server.say(EHLO, b"AUTH PLAIN\r\n", b"A" * 16383)) == [250, 334]
    assert codes(server.say(b"A")) == [500]
    assert server.closed == "endless line"


def test_a_client_that_leaves_in_the_middle() -> None:
    server = town()
    server.say(EHLO, b"AUTH PLAIN\r\n")
    server.leave()
    assert server.closed == "lost"


def test_a_timeout_in_the_middle() -> None:
    server = town()
    server.say(EHLO, b"AUTH LOGIN\r\n")
    server.session.time_out()
    assert codes(server.say(b"")) == [421]


def test_a_shutdown_lets_the_verdict_go_first() -> None:
    session = SmtpServer(replace(TERMS, login=login_terms("clear")))
    session.receive_data(EHLO + RIGHT + b"NOOP\r\n")
    assert session.next_event() == Password("alice", "sesame")
    session.data_to_send()
    session.shut_down()
    assert session.next_event() is PAUSED
    session.reply(replies.LOGGED_IN)
    assert codes(session.data_to_send()) == [235, 421]
    assert session.next_event() == Closed("shutdown")


def test_a_shutdown_while_a_verifier_is_looked_for() -> None:
    server, client = SmtpServer(replace(TERMS, login=login_terms("clear,scram"))), ScramClient("alice", "x")
    server.receive_data(EHLO + b"AUTH SCRAM-SHA-256 " + client.first + b"\r\n")
    assert server.next_event() == NeedVerifier("alice")
    server.data_to_send()
    server.shut_down()
    server.reply(replies.NO_LOGIN_NOW)
    assert codes(server.data_to_send()) == [454, 421]


def test_commands_wait_for_the_verdict() -> None:
    session = SmtpServer(replace(TERMS, login=login_terms("clear,required")))
    session.receive_data(EHLO + RIGHT + MAIL)
    session.next_event()
    assert session.next_event() is PAUSED
    session.reply(replies.LOGGED_IN)
    assert session.next_event() is not NEED_DATA
    assert codes(session.data_to_send()) == [250, 235]


# who it is


def test_received_tells_that_there_was_a_login() -> None:
    server = town()
    server.say(EHLO)
    assert server.session.protocol == "ESMTP"
    server.say(RIGHT)
    assert (server.session.protocol, server.session.user) == ("ESMTPA", "alice")
    server = Host(replace(TERMS, login=login_terms("")), tls=True)
    server.say(EHLO, RIGHT)
    assert server.session.protocol == "ESMTPSA"
    server.say(MAIL[:-2] + b" SMTPUTF8\r\n")
    assert server.session.protocol == "UTF8SMTPSA"
    server.say(b"HELO c.example\r\n")
    assert server.session.protocol == "SMTP"


def test_who_has_logged_in_is_trusted() -> None:
    server = town()
    assert codes(server.say(EHLO, b"VRFY alice\r\n", RIGHT, b"VRFY alice\r\n")) == [250, 252, 235, 250]
    assert codes(server.say(MAIL, b"RCPT TO:<x@elsewhere.example>\r\n")) == [250, 250]


@pytest.mark.parametrize("lost", [b"AUTH PLAIN *\r\n", b"AUTH PLAIN AAAA\r\n", RIGHT.replace(b"c2F", b"c2E")])
def test_who_has_not_is_not(lost: bytes) -> None:
    server = town()
    server.say(EHLO, lost)
    assert server.session.user == ""
    assert not server.session.trusted


def test_tls_forgets_who_it_was() -> None:
    server = town("clear,required", starttls=True)
    wrong = b"AUTH PLAIN " + b64encode(b"\0alice\0x") + b"\r\n"
    assert codes(server.say(EHLO, wrong, wrong, RIGHT, b"STARTTLS\r\n")) == [250, 535, 535, 235, 220]
    server.session.tls_started()
    assert server.session.user == ""
    assert not server.session.trusted
    assert codes(server.say(MAIL, EHLO, MAIL)) == [503, 250, 530]
    assert codes(server.say(wrong, RIGHT, MAIL)) == [535, 235, 250]


def test_tls_before_the_greeting() -> None:
    session = SmtpServer(TERMS, tls=True)
    assert session.state is TLS_STARTING
    assert session.data_to_send() == b""
    session.tls_started()
    session.open()
    assert session.state is START
    assert codes(session.data_to_send()) == [220]
    assert session.tls


def test_auth_is_not_out_of_order_before_it_is_unknown() -> None:
    assert codes(host().say(b"AUTH PLAIN\r\n")) == [502]
    assert codes(town().say(b"AUTH PLAIN\r\n")) == [503]


# what others are shown


def dialogues() -> list[tuple[str, bytes]]:
    client = ScramClient("user", "pencil")
    return [
        ("plain", RIGHT),
        ("plain, asked for", b"AUTH PLAIN\r\n" + RIGHT[11:]),
        ("plain, wrong", b"AUTH PLAIN " + b64encode(b"\0alice\0sesame!") + b"\r\n"),
        ("plain, malformed", b"AUTH PLAIN\r\n" + b64encode(b"sesame") + b"\r\n"),
        ("plain, no base64", b"AUTH PLAIN\r\nsesame!\r\n"),
        ("login", b"AUTH LOGIN\r\n" + b64encode(b"alice") + b"\r\n" + b64encode(b"sesame") + b"\r\n"),
        ("scram", b"AUTH SCRAM-SHA-256\r\n" + client.first + b"\r\n"),
    ]


@pytest.mark.parametrize("said", [said for _, said in dialogues()], ids=[name for name, _ in dialogues()])
def test_nobody_is_shown_an_answer(said: bytes) -> None:
    """The command itself may hold an initial response, which the log knows to hide."""
    server = town()
    shown: list[bytes] = []
    server.session.transcript = lambda _direction, line: shown.append(line)
    server.session.rejected = lambda command, _reply: shown.append(command)
    server.say(EHLO, said)
    answers = said.split(b"\r\n")[1:-1]
    assert not [line for line in shown if any(answer in line for answer in answers)]
    assert shown.count(b"***") == len(answers)
    assert {line for line in shown if line.startswith(b"334")} <= {b"334 ***"}


def test_a_refused_command_is_named_without_its_secret() -> None:
    server = town()
    told: list[tuple[bytes, Reply]] = []
    server.session.rejected = lambda command, reply: told.append((command, reply))
    server.say(EHLO, b"AUTH PLAIN\r\n" + b64encode(b"\0alice\0x") + b"\r\n")
    assert told == [(b"AUTH", replies.BAD_LOGIN)]


def test_nothing_is_kept_of_a_password() -> None:
    server = town()
    server.say(EHLO, b"AUTH LOGIN\r\n", b64encode(b"alice") + b"\r\n", b64encode(b"wrong") + b"\r\n")
    assert server.session.login is not None
    assert server.session.login.user == ""
    assert server.session._input == b""


# whatever a client says

LINES = st.sampled_from(
    [
        *(
            EHLO,
            b"HELO c.example\r\n",
            MAIL,
            b"RCPT TO:<user@example.org>\r\n",
            b"RSET\r\n",
            b"*\r\n",
            b"\r\n",
        ),
        *(RIGHT, RIGHT[11:], b"AUTH PLAIN\r\n", b"AUTH LOGIN\r\n", b"AUTH SCRAM-SHA-256\r\n", b"NOOP\r\n"),
        *(
            b64encode(word) + b"\r\n"
            for word in (b"alice", b"wrong", b"n,,n=alice,r=abc", b"c=biws,r=abc,p=")
        ),
    ]
)


@given(st.lists(LINES, max_size=30), st.randoms(use_true_random=False))
def test_nobody_is_logged_in_whom_the_host_did_not_let_in(lines: list[bytes], luck: Random) -> None:
    session = SmtpServer(replace(TERMS, login=login_terms("clear,scram,required")))
    session.open()
    let_in = False
    for line in lines:
        session.receive_data(line)
        while (event := session.next_event()) not in (NEED_DATA, PAUSED) and not isinstance(event, Closed):
            if isinstance(event, NeedVerifier):
                session.verify_by(PENCIL)
            elif isinstance(event, Password):
                verdict = luck.choice((replies.LOGGED_IN, replies.BAD_LOGIN, replies.NO_LOGIN_NOW))
                let_in = let_in or verdict == replies.LOGGED_IN
                session.reply(verdict)
            else:
                assert not isinstance(event, Sender) or let_in
                session.reply(replies.OK)
        assert bool(session.user) == session.trusted == let_in
        replies_of(session.data_to_send())
