"""A host for sessions under test: a small town with one domain.

example.org is ours; `nobody` does not live there; anything elsewhere is relaying, which only trusted
clients may ask for. `alice`, whose password is `sesame`, may log in, and so may `user` of RFC 7677, whose
password is `pencil`; for `busy` there is no time. Everything that happened is written down.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import pbkdf2_hmac
from itertools import pairwise

from mta.protocol import replies
from mta.protocol.address import Address
from mta.protocol.events import (
    NEED_DATA,
    PAUSED,
    Closed,
    Data,
    Discarded,
    Event,
    Question,
    Recipient,
    Sender,
    StartTls,
    Statistic,
    Text,
    Verify,
)
from mta.protocol.replies import Reply
from mta.protocol.sasl import Disproved, NeedVerifier, Password, Proven
from mta.protocol.scram import Verifier, keys_of
from mta.protocol.smtp.server import SmtpServer, Terms
from mta.protocol.smtp.terms import LoginTerms

TERMS = Terms(
    hostname=b"mx.example.org",
    message_limit=1_000_000,
    recipient_limit=1000,
    error_limit=20,
    trusted=False,
    local_domain="example.org",
    own_addresses=frozenset({"127.0.0.1", "::1"}),
    starttls=False,
    session_id="0abc",
)

NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
_SALT = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
_SALTED = pbkdf2_hmac("sha256", b"pencil", _SALT, 4096)
PENCIL = Verifier(_SALT, 4096, *keys_of(_SALTED))
"""The server's half of the example in RFC 7677 3."""


def login_terms(words: str) -> LoginTerms:
    """From `required`, `clear`, `scram` and `bound`, parted by commas."""
    said = words.split(",")
    return LoginTerms(
        required="required" in said,
        in_clear="clear" in said,
        scram="scram" in said,
        binding=b"hash of the certificate" if "bound" in said else b"",
        nonce=lambda: NONCE,
    )


ENVELOPE = b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@example.org>\r\n"


@dataclass
class Message:
    """What the host would have stored."""

    sender: Address
    recipients: list[Address]
    wishes: list[tuple[str, str]]
    """What the sender wants to be told: ret and envid, then notify and orcpt of each recipient."""
    crlf: bytes = b""
    lf: bytes = b""


