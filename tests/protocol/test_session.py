"""What dialogues cannot show: time, the other end, memory, pieces, and input that comes before its turn."""

from __future__ import annotations

import sys

import pytest

from mta.protocol import replies
from mta.protocol.events import NEED_DATA, PAUSED, Closed, Data, Discarded, Recipient, Sender, StartTls, Text
from mta.protocol.replies import Reply
from mta.protocol.smtp import states
from mta.protocol.smtp.server import SmtpServer
from mta.protocol.smtp.verbs import TABLE, VERBS, Verb
from tests.protocol.host import ENVELOPE, TERMS, Host, advance, codes, fresh, host, in_data

# --- the contract with the host


def test_each_question_pauses_until_it_is_answered() -> None:
    session = fresh()
    session.receive_data(ENVELOPE + b"DATA\r\nx\r\n.\r\nNOOP\r\n")
    for kind, answer in (
        (Sender, replies.SENDER_OK),
        (Recipient, replies.RECIPIENT_OK),
        (Data, replies.GO_AHEAD),
        (Text, replies.queued("id")),
    ):
        assert isinstance(session.next_event(), kind)
        assert session.next_event() is PAUSED
        assert session.next_event() is PAUSED
        session.reply(answer)
    assert session.next_event() is NEED_DATA


def test_a_reply_nobody_asked_for_is_a_defect_of_the_host() -> None:
    with pytest.raises(RuntimeError):
        fresh().reply(replies.OK)


def test_34_nothing_is_said_before_the_host_says_so() -> None:
    session = in_data()
    session.receive_data(b"x\r\n.\r\n")
    assert session.next_event() == Text(b"x\r\n", b"x\n", True)
    assert session.data_to_send() == b""
    session.reply(replies.queued("id"))
    assert session.data_to_send() == b"250 2.0.0 queued as id\r\n"


