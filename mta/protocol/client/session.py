"""The SMTP client's session (RFC 5321) as a value: mails in, octets out; replies in, fates out.

Theory. `dialogue` matches replies and commands; here is what SMTP says, and in what order. The stage of a
command chooses who reads its reply, and whoever reads it knows what comes next. Every way through a
transaction leads to one place, `_proceed`, which asks two things: is there anybody left to send for, and
is there anything left to say.

With PIPELINING the next mail may be given as soon as all of the text before it is said (`takes_next`): its
MAIL, RCPT and DATA leave in the same segment as the end of that text (RFC 2920 3.1), so that a mail costs one
turn of the wire. Its own text waits for its 354, and so for the fate of the mail before: the end of one text
at most is ever without a reply.

Who has a fate keeps it. Until all of the text is sent, an end of the connection means that nothing was
delivered; after that, and until the reply, it means that nobody can know (`ambiguous`); after the reply it
means nothing. A mail that is given early and not begun when the session ends has no fate at all.

It never knows sockets, time, files, nor which outcome a fate amounts to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mta.protocol.client.answers import Answer
from mta.protocol.client.dialogue import Command, Dialogue
from mta.protocol.client.events import (
    Accepted,
    ClientEvent,
    Decided,
    Failed,
    Fault,
    Mail,
    Ready,
    Refused,
    Stage,
    StartTls,
    WantText,
)
from mta.protocol.client.features import Features, parse_features
from mta.protocol.client.login import Login, exchange
from mta.protocol.client.mail import OutgoingText
from mta.protocol.client.transaction import Transaction

PATIENCE: Final[Mapping[Stage, int]] = {
    Stage.GREETING: 300,
    Stage.EHLO: 300,
    Stage.HELO: 300,
    Stage.STARTTLS: 120,
    Stage.AUTH: 120,
    Stage.READY: 300,
    Stage.MAIL: 300,
    Stage.RCPT: 300,
    Stage.DATA: 120,
    Stage.TEXT: 180,
    Stage.END: 600,
    Stage.RSET: 60,
    Stage.QUIT: 10,
}
"""Seconds to wait at each stage (RFC 5321 4.5.3.2, which leaves open what is not mail)."""


@dataclass(frozen=True, slots=True)
class ClientTerms:
    """What a session is told at its start."""

    hostname: bytes
    """Our own name, ASCII."""
    tls: Literal["none", "opportunistic", "require", "implicit"] = "opportunistic"
    """Opportunistic: in clear when STARTTLS is not offered or refused; when the handshake fails, it is for
    the host to connect again with `none`. Implicit: the session begins inside TLS (RFC 8314)."""
    login: Login | None = None
    login_in_clear: bool = False
    """The login may be sent without TLS: over loopback."""
    pipelining: bool = True
    chunking: bool = True
    """PIPELINING and CHUNKING are used where they are offered."""


class SmtpClient(Dialogue):
    """One session. Per turn the host calls `receive_data`, then `next_event` until NEED_DATA, PAUSED or
    Closed, and sends `data_to_send`. It goes on reading while it cannot send, and while it owes an answer."""

    __slots__ = ("_answers", "_asked", "_next", "_text", "_transaction", "features", "terms", "tls")

    terms: ClientTerms
    features: Features
    tls: bool

    def __init__(self, terms: ClientTerms) -> None:
        super().__init__()
        self.terms = terms
        self.features = Features()
        self.tls = terms.tls == "implicit"
        self._transaction: Transaction | None = None
        self._next: Transaction | None = None
        """The mail whose commands are said behind the text of the one before."""
        self._text: OutgoingText | None = None
        """The text that is being sent."""
        self._asked = False
        """The host owes a piece of it."""
        self._answers: deque[bytes] = deque()
        """What is still to be said to log in."""

    # --- the host's side

    @property
    def patience(self) -> int:
        """Seconds that the present step may take; see `progress`."""
        return PATIENCE[self.stage]

    def open(self) -> None:
        """The connection is there: the greeting is awaited."""
        self._awaited.append(Command(Stage.GREETING, b""))

    @property
    def takes_next(self) -> bool:
        """`send` may be told the next mail already: nothing but the reply to a whole text is awaited."""
        return (
            self._pipelines
            and self._next is None
            and len(self._awaited) == 1
            and self._awaited[0].stage is Stage.END
            and not self._mail.is_void
        )

    def send(self, mail: Mail) -> None:
        """The next mail, after Ready or while `takes_next`. Decided tells its fate, or else Closed that there
        was none."""
        if self.takes_next:
            self._next = self._planned(mail)
            self._pump()
        else:
            self._require_ready()
            self._transaction = self._planned(mail)
            self._proceed(self._transaction)

    def text(self, octets: bytes, *, last: bool) -> None:
        """A piece of the text after WantText, of any size, with any line ends. Ignored when the mail has been
        decided meanwhile, which the next event tells."""
        while self._read():
            pass
        if self._text is None:
            return
        if not self._asked:
            raise RuntimeError("no text is wanted")
        self._asked = False
        self.progress += 1
        piece = self._text.piece(octets, last=last)
        if self._chunks:
            self._send_chunk(piece, last)
        else:
            self._send_dotted(piece, last)

    def quit(self) -> None:
        """No more mails: QUIT, then Closed."""
        self._require_ready()
        self._issue(Command(Stage.QUIT, b"QUIT\r\n"))

    def tls_started(self) -> None:
        """The handshake is done: all that the server said before is forgotten (RFC 3207 4.2)."""
        self._require_handshake()
        if self._has_unread:
            self._fail(Fault.INJECTED)
        else:
            self.tls = True
            self.features = Features()
            self._introduce()

    def tls_failed(self, detail: str) -> None:
        """The handshake failed. With implicit TLS there was nothing for the session to say yet."""
        self._fail(Fault.TLS_FAILED, detail)

    def time_out(self) -> None:
        """The step took longer than `patience`."""
        self._fail(Fault.TIMED_OUT, f"no progress in {self.patience} s")

    def abandon(self, detail: str) -> None:
        """We cannot go on: the relay stops, the letter cannot be read. The text is not ended, so that what
        was sent of it is not delivered."""
        self._fail(Fault.ABANDONED, detail)

    def _require_ready(self) -> None:
        if self._resting is not Stage.READY or self._awaited or self._transaction or self._closed:
            raise RuntimeError(f"not ready for a command, but at {self.stage}")

    def _require_handshake(self) -> None:
        if self._resting is not Stage.STARTTLS or self._closed:
            raise RuntimeError("the server has not been told to start TLS")

    # --- before the first mail

    def _greeted(self, command: Command, answer: Answer) -> None:
        if answer.kind == 2:
            self._introduce()
        else:
            self._leave(Refused(Stage.GREETING, answer))

    def _introduce(self) -> None:
        self._resting = Stage.EHLO
        self._issue(Command(Stage.EHLO, b"EHLO %b\r\n" % self.terms.hostname))

    def _named(self, command: Command, answer: Answer) -> None:
        """The reply to EHLO or HELO; who does not know the one is asked by the other (RFC 5321 3.2)."""
        if answer.kind == 2:
            if command.stage is Stage.EHLO:
                self.features = parse_features(answer.lines[1:])
            self._secure()
        elif answer.kind == 5 and command.stage is Stage.EHLO:
            self._issue(Command(Stage.HELO, b"HELO %b\r\n" % self.terms.hostname))
        else:
            self._leave(Refused(command.stage, answer))

    def _secure(self) -> None:
        if self.tls or self.terms.tls == "none":
            self._log_in()
        elif self.features.starttls:
            self._issue(Command(Stage.STARTTLS, b"STARTTLS\r\n"))
        elif self.terms.tls == "require":
            self._leave(Failed(Stage.STARTTLS, Fault.NO_TLS))
        else:
            self._log_in()

    def _secured(self, command: Command, answer: Answer) -> None:
        if answer.kind == 2:
            self._resting = Stage.STARTTLS
            if self._has_unread:  # written by somebody else, in clear (CVE-2021-38371)
                self._fail(Fault.INJECTED)
            else:
                self._told.append(StartTls())
        elif self.terms.tls == "require":
            self._leave(Refused(Stage.STARTTLS, answer))
        else:
            self._log_in()

    def _log_in(self) -> None:
        if self.terms.login is None:
            self._rest()
        elif not (self.tls or self.terms.login_in_clear):
            self._leave(Failed(Stage.AUTH, Fault.NO_LOGIN, "not without TLS"))
        else:
            self._authenticate(self.terms.login)

    def _authenticate(self, login: Login) -> None:
        words = exchange(login, self.features.auth)
        if words is None:
            offer = " ".join(sorted(self.features.auth)) or "nothing"
            self._leave(Failed(Stage.AUTH, Fault.NO_LOGIN, f"they offer {offer}"))
            return
        self._answers.extend(words.answers)
        mechanism = words.argument.partition(b" ")[0]
        octets = b"AUTH %b\r\n" % words.argument
        self._issue(Command(Stage.AUTH, octets, shown=b"AUTH %b [hidden]" % mechanism))

    def _authenticated(self, command: Command, answer: Answer) -> None:
        if answer.kind == 2:
            self._rest()
        elif answer.kind != 3:
            self._leave(Refused(Stage.AUTH, answer))
        elif self._answers:
            self._issue(Command(Stage.AUTH, self._answers.popleft() + b"\r\n", shown=b"[hidden]"))
        else:
            self._leave(Failed(Stage.AUTH, Fault.NO_LOGIN, "they ask for more than there is", answer))

    def _rest(self) -> None:
        """Between mails."""
        self._resting = Stage.READY
        self._told.append(Ready(self.features))

    # --- the envelope

    def _planned(self, mail: Mail) -> Transaction:
        transaction = Transaction(mail, self.features)
        self._plan.extend(transaction.commands())
        if self._plan and not self._chunks:
            self._plan.append(Command(Stage.DATA, b"DATA\r\n"))
        return transaction

    def _sender_answered(self, command: Command, answer: Answer) -> None:
        transaction = self._mail
        if answer.kind == 2:
            transaction.begun = True
        else:
            transaction.decide_rest(Refused(Stage.MAIL, answer))
        self._proceed(transaction)

    def _recipient_answered(self, command: Command, answer: Answer) -> None:
        transaction = self._mail
        if answer.kind == 2:
            transaction.accepted += 1
        else:
            transaction.refuse(command.recipient, answer)
        self._proceed(transaction)

    def _data_answered(self, command: Command, answer: Answer) -> None:
        transaction = self._mail
        if answer.kind != 3:
            transaction.decide_rest(Refused(Stage.DATA, answer))
        elif not transaction.is_void:
            self._begin_text(dotted=True)
        elif transaction.begun:
            # All were refused, but DATA was under way: a text of nothing, for nobody (RFC 2920 3.1).
            self._issue(Command(Stage.END, b".\r\n"))
        else:
            self._fail(Fault.OUT_OF_STEP, reply=answer)
        self._proceed(transaction)

    def _proceed(self, transaction: Transaction) -> None:
        """What comes next in a transaction: more commands, the text, or the next mail."""
        if self._closed is not None:
            return
        if transaction.is_void:
            self._plan.clear()
            self._text = None
            self._announce(transaction)
        self._pump()
        if self._awaited or self._plan or self._text:
            return
        if transaction.is_void:
            self._clear_away(transaction)
        else:
            self._begin_text(dotted=False)

    def _announce(self, transaction: Transaction) -> None:
        if not transaction.told:
            transaction.told = True
            self._told.append(Decided(tuple(fate for fate in transaction.fates if fate is not None)))

    def _clear_away(self, transaction: Transaction) -> None:
        self._transaction = None
        if transaction.begun:
            self._issue(Command(Stage.RSET, b"RSET\r\n"))
        else:
            self._rest()

    def _reset(self, command: Command, answer: Answer) -> None:
        """Who does not forget a transaction must not be given another."""
        if answer.kind == 2:
            self._rest()
        else:
            self._leave(Refused(Stage.RSET, answer))

    @property
    def _mail(self) -> Transaction:
        assert self._transaction is not None
        return self._transaction

    # --- the text

    @property
    def _chunks(self) -> bool:
        return self.features.chunking and self.terms.chunking

    def _begin_text(self, *, dotted: bool) -> None:
        self._resting = Stage.TEXT
        self._text = OutgoingText(dotted=dotted)
        self._asked = False

    def _send_dotted(self, piece: bytes, last: bool) -> None:
        if not last:
            self._say(piece, _summary(piece))
        elif self._has_unread:
            self._fail(Fault.OUT_OF_STEP, "half a reply before the end of the text")
        else:
            self._text = None
            self._issue(Command(Stage.END, piece, shown=_summary(piece)))

    def _send_chunk(self, piece: bytes, last: bool) -> None:
        """RFC 3030 2. A piece may be empty when it was half a line end."""
        if last:
            self._text = None
        elif not piece:
            return
        line = b"BDAT %d%b" % (len(piece), b" LAST" if last else b"")
        stage = Stage.END if last else Stage.TEXT
        self._issue(Command(stage, line + b"\r\n" + piece, shown=line + b" " + _summary(piece)))

    def _chunk_answered(self, command: Command, answer: Answer) -> None:
        transaction = self._mail
        if answer.kind != 2:
            transaction.decide_rest(Refused(Stage.TEXT, answer))
        self._proceed(transaction)

    def _ended(self, command: Command, answer: Answer) -> None:
        """The reply that matters. It says nothing new when there was nobody left to send for."""
        transaction = self._mail
        if not transaction.is_void:
            transaction.begun = False
            transaction.decide_rest(Accepted(answer) if answer.kind == 2 else Refused(Stage.END, answer))
        self._proceed(transaction if self._next is None else self._change_over(transaction, self._next))

    def _change_over(self, transaction: Transaction, following: Transaction) -> Transaction:
        """The replies to come are those to the mail that was given early."""
        self._announce(transaction)
        self._transaction, self._next = following, None
        return following

    # --- what the dialogue asks

    def _answered(self, command: Command, answer: Answer) -> None:
        _READERS[command.stage](self, command, answer)

    @property
    def _pipelines(self) -> bool:
        return self.features.pipelining and self.terms.pipelining

    def _wish(self) -> ClientEvent:
        """One piece of text after the other: the next when the last is taken and, in lock-step, answered."""
        if self._text is None or self._asked or self._output or (self._awaited and not self._pipelines):
            return super()._wish()
        self._asked = True
        return WantText()

    @property
    def _is_ambiguous(self) -> bool:
        """The end of the text has left us, for somebody, and was not answered."""
        if self._transaction is None or self._transaction.is_void or self._output:
            return False
        return any(command.stage is Stage.END for command in self._awaited)

    def _end(self, cause: Refused | Failed | None) -> None:
        self._text = self._next = None
        if self._transaction is not None and cause is not None:
            self._transaction.decide_rest(cause)
            self._announce(self._transaction)


def _summary(piece: bytes) -> bytes:
    return b"[%d octets of text]" % len(piece)


_READERS: Final[Mapping[Stage, Callable[[SmtpClient, Command, Answer], None]]] = {
    Stage.GREETING: SmtpClient._greeted,
    Stage.EHLO: SmtpClient._named,
    Stage.HELO: SmtpClient._named,
    Stage.STARTTLS: SmtpClient._secured,
    Stage.AUTH: SmtpClient._authenticated,
    Stage.MAIL: SmtpClient._sender_answered,
    Stage.RCPT: SmtpClient._recipient_answered,
    Stage.DATA: SmtpClient._data_answered,
    Stage.TEXT: SmtpClient._chunk_answered,
    Stage.END: SmtpClient._ended,
    Stage.RSET: SmtpClient._reset,
}
"""Who reads the reply to which command."""
