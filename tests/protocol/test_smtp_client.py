"""The client session against an exchanger that is asked nothing impossible: what it says, in which order."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest

from mta.protocol.client.answers import Answer
from mta.protocol.client.events import (
    Accepted,
    Closed,
    Decided,
    Failed,
    Fate,
    Fault,
    Forward,
    Mail,
    Ready,
    Refused,
    Stage,
    StartTls,
    WantText,
)
from mta.protocol.client.features import Features
from mta.protocol.client.login import Login
from mta.protocol.client.session import PATIENCE, ClientTerms, SmtpClient
from mta.protocol.events import NEED_DATA, PAUSED
from tests.protocol.exchanger import ALL, TERMS, Connection, Does, Exchanger, Letter, carry, mail, pieces

TEXT = b"Subject: x\r\n\r\n.hello\r\n"
ONE: list[Letter] = [(mail(), [TEXT])]


def play(
    exchanger: Exchanger, letters: list[Letter] = ONE, *, portion: int = 1 << 20, **terms: object
) -> Connection:
    """One connection; `terms` that differ from the usual."""
    return carry(SmtpClient(replace(TERMS, **terms)), exchanger, letters, portion=portion)  # type: ignore[arg-type]


def decided(client: SmtpClient) -> tuple[Fate, ...]:
    """The next event, which must be Decided."""
    event = client.next_event()
    assert isinstance(event, Decided)
    return event.fates


def cause(client: SmtpClient) -> Failed:
    """Of the end, which must be the next event and a failure."""
    event = client.next_event()
    assert isinstance(event, Closed)
    assert isinstance(event.cause, Failed)
    return event.cause


# --- the order of things


@pytest.mark.parametrize("portion", [1, 1000])
@pytest.mark.parametrize("features", [(), ("PIPELINING",), ("CHUNKING",), ALL], ids=repr)
def test_a_mail_is_delivered(features: tuple[str, ...], portion: int) -> None:
    exchanger = Exchanger(features)
    connection = play(exchanger, [(mail("b@example.org", "c@example.org"), pieces(TEXT, 5))], portion=portion)
    assert exchanger.texts == [TEXT]
    assert [type(fate) for fate in connection.fates] == [Accepted, Accepted]
    assert connection.closed is not None
    assert connection.closed.cause is None
    assert exchanger.heard[0] == b"EHLO client.example.net"
    assert exchanger.heard[-1] == b"QUIT"


def test_in_lock_step_each_command_waits() -> None:
    client = SmtpClient(TERMS)
    said = []
    client.open()
    client.receive_data(b"220 hi\r\n")
    for answer in (b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        while (event := client.next_event()) not in (NEED_DATA, PAUSED):
            assert event == Ready(client.features)
            client.send(mail())
        said.append(client.data_to_send())
        client.receive_data(answer)
    assert said == [
        b"EHLO client.example.net\r\n",
        b"MAIL FROM:<a@example.net>\r\n",
        b"RCPT TO:<b@example.org>\r\n",
        b"DATA\r\n",
    ]


def test_with_pipelining_the_envelope_goes_at_once() -> None:
    client, _ = ready(b"250-x\r\n250 PIPELINING\r\n")
    client.send(mail("b@example.org", "c@example.org"))
    assert client.data_to_send() == (
        b"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n"
    )


def ready(ehlo: bytes = b"250 hi\r\n") -> tuple[SmtpClient, Ready]:
    """A client at Ready."""
    client = SmtpClient(TERMS)
    client.open()
    for octets in (b"220 hi\r\n", ehlo):
        client.receive_data(octets)
        event = client.next_event()
        client.data_to_send()
    assert isinstance(event, Ready)
    return client, event


def test_who_does_not_know_ehlo_is_asked_by_helo() -> None:
    """43"""
    exchanger = Exchanger(ALL, {"EHLO": [b"502 what?\r\n"]})
    connection = play(exchanger)
    assert exchanger.heard[:3] == [
        b"EHLO client.example.net",
        b"HELO client.example.net",
        b"MAIL FROM:<a@example.net>",
    ]
    assert exchanger.texts == [TEXT]
    assert isinstance(connection.fate, Accepted)


@pytest.mark.parametrize("features", [(), ALL], ids=repr)
def test_several_mails_on_one_connection(features: tuple[str, ...]) -> None:
    exchanger = Exchanger(features)
    letters: list[Letter] = [(mail(), [TEXT]), (mail(), [b"."]), (mail(), [b""])]
    connection = play(exchanger, letters)
    assert exchanger.texts == [TEXT, b".\r\n", b""]
    assert len(connection.decided) == 3
    assert len(connection.ready) == 4
    assert b"RSET" not in connection.wire


@pytest.mark.parametrize("features", [(), ("PIPELINING",), ("CHUNKING",), ALL], ids=repr)
@pytest.mark.parametrize(
    ("says", "resets"),
    [
        ({"MAIL": [b"550 no\r\n"]}, 0),
        ({"RCPT": [b"550 no\r\n"]}, 1),
        ({"DATA": [b"450 no\r\n"], "BDAT": [b"450 no\r\n"]}, 1),
        ({"END": [b"450 no\r\n"]}, 0),
    ],
    ids=repr,
)
def test_the_next_mail_begins_afresh(
    features: tuple[str, ...], says: dict[str, list[bytes | Does | None]], resets: int
) -> None:
    exchanger = Exchanger(features, says)
    connection = play(exchanger, [(mail(), [b"o", b"ne"]), (mail(), [b"two"])])
    assert [type(fates[0]) for fates in connection.decided] == [Refused, Accepted]
    assert exchanger.texts == [b"two\r\n"]
    assert exchanger.heard.count(b"RSET") == resets


# --- recipients


@pytest.mark.parametrize("features", [(), ALL, ("PIPELINING",)], ids=repr)
def test_each_recipient_has_its_own_reply(features: tuple[str, ...]) -> None:
    """55, 48"""
    exchanger = Exchanger(features, {"RCPT": [b"550 no\r\n", None, b"450 later\r\n", None]})
    connection = play(exchanger, [(mail(*(f"u{n}@example.org" for n in range(4))), [TEXT])])
    assert [fate.reply.code if fate.reply else 0 for fate in connection.fates] == [550, 250, 450, 250]
    assert [type(fate) for fate in connection.fates] == [Refused, Accepted, Refused, Accepted]
    assert exchanger.texts == [TEXT]


def test_all_refused_but_354_ends_with_the_dot_alone() -> None:
    """RFC 2920 3.1: the text of nothing is accepted for nobody."""
    exchanger = Exchanger(("PIPELINING",), {"RCPT": [b"550 no\r\n"] * 2, "DATA": [b"354 go\r\n"]})
    connection = play(exchanger, [(mail("b@example.org", "c@example.org"), [TEXT]), (mail(), [TEXT])])
    assert exchanger.texts == [b"", TEXT]
    assert [type(fate) for fate in connection.decided[0]] == [Refused, Refused]
    assert isinstance(connection.decided[1][0], Accepted)


def test_354_after_a_refused_sender_gets_no_octet() -> None:
    exchanger = Exchanger(("PIPELINING",), {"MAIL": [b"550 no\r\n"], "DATA": [b"354 go\r\n"]})
    connection = play(exchanger)
    assert connection.fate == Refused(Stage.MAIL, Answer(550, ("no",)))
    assert connection.wire.endswith(b"DATA\r\n")


@pytest.mark.parametrize("said", [b"452 4.5.3 enough\r\n", b"452 enough\r\n", b"552 5.5.3 enough\r\n"])
def test_what_is_too_many_goes_in_the_next_transaction(said: bytes) -> None:
    exchanger = Exchanger(("PIPELINING",), {"RCPT": [None, said]})
    connection = play(exchanger, [(mail("b@example.org", "c@example.org"), [TEXT])])
    taken, left = connection.fates
    assert isinstance(taken, Accepted)
    assert isinstance(left, Failed)
    assert left.fault is Fault.TOO_MANY_RECIPIENTS


@pytest.mark.parametrize("rcpt", [[b"452 enough\r\n", None], [None, b"552 5.2.2 mailbox full\r\n"]], ids=repr)
def test_these_are_not_too_many(rcpt: list[bytes | Does | None]) -> None:
    connection = play(
        Exchanger(("PIPELINING",), {"RCPT": rcpt}), [(mail("b@example.org", "c@example.org"), [TEXT])]
    )
    assert {type(fate) for fate in connection.fates} == {Accepted, Refused}


# --- what the server cannot take is not sent


@pytest.mark.parametrize(
    ("features", "sent", "fault"),
    [
        (("SIZE 99",), mail(size=100), Fault.TOO_BIG),
        ((), replace(mail(), eightbit=True), Fault.NO_8BITMIME),
        ((), replace(mail(), smtputf8=True), Fault.NO_SMTPUTF8),
        ((), mail(sender="å@example.net"), Fault.NO_SMTPUTF8),
    ],
    ids=["53", "52", "69 header", "69 sender"],
)
def test_what_cannot_be_carried_is_not_sent(features: tuple[str, ...], sent: Mail, fault: Fault) -> None:
    exchanger = Exchanger(features)
    connection = play(exchanger, [(sent, [TEXT]), (mail(size=1), [TEXT])])
    ((failed,), (accepted,)) = connection.decided
    assert isinstance(failed, Failed)
    assert failed.fault is fault
    assert isinstance(accepted, Accepted)
    assert sum(line.startswith(b"MAIL") for line in exchanger.heard) == 1
    assert b"RSET" not in exchanger.heard


# --- text in chunks


def test_a_refused_chunk_decides_the_mail() -> None:
    exchanger = Exchanger(("CHUNKING",), {"BDAT": [None, b"552 5.3.4 too big\r\n"]})
    connection = play(exchanger, [(mail(), pieces(TEXT, 4)), (mail(), [TEXT])])
    assert isinstance(connection.decided[0][0], Refused)
    assert connection.decided[0][0].stage is Stage.TEXT
    assert isinstance(connection.decided[1][0], Accepted)
    assert exchanger.heard.count(b"RSET") == 1


def test_chunks_under_way_behind_a_refused_one_change_nothing() -> None:
    client = in_chunks()
    client.text(b"a\r\n", last=False)
    client.data_to_send()
    assert client.next_event() == WantText()
    client.text(b"b\r\n", last=True)
    assert client.data_to_send() == b"BDAT 3 LAST\r\nb\r\n"
    client.receive_data(b"451 disk\r\n250 ok\r\n")
    assert decided(client) == (Refused(Stage.TEXT, Answer(451, ("disk",))),)
    assert client.next_event() is NEED_DATA
    assert client.data_to_send() == b"RSET\r\n"


def test_in_lock_step_a_chunk_waits_for_the_reply_to_the_last_one() -> None:
    client = in_chunks(b"250-x\r\n250 CHUNKING\r\n")
    client.text(b"a\r\n", last=False)
    assert client.data_to_send() == b"BDAT 3\r\na\r\n"
    assert client.next_event() is NEED_DATA
    client.receive_data(b"250 ok\r\n")
    assert client.next_event() == WantText()


def test_half_a_line_end_is_no_chunk() -> None:
    client = in_chunks()
    client.text(b"\r", last=False)
    assert client.data_to_send() == b""
    assert client.next_event() == WantText()
    client.text(b"\n", last=True)
    assert client.data_to_send() == b"BDAT 2 LAST\r\n\r\n"


def test_a_mail_decided_while_its_text_was_wanted() -> None:
    """The piece that comes late is ignored, and the next mail is asked for its own."""
    client = in_chunks()
    client.text(b"a\r\n", last=False)
    client.data_to_send()
    assert client.next_event() == WantText()
    client.receive_data(b"451 disk\r\n")
    assert decided(client) == (Refused(Stage.TEXT, Answer(451, ("disk",))),)
    client.text(b"b\r\n", last=True)
    assert client.data_to_send() == b"RSET\r\n"
    client.receive_data(b"250 ok\r\n")
    assert isinstance(client.next_event(), Ready)
    client.send(mail())
    client.data_to_send()
    client.receive_data(b"250 ok\r\n250 ok\r\n")
    assert client.next_event() == WantText()


def in_chunks(ehlo: bytes = b"250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n") -> SmtpClient:
    """A client that has been asked for its text."""
    client, _ = ready(ehlo)
    client.send(mail())
    client.data_to_send()
    client.receive_data(b"250 ok\r\n")
    client.next_event()
    client.data_to_send()
    client.receive_data(b"250 ok\r\n")
    assert client.next_event() == WantText()
    return client


# --- the host's side


def test_one_piece_after_the_other() -> None:
    """The session does not ask for more than has been taken from it."""
    client, _ = ready()
    client.send(mail())
    for answer in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        client.data_to_send()
        client.receive_data(answer)
        event = client.next_event()
    assert event == WantText()
    assert client.next_event() is PAUSED
    client.text(b"a\r\n", last=False)
    assert client.next_event() is PAUSED
    assert client.data_to_send() == b"a\r\n"
    assert client.next_event() == WantText()


def test_patience_is_that_of_the_standard() -> None:
    """42"""
    seen = {}
    client = SmtpClient(TERMS)
    client.open()
    seen[client.stage] = client.patience
    client.receive_data(b"220 hi\r\n")
    client.next_event()
    client, _ = ready()
    client.send(mail())
    for answer in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        seen[client.stage] = client.patience
        client.receive_data(answer)
        client.next_event()
        client.data_to_send()
    seen[client.stage] = client.patience
    client.next_event()
    client.text(b"", last=True)
    seen[client.stage] = client.patience
    minutes = {stage: seconds / 60 for stage, seconds in seen.items()}
    assert minutes == {
        Stage.GREETING: 5,
        Stage.MAIL: 5,
        Stage.RCPT: 5,
        Stage.DATA: 2,
        Stage.TEXT: 3,
        Stage.END: 10,
    }


def test_every_stage_has_its_patience() -> None:
    assert set(PATIENCE) == set(Stage)


def test_progress_is_replies_not_octets() -> None:
    client = SmtpClient(TERMS)
    client.open()
    for octet in (b"2", b"2", b"0", b" ", b"x", b"\r"):
        client.receive_data(octet)
        client.next_event()
        assert client.progress == 0
    client.receive_data(b"\n")
    client.next_event()
    assert client.progress == 1


@pytest.mark.parametrize("call", ["send", "quit", "tls_started"])
def test_what_is_out_of_place_is_a_defect(call: str) -> None:
    client = SmtpClient(TERMS)
    client.open()
    with pytest.raises(RuntimeError):
        getattr(client, call)(*((mail(),) if call == "send" else ()))


def test_an_abandoned_text_is_not_ended() -> None:
    client, _ = ready()
    client.send(mail())
    for answer in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        client.data_to_send()
        client.receive_data(answer)
        client.next_event()
    client.text(b"half", last=False)
    client.abandon("the letter cannot be read")
    assert client.data_to_send() == b""
    assert decided(client) == (Failed(Stage.TEXT, Fault.ABANDONED, "the letter cannot be read"),)


def test_a_transcript_hides_text_and_passwords() -> None:
    lines: list[tuple[str, bytes]] = []
    client = SmtpClient(ClientTerms(b"me", login=Login("user", "secret"), login_in_clear=True))
    client.transcript = lambda side, line: lines.append((side, line))
    carry(client, Exchanger(("AUTH PLAIN",)), ONE)
    assert lines == [
        ("S", b"220 mx.example.org"),
        ("C", b"EHLO me"),
        ("S", b"250-mx.example.org"),
        ("S", b"250-AUTH PLAIN"),
        ("S", b"250 HELP"),
        ("C", b"AUTH PLAIN [hidden]"),
        ("S", b"250 ok"),
        ("C", b"MAIL FROM:<a@example.net>"),
        ("S", b"250 ok"),
        ("C", b"RCPT TO:<b@example.org>"),
        ("S", b"250 ok"),
        ("C", b"DATA"),
        ("S", b"354 go"),
        ("C", b"[%d octets of text]" % (len(TEXT) + 4)),
        ("S", b"250 2.0.0 queued"),
        ("C", b"QUIT"),
        ("S", b"221 bye"),
    ]


# --- TLS


def test_starttls_forgets_what_was_said_before() -> None:
    exchanger = Exchanger(("STARTTLS", "SIZE 5"), {"EHLO": [None, b"250 tls\r\n"]})
    connection = play(exchanger)
    assert exchanger.heard[:4] == [
        b"EHLO client.example.net",
        b"STARTTLS",
        b"EHLO client.example.net",
        b"MAIL FROM:<a@example.net>",
    ]
    assert connection.ready[0].features.size is None


def test_what_was_offered_in_clear_is_forgotten_even_by_helo() -> None:
    exchanger = Exchanger(("STARTTLS", *ALL), {"EHLO": [None, b"502 what?\r\n"]})
    connection = play(exchanger)
    assert connection.ready[0].features == Features()
    assert exchanger.texts == [TEXT]


def test_tls_is_started_once() -> None:
    client = in_starttls()
    client.receive_data(b"220 go\r\n")
    assert client.next_event() == StartTls()
    client.tls_started()
    with pytest.raises(RuntimeError):
        client.tls_started()


def in_starttls() -> SmtpClient:
    """A client that has said STARTTLS."""
    client = SmtpClient(TERMS)
    client.open()
    for octets in (b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n"):
        client.receive_data(octets)
        client.next_event()
        said = client.data_to_send()
    assert said == b"STARTTLS\r\n"
    return client


@pytest.mark.parametrize("says", [{}, {"STARTTLS": [b"454 no\r\n"]}], ids=["stripped", "refused"])
@pytest.mark.parametrize("tls", ["opportunistic", "require", "none"])
def test_no_tls(says: dict[str, list[bytes | Does | None]], tls: str) -> None:
    exchanger = Exchanger(("STARTTLS",) if says else (), says)
    connection = play(exchanger, tls=tls)
    if tls == "require":
        assert connection.decided == []
        assert connection.closed is not None
        assert connection.closed.cause is not None
        assert connection.closed.cause.stage is Stage.STARTTLS
        assert exchanger.heard[-1] == b"QUIT"
    else:
        assert exchanger.texts == [TEXT]
    assert (b"STARTTLS" in exchanger.heard) == (bool(says) and tls != "none")


INJECTED = [b"250-evil\r\n", b"250 evil\r\n", b"2", b"\r\n", b"421 bye\r\n"]


@pytest.mark.parametrize("injected", INJECTED)
def test_what_is_injected_before_tls_ends_the_session(injected: bytes) -> None:
    """CVE-2021-38371: TLS is not even begun."""
    client = in_starttls()
    client.receive_data(b"220 go\r\n" + injected)
    assert cause(client).fault is Fault.INJECTED
    assert client.data_to_send() == b""


@pytest.mark.parametrize("injected", [b"250 evil\r\n", b"421 bye\r\n"])
def test_what_is_injected_in_the_handshake_ends_the_session(injected: bytes) -> None:
    client = in_starttls()
    client.receive_data(b"220 go\r\n")
    assert client.next_event() == StartTls()
    client.receive_data(injected)
    assert cause(client).fault is Fault.INJECTED


@pytest.mark.parametrize("injected", INJECTED)
def test_what_is_injected_later_ends_the_session_too(injected: bytes) -> None:
    client = in_starttls()
    client.receive_data(b"220 go\r\n")
    assert client.next_event() == StartTls()
    client.receive_data(injected)
    client.tls_started()
    assert cause(client).fault is Fault.INJECTED
    assert client.data_to_send() == b""


def test_implicit_tls_is_not_started_again() -> None:
    exchanger = Exchanger(("STARTTLS",))
    play(exchanger, tls="implicit")
    assert b"STARTTLS" not in exchanger.heard
    assert exchanger.texts == [TEXT]


def test_a_failed_handshake_ends_the_session() -> None:
    client = SmtpClient(replace(TERMS, tls="implicit"))
    client.open()
    client.tls_failed("certificate has expired")
    assert cause(client) == Failed(Stage.GREETING, Fault.TLS_FAILED, "certificate has expired")


# --- login


def test_plain_is_one_command() -> None:
    """66"""
    exchanger = Exchanger(("AUTH LOGIN PLAIN",), {"AUTH": [b"235 ok\r\n"]})
    play(exchanger, login=Login("user", "pässword"), tls="implicit")
    assert exchanger.heard[1] == b"AUTH PLAIN " + b64encode("\0user\0pässword".encode())
    assert exchanger.texts == [TEXT]


def test_a_long_password_waits_for_334() -> None:
    exchanger = Exchanger(("AUTH PLAIN",), {"AUTH": [b"334 \r\n"]})
    connection = play(exchanger, login=Login("user", "x" * 600), tls="implicit")
    assert exchanger.heard[1:3] == [b"AUTH PLAIN", b64encode(b"\0user\0" + b"x" * 600)]
    assert isinstance(connection.fate, Accepted)


def test_login_is_asked_for_name_and_password() -> None:
    answer = {"AUTH": [b"334 VXNlcm5hbWU6\r\n"], b64encode(b"user").decode(): [b"334 UGFzc3dvcmQ6\r\n"]}
    exchanger = Exchanger(("AUTH=LOGIN",), answer)  # type: ignore[arg-type]
    connection = play(exchanger, login=Login("user", "secret"), tls="implicit")
    assert exchanger.heard[1:4] == [b"AUTH LOGIN", b64encode(b"user"), b64encode(b"secret")]
    assert isinstance(connection.fate, Accepted)


@pytest.mark.parametrize(
    ("features", "said", "in_clear"),
    [
        (("AUTH PLAIN",), [b"535 no\r\n"], True),
        (("AUTH PLAIN",), [b"334 more\r\n"], True),
        (("AUTH CRAM-MD5",), [], True),
        ((), [], True),
        (("AUTH PLAIN",), [], False),
    ],
    ids=["refused", "never enough", "unknown mechanism", "not offered", "in clear"],
)
def test_without_login_no_mail(
    features: tuple[str, ...], said: list[bytes | Does | None], in_clear: bool
) -> None:
    exchanger = Exchanger(features, {"AUTH": said})
    client = SmtpClient(replace(TERMS, login=Login("user", "secret"), login_in_clear=in_clear))
    connection = carry(client, exchanger, ONE)
    assert connection.decided == []
    assert connection.closed is not None
    assert connection.closed.cause is not None
    assert connection.closed.cause.stage is Stage.AUTH
    assert exchanger.heard[-1] == b"QUIT"
    assert (b"AUTH" in connection.wire) == bool(said)


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(ClientTerms(b"me", login=Login("user", "secret")))


# --- parameters


def test_parameters_are_passed_on_when_they_are_understood() -> None:
    """63"""
    sent = Mail(
        "å@example.net",
        (Forward("b@example.org", "SUCCESS,DELAY", "rfc822;B+2Bx@example.org"), Forward("c@example.org")),
        size=100,
        eightbit=True,
        ret="HDRS",
        envid="x+2By",
    )
    exchanger = Exchanger(ALL)
    play(exchanger, [(sent, [TEXT])])
    assert [line.decode() for line in exchanger.heard[1:4]] == [
        "MAIL FROM:<å@example.net> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+2By",
        "RCPT TO:<b@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;B+2Bx@example.org",
        "RCPT TO:<c@example.org>",
    ]


def test_who_is_to_be_reported_keeps_the_address_we_were_given() -> None:
    """RFC 3461 5.2.1: unless it cannot be written, or nobody asked to be told."""
    others = Forward("å@example.org", "FAILURE"), Forward("d@example.org")
    forwards = [Forward("b+c@example.org", "FAILURE"), *others]
    exchanger = Exchanger(ALL)
    play(exchanger, [(Mail("a@example.net", tuple(forwards), size=100), [TEXT])])
    assert [line.decode() for line in exchanger.heard if line.startswith(b"RCPT")] == [
        "RCPT TO:<b+c@example.org> NOTIFY=FAILURE ORCPT=rfc822;b+2Bc@example.org",
        "RCPT TO:<å@example.org> NOTIFY=FAILURE",
        "RCPT TO:<d@example.org>",
    ]


def test_report_parameters_are_kept_from_who_does_not_know_them() -> None:
    sent = Mail(
        "", (Forward("b@example.org", "NEVER", "rfc822;b@example.org"),), size=1, ret="FULL", envid="x"
    )
    exchanger = Exchanger()
    play(exchanger, [(sent, [TEXT])])
    assert exchanger.heard[1:3] == [b"MAIL FROM:<>", b"RCPT TO:<b@example.org>"]
