"""Our client and our server, back to back: what goes in on the one side comes out on the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.protocol.client.events import Accepted, Forward, Mail, Refused
from mta.protocol.client.session import ClientTerms, SmtpClient
from mta.protocol.events import Recipient, Sender
from mta.protocol.replies import LOCAL_FAULT
from tests.protocol.exchanger import TERMS, Connection, Letter, carry, mail, pieces
from tests.protocol.host import Host, host
from tests.protocol.test_outgoing import SMUGGLED, VECTORS, in_crlf

TEXT = b"Subject: x\r\n\r\nhello\r\n"
WAYS = [
    replace(TERMS, pipelining=pipelining, chunking=chunking)
    for pipelining in (False, True)
    for chunking in (False, True)
]


class Twin:
    """Our server session as the other side; hears `size` octets at once."""

    def __init__(self, server: Host, size: int = 1 << 20) -> None:
        self.server = server
        self.size = size

    @property
    def gone(self) -> bool:
        return self.server.closed is not None

    def greet(self) -> bytes:
        return self.server.output

    def hear(self, octets: bytes) -> bytes:
        return self.server.say(*pieces(octets, self.size))

    def tls_started(self) -> None:
        self.server.session.tls_started()


def play(
    server: Host,
    letters: list[Letter],
    terms: ClientTerms = TERMS,
    *,
    size: int = 1 << 20,
    early: bool = False,
) -> Connection:
    return carry(SmtpClient(terms), Twin(server, size), letters, portion=size, early=early)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 17, 1000])
@pytest.mark.parametrize("terms", WAYS, ids=str)
@pytest.mark.parametrize("early", [False, True])
def test_all_ways_in_all_portions(terms: ClientTerms, size: int, early: bool) -> None:
    server = host(starttls=True)
    letters: list[Letter] = [
        (mail("b@example.org", "nobody@example.org", "c@example.org"), pieces(TEXT, 4)),
        (mail("nobody@example.org"), [TEXT]),
        (mail("d@example.org"), [b"."]),
    ]
    connection = play(server, letters, terms, size=size, early=early)
    if terms.pipelining and not terms.chunking:  # where a chunk has no reply yet, nothing is early
        assert connection.early == early
    assert [[type(fate) for fate in fates] for fates in connection.decided] == [
        [Accepted, Refused, Accepted],
        [Refused],
        [Accepted],
    ]
    assert [(list(map(str, message.recipients)), message.crlf) for message in server.accepted] == [
        (["b@example.org", "c@example.org"], TEXT),
        (["d@example.org"], b".\r\n"),
    ]
    assert server.session.tls
    assert server.closed == "quit"


@pytest.mark.parametrize("vector", VECTORS, ids=repr)
@pytest.mark.parametrize("terms", [WAYS[0], WAYS[3]], ids=str)
def test_nothing_is_smuggled(vector: bytes, terms: ClientTerms) -> None:
    server = host()
    body = b"Subject: one\r\n\r\nfirst" + vector + SMUGGLED
    connection = play(server, [(mail(), [body])], terms)
    assert isinstance(connection.fate, Accepted)
    assert [message.crlf for message in server.accepted] == [in_crlf(body)]


@settings(max_examples=200)
@given(
    st.lists(st.text(alphabet="\r\n.aBDAT1 ", max_size=12).map(str.encode), min_size=1, max_size=5),
    st.sampled_from(WAYS),
    st.integers(1, 20),
    st.booleans(),
)
def test_any_text_in_any_pieces(parts: list[bytes], terms: ClientTerms, size: int, early: bool) -> None:
    server = host()
    connection = play(server, [(mail(), parts), (mail(), [TEXT])], terms, size=size, early=early)
    assert [type(fates[0]) for fates in connection.decided] == [Accepted, Accepted]
    assert [message.crlf for message in server.accepted] == [in_crlf(b"".join(parts)), TEXT]


@pytest.mark.parametrize("terms", WAYS, ids=str)
def test_a_refused_text(terms: ClientTerms) -> None:
    server = host()
    server.final = LOCAL_FAULT
    connection = play(server, [(mail(), [TEXT])], terms)
    assert isinstance(connection.fate, Refused)
    assert connection.fate.reply.code == 451
    assert connection.fate.reply.enhanced == "4.3.0"
    assert server.accepted == []


@pytest.mark.parametrize("terms", WAYS, ids=str)
def test_a_text_bigger_than_it_was_said_to_be(terms: ClientTerms) -> None:
    server = host(message_limit=100)
    connection = play(server, [(mail(size=10), [b"x" * 60 + b"\r\n"] * 3), (mail(), [TEXT])], terms)
    assert [type(fates[0]) for fates in connection.decided] == [Refused, Accepted]
    assert [message.crlf for message in server.accepted] == [TEXT]


def test_other_scripts() -> None:
    server = host()
    sent = Mail("å@example.net", (Forward("ö@example.org"), Forward('"a b"@example.org')), 10, True, True)
    connection = play(server, [(sent, [TEXT])])
    assert [type(fate) for fate in connection.fates] == [Accepted, Accepted]
    (message,) = server.accepted
    assert str(message.sender) == "å@example.net"
    assert [recipient.local for recipient in message.recipients] == ["ö", "a b"]
    assert server.session.protocol == "ESMTP"


def test_what_the_sender_wants_to_be_told() -> None:
    server = host()
    sent = Mail(
        "a@example.net",
        (Forward("b@example.org", "SUCCESS,DELAY", "utf-8;\\x{E5}+2B"),),
        10,
        ret="HDRS",
        envid="x",
    )
    play(server, [(sent, [TEXT])])
    (sender,) = [event for event in server.events if isinstance(event, Sender)]
    (recipient,) = [event for event in server.events if isinstance(event, Recipient)]
    assert (sender.ret, sender.envid) == ("HDRS", "x")
    assert (recipient.notify, recipient.orcpt) == ("SUCCESS,DELAY", "utf-8;\\x{E5}+2B")


def test_recipients_beyond_the_limit_are_left_for_later() -> None:
    server = host(recipient_limit=2)
    connection = play(server, [(mail(*(f"u{n}@example.org" for n in range(3))), [TEXT])])
    assert connection.ready[0].features.recipient_limit == 2
    assert [type(fate) for fate in connection.fates[:2]] == [Accepted, Accepted]
    assert not isinstance(connection.fates[2], Accepted | Refused)
