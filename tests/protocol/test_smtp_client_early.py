"""The next mail's commands behind the text of the one before: one turn of the wire for each mail, and no mail
that answers for another."""

from __future__ import annotations

import pytest

from mta.protocol.client.answers import Answer
from mta.protocol.client.events import (
    Accepted,
    Closed,
    Decided,
    Failed,
    Fate,
    Fault,
    Ready,
    Refused,
    Stage,
    WantText,
)
from mta.protocol.client.session import SmtpClient
from mta.protocol.events import NEED_DATA, PAUSED
from tests.protocol.exchanger import ALL, TERMS, Connection, Does, Exchanger, Letter, carry, mail

DATA = ("PIPELINING",)
BDAT = ("PIPELINING", "CHUNKING")
ENVELOPE = b"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n"
THREE: list[Letter] = [(mail(), [text]) for text in (b"one\r\n", b"two\r\n", b"three\r\n")]


def in_reply(features: tuple[str, ...] = DATA, *, early: bool = True) -> SmtpClient:
    """A client that has sent a text, perhaps with the commands of the next mail, and has no reply yet."""
    client = SmtpClient(TERMS)
    client.open()
    hear(client, b"220 hi\r\n")
    client.data_to_send()
    offer = b"".join(b"250-%b\r\n" % word.encode() for word in features)
    assert [type(event) for event in hear(client, b"250-x\r\n" + offer + b"250 HELP\r\n")] == [Ready]
    client.send(mail())
    client.data_to_send()
    begin = b"" if "CHUNKING" in features else b"354 go\r\n"
    assert hear(client, b"250 ok\r\n250 ok\r\n" + begin) == [WantText()]
    client.text(b"one\r\n", last=True)
    if early:
        assert client.takes_next
        client.send(mail())
    return client


def hear(client: SmtpClient, octets: bytes) -> list[object]:
    """What the client has to tell after it has heard this, one octet after the other."""
    told: list[object] = []
    for at in range(len(octets)):
        client.receive_data(octets[at : at + 1])
        told += events(client)
    return told


def events(client: SmtpClient) -> list[object]:
    told: list[object] = []
    while (event := client.next_event()) not in (NEED_DATA, PAUSED):
        told.append(event)
        if isinstance(event, Closed):
            break
    return told


def play(exchanger: Exchanger, letters: list[Letter] = THREE, *, portion: int = 1 << 20) -> Connection:
    return carry(SmtpClient(TERMS), exchanger, letters, portion=portion, early=True)


def test_the_envelope_is_in_the_segment_of_the_text() -> None:
    assert in_reply(DATA).data_to_send() == b"one\r\n.\r\n" + ENVELOPE + b"DATA\r\n"
    assert in_reply(BDAT).data_to_send() == b"BDAT 5 LAST\r\none\r\n" + ENVELOPE


@pytest.mark.parametrize("portion", [1, 7, 1000])
@pytest.mark.parametrize("features", [DATA, BDAT, ALL], ids=repr)
def test_many_mails(features: tuple[str, ...], portion: int) -> None:
    exchanger = Exchanger(features)
    connection = play(exchanger, portion=portion)
    assert exchanger.texts == [b"one\r\n", b"two\r\n", b"three\r\n"]
    assert [type(fate) for (fate,) in connection.decided] == [Accepted] * 3
    assert connection.early == 2
    assert len(connection.ready) == 2
    assert connection.closed == Closed(None)


def test_one_turn_of_the_wire_for_each_mail() -> None:
    client = in_reply()
    client.data_to_send()
    replies = b"250 queued\r\n250 ok\r\n250 ok\r\n354 go\r\n"
    assert hear(client, replies) == [decided(Accepted(Answer(250, ("queued",)))), WantText()]
    client.text(b"two\r\n", last=True)
    assert client.data_to_send() == b"two\r\n.\r\n"


def decided(*fates: Fate) -> Decided:
    return Decided(fates)


@pytest.mark.parametrize("features", [(), ("CHUNKING",)], ids=repr)
def test_nothing_is_early_without_pipelining(features: tuple[str, ...]) -> None:
    exchanger = Exchanger(features)
    assert play(exchanger).early == 0
    assert len(exchanger.texts) == 3


def test_one_mail_is_early_and_no_more() -> None:
    client = in_reply()
    assert not client.takes_next
    with pytest.raises(RuntimeError):
        client.send(mail())