def test_input_that_waits_is_bounded() -> None:
    session = fresh()
    advance(session, b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\n")
    session.next_event()
    assert session.wants_data
    session.receive_data(b"NOOP\r\n" * 20000)
    assert not session.wants_data


def test_memory_of_an_idle_session() -> None:
    session = fresh()
    advance(session, ENVELOPE + b"DATA\r\nx\r\n.\r\n", *[replies.GO_AHEAD] * 4)
    assert session.next_event() is NEED_DATA
    session.data_to_send()
    own = [session, session.terms, session.helo, session.terms.session_id]
    assert sum(map(sys.getsizeof, own)) + 32 < 700
    names = [name for kind in SmtpServer.__mro__[:-1] for name in vars(kind)["__slots__"]]
    slots = {name: getattr(session, name) for name in names}
    assert [name for name, value in slots.items() if isinstance(value, bytes) and len(value) > 32] == []
    assert slots["_text"] is None


# --- ends


def test_15_shutdown_is_421() -> None:
    session = fresh()
    session.shut_down()
    assert session.next_event() == Closed("shutdown")
    assert session.next_event() == Closed("shutdown")
    assert session.data_to_send() == b"421 4.3.2 shutting down, try again later\r\n"
    session.shut_down()
    assert session.data_to_send() == b""


def test_15_shutdown_waits_for_a_message_being_made_durable() -> None:
    session = in_data()
    session.receive_data(b"x\r\n.\r\nMAIL FROM:<c@d.example>\r\n")
    session.next_event()
    session.shut_down()
    assert session.next_event() is PAUSED
    session.reply(replies.queued("id"))
    assert codes(session.data_to_send()) == [250, 421]
    assert session.next_event() == Closed("shutdown")


def test_17_silence_is_421() -> None:
    for session in (fresh(), in_data()):
        session.time_out()
        assert session.data_to_send() == b"421 4.4.2 timed out waiting for you, closing\r\n"
        assert session.next_event() == Closed("timeout")


@pytest.mark.parametrize("reply", [replies.SPOKE_TOO_SOON, replies.TOO_MANY_CONNECTIONS])
def test_01_a_client_may_be_refused_instead_of_greeted(reply: Reply) -> None:
    session = SmtpServer(TERMS)
    session.receive_data(b"EHLO c.example\r\n")
    session.refuse(reply)
    assert session.data_to_send() == reply.octets
    assert session.next_event() == Closed("refused")


def test_16_a_client_that_leaves_cancels_the_open_transaction_only() -> None:
    town = host()
    town.say(ENVELOPE + b"DATA\r\nfirst\r\n.\r\n" + ENVELOPE + b"DATA\r\nhalf\r\n.\r")
    town.leave()
    assert town.closed == "lost"
    assert [message.crlf for message in town.accepted] == [b"first\r\n"]


def test_16_half_closed_after_the_dot_is_a_message() -> None:
    session = in_data()
    session.receive_data(b"x\r\n.\r\n")
    session.receive_eof()
    assert session.next_event() == Text(b"x\r\n", b"x\n", True)
    session.reply(replies.queued("id"))
    assert session.next_event() == Closed("lost")
    assert session.data_to_send() == b"250 2.0.0 queued as id\r\n"


def test_nothing_is_taken_after_the_end() -> None:
    town = host()
    town.say(b"QUIT\r\n")
    assert town.say(b"NOOP\r\n") == b""
    assert not town.session.wants_data


# --- input before its turn


def test_59_bytes_behind_starttls_end_the_session() -> None:
    town = host(starttls=True)
    assert codes(town.say(b"EHLO c.example\r\nSTARTTLS\r\nMAIL FROM:<evil@ext.example>\r\n")) == [250, 554]
    assert town.closed == "input behind STARTTLS"
    assert not town.events


def test_59_bytes_that_come_while_starttls_is_answered_end_the_session() -> None:
    session = fresh(starttls=True)
    session.receive_data(b"EHLO c.example\r\nSTARTTLS\r\n")
    assert session.next_event() == StartTls()
    session.receive_data(b"NOOP\r\n")
    session.data_to_send()
    session.reply(replies.READY_FOR_TLS)
    assert codes(session.data_to_send()) == [554]
    assert session.next_event() == Closed("input behind STARTTLS")


@pytest.mark.parametrize(
    "opening",
    [b"EHLO c.example\r\n", b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\n"],
    ids=["no MAIL", "no RCPT"],
)
@pytest.mark.parametrize("data", [b"DATA\r\n", b"DATA now\r\n", b"DATA\x00\r\n", b"DATA\nx\r\n"])
def test_59_a_text_behind_a_refused_data_ends_the_session(opening: bytes, data: bytes) -> None:
    town = host()
    town.say(opening)
    assert codes(town.say(data + b"MAIL FROM:<evil@ext.example>\r\n.\r\n")) == [554]
    assert town.closed == "input behind a refused DATA"


def test_59_a_text_behind_a_data_that_the_host_refuses_ends_the_session() -> None:
    town = Host(data=replies.LOCAL_FAULT)
    town.say(ENVELOPE)
    assert town.say(b"DATA\r\nMAIL FROM:<evil@ext.example>\r\n.\r\n") == (
        b"554 5.5.1 input behind a command that needs its reply first, closing (session 0abc)\r\n"
    )
    assert town.closed == "input behind a refused DATA"


# --- TLS (RFC 3207)


def secured() -> SmtpServer:
    session = fresh(starttls=True)
    advance(session, b"EHLO c.example\r\nSTARTTLS\r\n", replies.READY_FOR_TLS)
    assert session.next_event() is PAUSED
    session.data_to_send()
    session.tls_started()
    return session


def test_61_all_that_was_known_is_forgotten() -> None:
    session = secured()
    assert session.helo == b""
    assert not session.extended
    session.receive_data(b"MAIL FROM:<a@b.example>\r\n")
    assert session.next_event() is NEED_DATA
    assert codes(session.data_to_send()) == [503]


def test_61_not_offered_again() -> None:
    session = secured()
    session.receive_data(b"EHLO c.example\r\nSTARTTLS\r\n")
    assert session.next_event() is NEED_DATA
    output = session.data_to_send()
    assert b"STARTTLS" not in output.partition(b"503")[0]
    assert codes(output) == [250, 503]
    assert session.protocol == "ESMTPS"


def test_61_offered_in_clear() -> None:
    town = host(starttls=True)
    assert b"250 STARTTLS\r\n" in town.say(b"EHLO c.example\r\n")
    assert codes(town.say(b"STARTTLS now\r\n")) == [501]


def test_61_not_available_is_454_and_the_session_goes_on() -> None:
    session = fresh(starttls=True)
    advance(session, b"EHLO c.example\r\nSTARTTLS\r\n", replies.NO_TLS)
    session.data_to_send()
    session.receive_data(b"NOOP\r\n")
    assert session.next_event() is NEED_DATA
    assert codes(session.data_to_send()) == [250]


def test_61_not_within_a_transaction() -> None:
    town = host(starttls=True)
    assert codes(town.say(ENVELOPE + b"STARTTLS\r\n"))[-1] == 503


def test_a_client_that_leaves_instead_of_shaking_hands_is_gone_at_once() -> None:
    session = fresh(starttls=True)
    advance(session, b"EHLO c.example\r\nSTARTTLS\r\n", replies.READY_FOR_TLS)
    session.receive_eof()
    assert session.next_event() == Closed("lost")


def test_tls_before_it_was_asked_for_is_a_defect_of_the_host() -> None:
    with pytest.raises(RuntimeError):
        fresh().tls_started()


def test_nothing_is_said_in_clear_once_tls_is_starting() -> None:
    session = fresh(starttls=True)
    advance(session, b"EHLO c.example\r\nSTARTTLS\r\n", replies.READY_FOR_TLS)
    session.data_to_send()
    session.shut_down()
    assert session.data_to_send() == b""
    assert session.next_event() == Closed("shutdown")


# --- verbs


def test_18_what_ehlo_offers_is_there() -> None:
    town = host(starttls=True)
    offered = {line[4:].split(b" ")[0] for line in town.say(b"EHLO c.example\r\n").splitlines()[1:]}
    proofs = {
        b"PIPELINING": b"NOOP\r\nNOOP\r\n",
        b"ENHANCEDSTATUSCODES": b"NOOP\r\n",
        b"LIMITS": b"NOOP\r\n",
        b"SIZE": b"MAIL FROM:<a@b.example> SIZE=1\r\nRSET\r\n",
        b"8BITMIME": b"MAIL FROM:<a@b.example> BODY=8BITMIME\r\nRSET\r\n",
        b"SMTPUTF8": b"MAIL FROM:<a@b.example> SMTPUTF8\r\nRSET\r\n",
        b"DSN": b"MAIL FROM:<a@b.example> RET=FULL ENVID=x\r\nRSET\r\n",
        b"CHUNKING": ENVELOPE + b"BDAT 0 LAST\r\n",
        b"HELP": b"HELP\r\n",
        b"STARTTLS": b"STARTTLS\r\n",
    }
    assert offered == proofs.keys()
    for octets in proofs.values():
        assert all(code < 300 for code in codes(town.say(octets)))


def test_a_verb_is_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """A private verb for trusted clients, added the way XSTAT will be."""
    verb = Verb(
        name="XTIME",
        syntax="XTIME",
        help="Tells no time.",
        order=states.ANY_TIME,
        effect=lambda session, argument: Reply(250, "", "never"),
        offered=lambda session: session.trusted,
    )
    monkeypatch.setitem(VERBS, b"XTIME", verb)
    assert host(trusted=True).say(b"xtime\r\n") == b"250 never\r\n"
    assert b" XTIME\r\n" in host(trusted=True).say(b"HELP\r\n")
    assert codes(host().say(b"XTIME\r\nHELP XTIME\r\n")) == [500, 504]
    assert b"XTIME" not in host().say(b"HELP\r\n")


def test_every_state_is_reached_and_left() -> None:
    named = {state for state, _ in TABLE} | set(TABLE.values())
    assert named == set(states.State) - {states.CHUNK_SKIPPING}
    assert {state for state, _ in TABLE} == set(states.COMMAND_STATES)


# --- lines


@pytest.mark.parametrize("length", [512, 2048])
def test_31_a_command_of_this_many_octets_is_taken(length: int) -> None:
    assert codes(host().say(b"NOOP ".ljust(length - 2, b"x") + b"\r\n")) == [250]


def test_31_a_longer_command_is_500_and_the_session_goes_on() -> None:
    assert codes(host().say(b"NOOP ".ljust(2047, b"x") + b"\r\nNOOP\r\n")) == [500, 250]


@pytest.mark.parametrize("portion", [1000, 65536, 1_000_000])
def test_an_endless_line_ends_the_session(portion: int) -> None:
    town = host()
    line = b"x" * 1_000_000
    assert codes(town.say(*(line[i : i + portion] for i in range(0, len(line), portion)))) == [500]
    assert town.closed == "endless line"


def test_23_sizes_that_must_be_taken() -> None:
    town = host()
    local = b"l" * 64
    domain = b".".join([b"d" * 63] * 3 + [b"e" * 61])
    answer = town.say(
        b"EHLO c.example\r\nMAIL FROM:<%b@%b>\r\nRCPT TO:<%b@example.org>\r\n" % (local, domain, local)
    )
    assert codes(answer) == [250, 250, 250]


def test_27_a_hundred_recipients_at_least() -> None:
    town = host()
    town.say(b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\n")
    assert codes(town.say(b"".join(b"RCPT TO:<u%d@example.org>\r\n" % i for i in range(1001)))) == [
        250
    ] * 1000 + [452]


# --- what is written down


def test_transcript_shows_lines_and_the_size_of_texts() -> None:
    session = fresh()
    heard: list[tuple[str, bytes]] = []
    session.transcript = lambda side, line: heard.append((side, line))
    advance(
        session,
        ENVELOPE + b"DATA\r\nsecret\r\n.\r\n",
        *[replies.OK] * 2,
        replies.GO_AHEAD,
        replies.queued("id"),
    )
    assert session.next_event() is NEED_DATA
    assert heard[0] == ("C", b"EHLO c.example")
    assert heard[1] == ("S", b"250-mx.example.org")
    assert heard[-4:] == [
        ("C", b"DATA"),
        ("S", b"354 send the message, end with a line that holds only a dot"),
        ("C", b"[8 octets of text]"),
        ("S", b"250 2.0.0 queued as id"),
    ]


def test_rejects_are_told_with_their_command() -> None:
    session = fresh()
    told: list[tuple[bytes, int]] = []
    session.rejected = lambda command, reply: told.append((command, reply.code))
    advance(session, b"FOO\r\nRCPT TO:<x>\r\n" + ENVELOPE, replies.SENDER_OK, replies.NO_SUCH_USER)
    session.receive_data(b"RCPT TO:<user@example.org>\r\nDATA\r\na\nb\r\n.\r\nGET / HTTP/1.0\r\n")
    session.next_event()
    session.reply(replies.RECIPIENT_OK)
    session.next_event()
    session.reply(replies.GO_AHEAD)
    assert isinstance(session.next_event(), Discarded)
    assert isinstance(session.next_event(), Closed)
    assert told == [
        (b"FOO", 502),
        (b"RCPT TO:<x>", 503),
        (b"RCPT TO:<user@example.org>", 550),
        (b".", 554),
        (b"GET / HTTP/1.0", 554),
    ]


@pytest.mark.parametrize(
    ("opening", "protocol"),
    [
        (b"HELO c.example\r\n", "SMTP"),
        (b"EHLO c.example\r\n", "ESMTP"),
        (b"EHLO c.example\r\nMAIL FROM:<a@b.example> SMTPUTF8\r\n", "UTF8SMTP"),
        (b"EHLO c.example\r\nMAIL FROM:<a@b.example> SMTPUTF8\r\nRSET\r\n", "ESMTP"),
    ],
)
def test_69_protocol_for_the_received_line(opening: bytes, protocol: str) -> None:
    town = host()
    town.say(opening)
    assert town.session.protocol == protocol
    town.session.tls = True
    assert town.session.protocol == protocol + ("S" if protocol != "SMTP" else "")
