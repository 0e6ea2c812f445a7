"""A mail exchanger for client sessions under test, and the one who carries octets between the two.

Exchanger is a receiver of the simplest kind, written apart from the server session: correct, unless told
what to say at a stage. Its notion of a text's end is the oracle: CRLF.CRLF, dots removed line by line.
`carry` plays the client's host: it gives the mails, hands over the text in pieces, writes everything down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from mta.protocol.client.events import (
    Closed,
    Decided,
    Fate,
    Forward,
    Mail,
    Ready,
    StartTls,
    WantText,
)
from mta.protocol.client.session import ClientTerms, SmtpClient

ALL = ("PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 1000000", "ENHANCEDSTATUSCODES")


class Does(Enum):
    """What an exchanger does instead of saying something."""

    CLOSE = "closes the connection"
    RESET = "breaks it off, so that what is under way is lost"
    STALL = "says nothing any more"


class Other(Protocol):
    """The other side as `carry` sees it."""

    @property
    def gone(self) -> bool: ...
    def greet(self) -> bytes: ...
    def hear(self, octets: bytes) -> bytes: ...
    def tls_started(self) -> None: ...


@dataclass
class Exchanger:
    """`says`: by stage (`greeting`, a verb, `END`), what is said one time after the other instead of the
    usual; None stands for the usual."""

    features: Sequence[str] = ()
    says: dict[str, list[bytes | Does | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.heard: list[bytes] = []
        """Commands."""
        self.texts: list[bytes] = []
        """What was delivered: un-stuffed, whole."""
        self.gone = False
        self.resets = False
        self.silent = False
        self._input = b""
        self._reading = self._command
        self._chunk = b""
        self._out = b""
        self._begun = False
        self._recipients = 0
        self.says = {stage: list(sayings) for stage, sayings in self.says.items()}

    def greet(self) -> bytes:
        self._say("greeting", b"220 mx.example.org\r\n")
        return self._take()

    def hear(self, octets: bytes) -> bytes:
        self._input += octets
        while not (self.gone or self.silent) and self._reading():
            pass
        return self._take()

    def tls_started(self) -> None:
        assert self._input == b""

    def _take(self) -> bytes:
        out, self._out = self._out, b""
        return out

    def _say(self, stage: str, usual: bytes) -> bool:
        """Whether the command was accepted."""
        planned = self.says.get(stage)
        saying = planned.pop(0) if planned else None
        if saying in (Does.CLOSE, Does.RESET):
            self.gone, self.resets = True, saying is Does.RESET
        elif saying is Does.STALL:
            self.silent = True
        else:
            said = usual if saying is None else saying
            assert isinstance(said, bytes)
            self._out += said
            return said[:1] in b"23"
        return False

    def _command(self) -> bool:
        line, found, rest = self._input.partition(b"\r\n")
        if not found:
            return False
        self._input = rest
        self.heard.append(line)
        verb = line.split(b" ")[0].decode("ascii")
        if verb == "BDAT":
            self._size, self._last = int(line.split(b" ")[1]), line.endswith(b"LAST")
            self._reading = self._counted
        elif verb == "DATA":
            if self._say("DATA", b"354 go\r\n" if self._recipients else b"554 no valid recipients\r\n"):
                self._input = b"\r\n" + self._input
                self._reading = self._dotted
        elif verb in ("MAIL", "RCPT"):
            self._envelope(verb)
        else:
            self._simple(verb)
        return True

    def _envelope(self, verb: str) -> None:
        in_order = self._begun == (verb == "RCPT")
        accepted = self._say(verb, b"250 ok\r\n" if in_order else b"503 out of order\r\n")
        self._begun |= accepted
        self._recipients += accepted and verb == "RCPT"

    def _simple(self, verb: str) -> None:
        usual = b"221 bye\r\n" if verb == "QUIT" else b"250 ok\r\n"
        if verb == "EHLO":
            usual = b"".join(b"250-%b\r\n" % word.encode() for word in ("mx.example.org", *self.features))
            usual += b"250 HELP\r\n"
        self._say(verb, usual)
        if verb in ("EHLO", "HELO", "RSET"):
            self._forget()
        elif verb == "QUIT":
            self.gone = True

    def _forget(self) -> None:
        self._begun = False
        self._recipients = 0
        self._chunk = b""

    def _dotted(self) -> bool:
        text, found, rest = self._input.partition(b"\r\n.\r\n")
        if not found:
            return False
        self._input = rest
        self._reading = self._command
        lines = (text + b"\r\n").split(b"\r\n")[1:]
        self._deliver(b"\r\n".join(line.removeprefix(b".") for line in lines))
        return True

    def _counted(self) -> bool:
        if len(self._input) < self._size:
            return False
        self._chunk += self._input[: self._size]
        self._input = self._input[self._size :]
        self._reading = self._command
        if not self._last:
            self._say("BDAT", b"250 chunk\r\n")
        else:
            self._deliver(self._chunk)
        return True

    def _deliver(self, text: bytes) -> None:
        self._forget()
        if self._say("END", b"250 2.0.0 queued\r\n"):
            self.texts.append(text)


@dataclass
class Connection:
    """What happened on one connection."""

    wire: bytes = b""
    """All that the client sent."""
    decided: list[tuple[Fate, ...]] = field(default_factory=list)
    ready: list[Ready] = field(default_factory=list)
    early: int = 0
    """Mails given before the fate of the one before was known."""
    closed: Closed | None = None

    @property
    def fates(self) -> tuple[Fate, ...]:
        """Of the only mail."""
        (fates,) = self.decided
        return fates

    @property
    def fate(self) -> Fate:
        """Of the only recipient of the only mail."""
        (fate,) = self.fates
        return fate


Letter = tuple[Mail, Iterable[bytes]]


def carry(
    client: SmtpClient,
    other: Other,
    letters: Sequence[Letter] = (),
    *,
    portion: int = 1 << 20,
    early: bool = False,
) -> Connection:
    """Plays one connection to its end. `portion`: octets that the client receives at once; `early`: it is
    given the next mail as soon as it takes it."""
    return _Carrier(client, other, deque(letters), portion, early).play()


class _Carrier:
    def __init__(
        self, client: SmtpClient, other: Other, letters: deque[Letter], portion: int, early: bool
    ) -> None:
        self.client = client
        self.other = other
        self.letters = letters
        self.portion = portion
        self.early = early
        self.pieces: Iterator[bytes] = iter(())
        self.happened = Connection()

    def play(self) -> Connection:
        self.client.open()
        self._receive(self.other.greet())
        while self.happened.closed is None:
            octets = self.client.data_to_send()
            if octets:
                self.happened.wire += octets
                self._receive(self.other.hear(octets))
            elif self.other.gone:
                self.client.receive_eof()
            else:
                self.client.time_out()
            self._turn()
        rest = self.client.data_to_send()
        self.happened.wire += rest
        self.other.hear(rest)
        return self.happened

    def _receive(self, octets: bytes) -> None:
        for start in range(0, len(octets), self.portion):
            self.client.receive_data(octets[start : start + self.portion])
            self._turn()

    def _turn(self) -> None:
        while self.happened.closed is None:
            match self.client.next_event():
                case Ready() as ready:
                    self.happened.ready.append(ready)
                    self._next_letter()
                case WantText():
                    self._next_piece()
                case Decided(fates):
                    self.happened.decided.append(fates)
                case StartTls():
                    self._start_tls()
                case Closed() as closed:
                    self.happened.closed = closed
                case _:
                    break

    def _next_letter(self) -> None:
        if not self.letters:
            self.client.quit()
            return
        mail, pieces = self.letters.popleft()
        self.pieces = iter(pieces)
        self.piece = next(self.pieces)
        self.client.send(mail)

    def _next_piece(self) -> None:
        piece = self.piece
        following = next(self.pieces, None)
        if following is not None:
            self.piece = following
        self.client.text(piece, last=following is None)
        if self.early and self.client.takes_next and self.letters:
            self.happened.early += 1
            self._next_letter()

    def _start_tls(self) -> None:
        self.happened.wire += self.client.data_to_send()
        self.other.tls_started()
        self.client.tls_started()


TERMS = ClientTerms(b"client.example.net")


def mail(*recipients: str, sender: str = "a@example.net", size: int = 100) -> Mail:
    """A mail to these, by default to one."""
    return Mail(sender, tuple(map(Forward, recipients or ("b@example.org",))), size)


def pieces(octets: bytes, size: int) -> list[bytes]:
    """`octets` cut into pieces, at least one."""
    return [octets[i : i + size] for i in range(0, len(octets), size)] or [b""]