def test_nothing_is_early_while_a_chunk_may_be_refused() -> None:
    """Whoever refuses a chunk must be told RSET first."""
    client = in_reply(BDAT, early=False)
    client.data_to_send()
    hear(client, b"250 queued\r\n")
    client.send(mail())
    client.data_to_send()
    hear(client, b"250 ok\r\n250 ok\r\n")
    client.text(b"half\r\n", last=False)
    client.data_to_send()
    assert events(client) == [WantText()]
    client.text(b"half\r\n", last=True)
    assert not client.takes_next


def test_nothing_is_early_behind_a_text_for_nobody() -> None:
    client = in_reply(early=False)
    client.data_to_send()
    hear(client, b"250 queued\r\n")
    client.send(mail())
    client.data_to_send()
    hear(client, b"250 ok\r\n550 no\r\n354 go\r\n")
    assert client.data_to_send() == b".\r\n"
    assert not client.takes_next


@pytest.mark.parametrize("features", [DATA, BDAT], ids=repr)
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "END"])
@pytest.mark.parametrize("portion", [1, 1000])
def test_a_refusal_is_that_of_its_own_mail(features: tuple[str, ...], stage: str, portion: int) -> None:
    """The second of three; whichever command it was, the first and the third are taken."""
    exchanger = Exchanger(features, {stage: [None, b"450 no\r\n"]})
    connection = play(exchanger, portion=portion)
    refused = not (stage == "DATA" and features == BDAT)
    assert [type(fate) for (fate,) in connection.decided] == [
        Accepted,
        Refused if refused else Accepted,
        Accepted,
    ]
    assert exchanger.texts == [b"one\r\n", *([] if refused else [b"two\r\n"]), b"three\r\n"]
    assert connection.closed == Closed(None)


@pytest.mark.parametrize("features", [DATA, BDAT], ids=repr)
def test_a_refused_text_changes_nothing_for_the_next(features: tuple[str, ...]) -> None:
    exchanger = Exchanger(features, {"END": [b"554 no\r\n"]})
    connection = play(exchanger)
    assert [type(fate) for (fate,) in connection.decided] == [Refused, Accepted, Accepted]
    assert b"RSET" not in exchanger.heard


def test_a_mail_for_which_there_is_no_command() -> None:
    connection = play(Exchanger(DATA), [THREE[0], (mail("no address"), [b""]), THREE[2]])
    assert [type(fate) for (fate,) in connection.decided] == [Accepted, Failed, Accepted]


# --- the end in between


def test_lost_before_the_reply_to_the_text() -> None:
    """The first may be delivered. The second was not begun, and has no fate."""
    client = in_reply()
    client.data_to_send()
    client.receive_eof("reset")
    lost = Failed(Stage.END, Fault.LOST, "reset", ambiguous=True)
    assert events(client) == [decided(lost), Closed(lost)]


def test_lost_behind_the_reply_to_the_text() -> None:
    client = in_reply()
    client.data_to_send()
    assert hear(client, b"250 queued\r\n") == [decided(Accepted(Answer(250, ("queued",))))]
    client.receive_eof("reset")
    lost = Failed(Stage.MAIL, Fault.LOST, "reset")
    assert events(client) == [decided(lost), Closed(lost)]


def test_who_leaves_instead_of_replying_has_seen_one_mail() -> None:
    client = in_reply()
    client.data_to_send()
    leaving = Refused(Stage.END, Answer(421, ("bye",)))
    assert hear(client, b"421 bye\r\n") == [decided(leaving), Closed(leaving)]


def test_time_is_that_of_the_text_before() -> None:
    client = in_reply()
    assert client.stage is Stage.END
    client.data_to_send()
    client.time_out()
    told = events(client)
    assert isinstance(told[-1], Closed)
    assert len(told) == 2


def test_a_reply_too_many_is_not_that_of_the_next_text() -> None:
    """One reply ahead of us, it would seem to have taken what it never read."""
    for features in (DATA, BDAT):
        connection = play(Exchanger(features, {"END": [b"250 queued\r\n250 once more\r\n"]}))
        (first,), (second,) = connection.decided
        assert isinstance(first, Accepted)
        assert isinstance(second, Failed)
        assert second.fault is Fault.OUT_OF_STEP


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
def test_who_stalls_at_the_next_mail(stage: str) -> None:
    exchanger = Exchanger(DATA, {stage: [None, Does.STALL]})
    connection = play(exchanger)
    (first,), (second,) = connection.decided
    assert isinstance(first, Accepted)
    assert isinstance(second, Failed)
    assert not second.ambiguous
    assert exchanger.texts == [b"one\r\n"]
