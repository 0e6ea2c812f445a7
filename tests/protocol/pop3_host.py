"""A host for POP3 sessions under test: two users, who share a mail drop of four messages.

`alice` has the password `secret`, `carol` has another session open, `down` is asked for while nobody can
answer. Everything that happened is written down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final

from mta.protocol import sasl
from mta.protocol.pop3 import replies
from mta.protocol.pop3.events import (
    NEED_DATA,
    PAUSED,
    Closed,
    Event,
    Listing,
    More,
    Question,
    Retrieve,
    StartTls,
    Update,
)
from mta.protocol.pop3.replies import Reply
from mta.protocol.pop3.server import Pop3Server
from mta.protocol.pop3.terms import Pop3Terms
from mta.protocol.pop3.text import WireText, added_octets
from mta.protocol.smtp.terms import LoginTerms

PASSWORDS: Final = {"alice": "secret", "carol": "secret", "päivi": "salasana ✓", "spaces": " a  b "}

MESSAGES: Final = (
    b"Subject: one\n\nfirst\nsecond\n",
    b"Subject: dots\n\n.\n..two\nend\n",
    b"Subject: no end\n\nunfinished",
    b"",
)
IDENTITIES: Final = ("1.one.mx", "2.dots.mx", "3.noend.mx", "=4empty")

_nonces = count(1)

LOGIN: Final = LoginTerms(
    required=True, in_clear=True, scram=False, binding=b"", nonce=lambda: f"nonce{next(_nonces)}"
)
TERMS: Final = Pop3Terms(hostname="mx.example.org", error_limit=20, starttls=False, login=LOGIN)


def listing(messages: Sequence[bytes] = MESSAGES, identities: Sequence[str] = IDENTITIES) -> Listing:
    """What the store would tell of these messages."""
    sizes = tuple(len(message) + added_octets([message]) for message in messages)
    return Listing(sizes, identities, sum(sizes))


def pieces_of(message: bytes, lines: int | None, octets: int) -> list[bytes]:
    """A message as it is sent, made of so many octets at a time."""
    text = WireText(lines)
    pieces = []
    for start in range(0, len(message), octets):
        pieces.append(text.feed(message[start : start + octets]))
        if text.ended:
            break
    return [*pieces, text.finish()]


@dataclass
class Pop3Host:
    """Drives one session and answers it. `update`: what it says to QUIT; `vanished`: positions that cannot be
    read; `octets`: of a message in one piece."""

    terms: Pop3Terms = TERMS
    update: Reply = replies.BYE
    vanished: Sequence[int] = ()
    octets: int = 7
    listing: Listing = field(default_factory=listing)

    def __post_init__(self) -> None:
        self.session = Pop3Server(self.terms)
        self.output = b""
        self.events: list[Event] = []
        self.removed: list[int] | None = None
        self.closed: str | None = None
        self._pieces: list[bytes] = []
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

    def log_in(self) -> None:
        assert self.say(b"USER alice\r\nPASS secret\r\n").startswith(b"+OK")
        assert self.session.state == "TRANSACTION"

    def leave(self) -> None:
        self.session.receive_eof()
        self._turn()

    def end(self, how: Callable[[Pop3Server], None]) -> bytes:
        """A time-out or a shutdown."""
        before = len(self.output)
        how(self.session)
        self._turn()
        return self.output[before:]

    def _turn(self) -> None:
        while True:
            event = self.session.next_event()
            if isinstance(event, Closed):
                self.closed = event.reason
            elif event is not NEED_DATA and event is not PAUSED:
                self.events.append(event)
                self._answer(event)
                continue
            self.output += self.session.data_to_send()
            if not self.session.has_more:
                return

    def _answer(self, event: Question) -> None:
        session = self.session
        match event:
            case sasl.Password(user, password):
                self._judge(user, PASSWORDS.get(user) == password)
            case Retrieve(position) if position in self.vanished:
                session.reply(replies.VANISHED)
            case Retrieve(position, lines):
                self._pieces = pieces_of(MESSAGES[position], lines, self.octets)
                self._give()
            case More():
                self._give()
            case Update(positions):
                self.removed = list(positions)
                session.reply(self.update)
            case StartTls():
                session.reply(replies.READY_FOR_TLS)
            case _:
                raise AssertionError(event)

    def _judge(self, user: str, right: bool) -> None:
        if user == "down":
            self.session.reply(replies.LOGIN_DOWN)
        elif not right:
            self.session.reply(replies.WRONG_PASSWORD)
        elif user == "carol":
            self.session.reply(replies.IN_USE)
        else:
            self.session.admit(self.listing)

    def _give(self) -> None:
        piece = self._pieces.pop(0)
        self.session.text(piece, last=not self._pieces)


def pop3_host(**changes: object) -> Pop3Host:
    """A host whose terms differ from the usual ones."""
    return Pop3Host(replace(TERMS, **changes))  # type: ignore[arg-type]


def logged_in() -> Pop3Host:
    host = Pop3Host()
    host.log_in()
    return host