@dataclass
class Host:
    """Drives one session and answers it. `data`, `final`: what it says to Data and to the last Text."""

    terms: Terms = TERMS
    data: Reply = replies.GO_AHEAD
    final: Reply = field(default_factory=lambda: replies.queued("id"))
    hold: int | None = None
    tls: bool = False

    def __post_init__(self) -> None:
        self.session = SmtpServer(self.terms, tls=self.tls)
        if self.tls:
            self.session.tls_started()
        if self.hold is not None:
            self.session.hold = self.hold
        self.output = b""
        self.events: list[Event] = []
        self.accepted: list[Message] = []
        self.open: Message | None = None
        self.closed: str | None = None
        self.session.open()
        self._turn()

    def say(self, *octets: bytes) -> bytes:
        """Feeds the portions one after the other; returns what the session answered to all of them."""
        before = len(self.output)
        for portion in octets:
            self.session.receive_data(portion)
            self._turn()
        return self.output[before:]

    def say_bytewise(self, octets: bytes) -> bytes:
        return self.say(*(octets[i : i + 1] for i in range(len(octets))))

    def leave(self) -> None:
        self.session.receive_eof()
        self._turn()

    def _turn(self) -> None:
        while True:
            event = self.session.next_event()
            if event is NEED_DATA or event is PAUSED:
                break
            if isinstance(event, Closed):
                self.closed = event.reason
                break
            self.events.append(event)
            self._handle(event)
        self.output += self.session.data_to_send()

    def _handle(self, event: Event) -> None:
        if isinstance(event, Text):
            self._store(event)
        elif isinstance(event, Discarded):
            self.open = None
        else:
            assert not isinstance(event, Closed)
            assert event is not NEED_DATA
            assert event is not PAUSED
            if isinstance(event, NeedVerifier):
                self.session.verify_by(PENCIL)
            elif isinstance(event, Password | Proven | Disproved):
                self.session.reply(self._judge_login(event))
            else:
                self.session.reply(self._judge(event))

    def _judge(self, event: Question) -> Reply:
        match event:
            case Sender(path, ret=ret, envid=envid):
                self.open = Message(path, [], [(ret, envid)])
                return replies.SENDER_OK
            case Recipient():
                return self._judge_recipient(event)
            case Data():
                return self.data
            case Verify(address):
                return (
                    replies.NO_SUCH_USER if address.local == "nobody" else Reply(250, "2.1.5", f"<{address}>")
                )
            case Statistic(name):
                return Reply(250, "", f"{name} of this host: 7")
            case StartTls():
                return replies.READY_FOR_TLS
        raise AssertionError(event)

    def _judge_login(self, event: Password | Proven | Disproved) -> Reply:
        if event.user == "busy":
            return replies.NO_LOGIN_NOW
        right = event == Password("alice", "sesame") or isinstance(event, Proven)
        return replies.LOGGED_IN if right else replies.BAD_LOGIN

    def _judge_recipient(self, recipient: Recipient) -> Reply:
        address = recipient.address
        if address.domain != "example.org" and not self.session.trusted:
            return replies.RELAY_DENIED
        if address.local == "nobody":
            return replies.NO_SUCH_USER
        assert self.open is not None
        self.open.recipients.append(address)
        self.open.wishes.append((recipient.notify, recipient.orcpt))
        return replies.RECIPIENT_OK

    def _store(self, text: Text) -> None:
        message = self.open
        assert message is not None
        message.crlf += text.crlf
        message.lf += text.lf
        if text.last:
            if self.final.code < 400:
                self.accepted.append(message)
            self.open = None
            self.session.reply(self.final)


def host(**changes: object) -> Host:
    """A host whose terms differ from the usual ones."""
    return Host(replace(TERMS, **changes))  # type: ignore[arg-type]


# --- sessions without a host


def fresh(**changes: object) -> SmtpServer:
    """A session after its greeting, without a host."""
    session = SmtpServer(replace(TERMS, **changes))  # type: ignore[arg-type]
    session.open()
    session.data_to_send()
    return session


def advance(session: SmtpServer, octets: bytes, *answers: Reply) -> None:
    """Feeds `octets` and answers what is asked."""
    session.receive_data(octets)
    for answer in answers:
        session.next_event()
        session.reply(answer)


def in_data() -> SmtpServer:
    session = fresh()
    advance(session, ENVELOPE + b"DATA\r\n", replies.SENDER_OK, replies.RECIPIENT_OK, replies.GO_AHEAD)
    assert session.next_event() is NEED_DATA
    session.data_to_send()
    return session


# --- octets


def replies_of(output: bytes) -> list[bytes]:
    """The replies in `output`, each whole; fails when they are not well formed (RFC 5321 4.2)."""
    assert output == b"" or output.endswith(b"\r\n")
    found: list[bytes] = []
    begun = b""
    for line in output.split(b"\r\n")[:-1]:
        assert len(line) <= 510
        assert line[:3].isdigit()
        assert b"2" <= line[:1] <= b"5"
        assert line.isascii()
        assert line[3:4] in (b" ", b"-")
        assert not begun or begun[:3] == line[:3]
        begun += line + b"\r\n"
        if line[3:4] == b" ":
            found.append(begun)
            begun = b""
    assert not begun
    return found


def codes(output: bytes) -> list[int]:
    """The code of each reply."""
    return [int(reply[:3]) for reply in replies_of(output)]


def chunked(octets: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`octets` cut at these places."""
    places = sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
    return [octets[a:b] for a, b in pairwise(places)]
