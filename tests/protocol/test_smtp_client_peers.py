"""Servers that misbehave, at every stage: what becomes of the mail, and that it is never two things at once.

The table of hostile and broken peers: each fault at each stage of the dialogue, in lock-step, with
pipelining and with chunks. Three questions: is the outcome right, is an unclear end called unclear, and is
what the client has said until then harmless.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.protocol.client.events import Accepted, Closed, Decided, Failed, Fate, Fault, Refused, Stage
from mta.protocol.client.session import SmtpClient
from mta.relay.outcome import Delivered, Never, Outcome, Reason, TryLater, judge
from tests.protocol.exchanger import ALL, TERMS, Connection, Does, Exchanger, carry, mail

TEXT = b"Subject: x\r\n\r\nhello\r\n"
BEFORE_MAIL = ("greeting", "EHLO")
IN_MAIL = ("MAIL", "RCPT", "DATA", "END")
WAYS = [(), ("PIPELINING",), ALL]
STAGES = [
    (stage, features)
    for stage in (*BEFORE_MAIL, *IN_MAIL)
    for features in WAYS
    if not (stage == "DATA" and "CHUNKING" in features)
]

BROKEN: dict[str, bytes | Does] = {
    "close": Does.CLOSE,
    "stall": Does.STALL,
    "half a reply": b"250-almost\r\n25",
    "garbage": bytes(range(256)) * 256,
    "code 199": b"199 hm\r\n",
    "code 600": b"600 hm\r\n",
    "code 2x": b"2x hm\r\n",
    "two codes": b"250-yes\r\n550 no\r\n",
    "endless lines": b"250-and\r\n" * 1_000_000,
    "endless line": b"250 " + b"x" * 1_000_000,
    "LF alone": b"250 ok\n",
}


def play(stage: str, says: bytes | Does, features: tuple[str, ...] = ()) -> tuple[Exchanger, Connection]:
    exchanger = Exchanger(features, {stage: [says]})
    return exchanger, carry(SmtpClient(TERMS), exchanger, [(mail(), [TEXT])])


def fate(connection: Connection) -> Fate:
    """Of the mail; when it came to none, of the connection."""
    if connection.decided:
        return connection.fate
    assert connection.closed is not None
    assert connection.closed.cause is not None
    return connection.closed.cause


def outcome(connection: Connection) -> Outcome:
    return judge(fate(connection))


@pytest.mark.parametrize(("stage", "features"), STAGES, ids=repr)
@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_no_reply_means_later(stage: str, fault: str, features: tuple[str, ...]) -> None:
    exchanger, connection = play(stage, BROKEN[fault], features)
    found = outcome(connection)
    assert isinstance(found, TryLater)
    assert found.ambiguous == (stage == "END")
    assert (found.reason is Reason.POSSIBLE_DUPLICATE) == (stage == "END")
    assert b"QUIT" not in exchanger.heard
    if stage != "END":
        assert b"hello" not in connection.wire


@pytest.mark.parametrize(("stage", "features"), STAGES, ids=repr)
@pytest.mark.parametrize("code", [421, 450, 451, 452, 499, 500, 521, 550, 554, 599])
def test_what_is_refused(stage: str, code: int, features: tuple[str, ...]) -> None:
    """44"""
    exchanger, connection = play(stage, b"%d no\r\n" % code, features)
    found = outcome(connection)
    if stage == "EHLO" and code >= 500:
        assert isinstance(found, Delivered)  # by HELO
    elif code >= 500 and (stage in IN_MAIL or code == 521):
        assert isinstance(found, Never)
        assert found.reply == f"{code} no"
    else:
        assert isinstance(found, TryLater)
        assert found.reply == f"{code} no"
        assert found.slow == (code == 421)
        assert not found.ambiguous
    assert len(exchanger.texts) == isinstance(found, Delivered)
    assert (b"QUIT" in exchanger.heard) == (code != 421)


@pytest.mark.parametrize("features", WAYS, ids=repr)
@pytest.mark.parametrize("fault", [*BROKEN, "421", "550"])
def test_what_happens_at_quit_changes_nothing(fault: str, features: tuple[str, ...]) -> None:
    """50"""
    exchanger, connection = play("QUIT", BROKEN.get(fault, fault.encode("ascii") + b" bye\r\n"), features)
    assert isinstance(connection.fate, Accepted)
    assert connection.closed == Closed(None)
    assert exchanger.texts == [TEXT]


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "MAIL", "RCPT", "END"])
def test_only_the_code_counts(stage: str) -> None:
    _, connection = play(stage, b"200 500 no\r\n")
    assert isinstance(outcome(connection), Delivered)


@pytest.mark.parametrize("features", [(), ("PIPELINING",)], ids=repr)
def test_no_text_without_354(features: tuple[str, ...]) -> None:
    """54"""
    exchanger, connection = play("DATA", b"250 ok\r\n", features)
    assert connection.wire.endswith(b"DATA\r\n")
    assert exchanger.texts == []
    found = outcome(connection)
    assert isinstance(found, TryLater)
    assert not found.ambiguous


COMMANDS = [
    b"EHLO client.example.net",
    b"MAIL FROM:<a@example.net>",
    b"RCPT TO:<b@example.org>",
    b"DATA",
]


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "MAIL", "RCPT", "DATA"])
def test_a_reply_before_its_command_is_none(stage: str) -> None:
    usual = {"greeting": b"220 hi\r\n", "DATA": b"354 go\r\n"}.get(stage, b"250 ok\r\n")
    exchanger, connection = play(stage, usual + b"250 this too\r\n")
    found = fate(connection)
    assert isinstance(found, Failed)
    assert found.fault is Fault.OUT_OF_STEP
    assert exchanger.heard == COMMANDS[: ("greeting", "EHLO", "MAIL", "RCPT", "DATA").index(stage)]
    assert b"hello" not in connection.wire


def test_a_250_before_the_final_dot_is_not_its_reply() -> None:
    """Else a server one reply ahead of us would seem to have taken what it never read."""
    client = in_text()
    client.text(b"half", last=False)
    client.data_to_send()
    client.receive_data(b"250 queued\r\n")
    client.text(b"other half", last=True)
    assert client.data_to_send() == b""
    fate = the_fate(client)
    assert isinstance(fate, Failed)
    assert fate.fault is Fault.OUT_OF_STEP
    assert not fate.ambiguous


@pytest.mark.parametrize("half", [b"25", b"250-queued\r\n"])
def test_half_a_reply_before_the_final_dot_is_not_its_reply(half: bytes) -> None:
    client = in_text()
    client.receive_data(half)
    client.text(b"x", last=True)
    assert client.data_to_send() == b""
    assert isinstance(the_fate(client), Failed)


@pytest.mark.parametrize("code", [421, 452, 552])
def test_a_text_may_be_refused_before_its_end(code: int) -> None:
    client = in_text()
    client.text(b"half", last=False)
    client.data_to_send()
    client.receive_data(b"%d no\r\n" % code)
    fate = the_fate(client)
    assert isinstance(fate, Refused)
    assert fate.stage is Stage.TEXT
    client.text(b"other half", last=True)
    assert client.data_to_send() == b""


def test_a_dot_that_never_left_us_is_not_ambiguous() -> None:
    client = in_text()
    client.text(b"x", last=True)
    client.receive_eof("connection reset by peer")
    fate = the_fate(client)
    assert fate == Failed(Stage.END, Fault.LOST, "connection reset by peer")
    assert client.data_to_send() == b""


def test_a_reply_that_came_before_the_end_counts() -> None:
    client = in_text()
    client.text(b"x", last=True)
    client.data_to_send()
    client.receive_data(b"250 queued\r\n")
    client.receive_eof("connection reset by peer")
    assert isinstance(the_fate(client), Accepted)


def test_an_end_that_is_for_nobody_is_not_ambiguous() -> None:
    says: dict[str, list[bytes | Does | None]] = {
        "RCPT": [b"550 no\r\n"],
        "DATA": [b"354 go\r\n"],
        "END": [Does.CLOSE],
    }
    connection = carry(SmtpClient(TERMS), Exchanger(("PIPELINING",), says), [(mail(), [TEXT])])
    assert isinstance(connection.fate, Refused)
    assert connection.closed == Closed(Failed(Stage.END, Fault.LOST, "closed by the other side"))


def in_text() -> SmtpClient:
    """A client that has been asked for its text."""
    client = SmtpClient(TERMS)
    client.open()
    sent = False
    for octets in (b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        client.receive_data(octets)
        client.next_event()
        if not sent and client.stage is Stage.READY:
            client.send(mail())
            sent = True
        client.data_to_send()
    assert client.stage is Stage.TEXT
    return client


def the_fate(client: SmtpClient) -> Fate:
    event = client.next_event()
    assert isinstance(event, Decided)
    return event.fates[0]


def test_lies_about_pipelining() -> None:
    """It answers the first command only and forgets the rest."""
    exchanger = Exchanger(("PIPELINING",), {"RCPT": [b""], "DATA": [b""]})
    connection = carry(SmtpClient(TERMS), exchanger, [(mail(), [TEXT])])
    found = outcome(connection)
    assert isinstance(found, TryLater)
    assert found.reason is Reason.TIMED_OUT


@pytest.mark.parametrize(
    ("features", "stage", "says", "status"),
    [
        (("SIZE 1000",), "MAIL", b"552 5.3.4 too big\r\n", "5.3.4"),
        (("SIZE 1000",), "END", b"552 too big\r\n", "5.3.4"),
        (("8BITMIME",), "END", b"554 5.6.1 no 8-bit text\r\n", "5.6.1"),
        (("CHUNKING",), "END", b"502 what?\r\n", "5.0.0"),
    ],
)
def test_lies_about_features(features: tuple[str, ...], stage: str, says: bytes, status: str) -> None:
    _, connection = play(stage, says, features)
    found = outcome(connection)
    assert isinstance(found, Never)
    assert found.status == status


SAYINGS = st.sampled_from(
    [
        None,
        b"250 ok\r\n",
        b"354 go\r\n",
        b"450 no\r\n",
        b"550 no\r\n",
        b"421 bye\r\n",
        b"",
        b"x\r\n",
        b"250 ok\r\n250 ok\r\n",
        b"354 go\r\n250 ok\r\n",
        Does.CLOSE,
    ]
)


@settings(max_examples=300)
@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys((*BEFORE_MAIL, *IN_MAIL, "RSET"), st.lists(SAYINGS))),
    st.sampled_from(WAYS),
    st.integers(1, 40),
    st.booleans(),
)
def test_whatever_is_said_each_recipient_ends_one_way(
    says: dict[str, list[bytes | Does | None]], features: tuple[str, ...], portion: int, early: bool
) -> None:
    exchanger = Exchanger(features, says)
    letters = [(mail("b@example.org", "c@example.org"), [TEXT[:5], TEXT[5:]]) for _ in range(3)]
    client = SmtpClient(TERMS)
    connection = carry(client, exchanger, letters, portion=portion, early=early)
    given = len(connection.ready) + connection.early
    untouched = given - (connection.closed == Closed(None)) - len(connection.decided)
    assert untouched in ((0,) if not connection.early or connection.closed == Closed(None) else (0, 1))
    for fates in connection.decided:
        assert len(fates) == 2
    assert client.next_event() == connection.closed
    unclear = [fates for fates in connection.decided if any(map(is_unclear, fates))]
    taken = [fates for fates in connection.decided if any(isinstance(fate, Accepted) for fate in fates)]
    assert len(unclear) <= 1
    delivered = [text for text in exchanger.texts if text]
    assert len(taken) <= len(delivered) <= len(taken) + len(unclear)


def is_unclear(fate: Fate) -> bool:
    return isinstance(fate, Failed) and fate.ambiguous
