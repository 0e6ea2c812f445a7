"""The SMTP server's session (RFC 5321) as a value: octets in, events out; replies in, octets out.

Theory. The session reads its input in one of two ways, and its state says which: as lines that are
commands, or as the text of a message. A command goes through the same steps whatever it is: its line is
cut out, its verb is looked up, its place in the order is checked, its effect checks the argument and
either answers or asks the host. While the host has not answered, nothing more is read: pipelined commands
wait in the buffer and are answered in order (RFC 2920). The verbs live in `verbs`, their order in
`states`, the end and the correctness of text in `body`.

Text found wrong is swallowed to its true end, then refused, so that no octet of it is ever read as a
command. Where the end of what a client sent cannot be known, the session says one 5xx and closes rather
than guess:

- behind STARTTLS: whatever came in clear after it was written by somebody else (RFC 3207 4.2, CVE-2011-0411);
- behind a DATA that is refused: DATA ends a group of pipelined commands (RFC 2920 3.1), so octets that
  are already there were sent without waiting for 354 and are text, not commands. Behind a DATA that is
  accepted they are text all the same, and welcome;
- behind a BDAT whose length cannot be read: its chunk is under way (RFC 3030 2). A BDAT refused for any
  other reason says how long it is, so its chunk is swallowed, then the refusal is sent, and the
  transaction is void: the chunks that a pipelining client sent after it get 503 each;
- another protocol's first words (HTTP, SSH, a TLS hello): a browser or a scanner, whose next line could
  be anything.

It never knows sockets, time, files or policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from mta.protocol import replies
from mta.protocol.events import (
    NEED_DATA,
    PAUSED,
    Data,
    Discarded,
    Event,
    Question,
    Recipient,
    Sender,
    StartTls,
    Text,
)
from mta.protocol.lines import LINE_BOUND, begins_tls, fault_of, is_clean, is_foreign
from mta.protocol.replies import Refusal, Reply
from mta.protocol.scram import Verifier
from mta.protocol.smtp.auth import Authentication
from mta.protocol.smtp.body import SWALLOW, ChunkedText, DottedText
from mta.protocol.smtp.session import ERROR_WEIGHT, SmtpSession
from mta.protocol.smtp.states import (
    AUTH_ANSWERING,
    CHUNK_RECEIVING,
    CHUNK_SKIPPING,
    CHUNKED,
    CLOSED,
    COMMAND_STATES,
    DATA_RECEIVING,
    INIT,
    START,
    TLS_STARTING,
    State,
)
from mta.protocol.smtp.terms import Terms
from mta.protocol.smtp.verbs import AUTH, BDAT, DATA, VERBS, Verb, chunk_of, is_offered

__all__ = ["SmtpServer", "Terms"]

HOLD: Final = 65536
"""Octets of a text kept before they are handed out in pieces."""

UNFRAMED: Final = (b"DATA", b"BDAT")
"""What follows these is text, even when the line is spoiled."""


class SmtpServer(SmtpSession):
    """One session. Per turn the host calls `receive_data`, then `next_event` until NEED_DATA, PAUSED or
    Closed, answering with `reply`, and sends `data_to_send`."""

    __slots__ = (
        "_after", "_chunk", "_last", "_verb", "_verdict", "extended", "helo", "hold", "login", "tls",
        "trusted", "user",
    )  # fmt: skip

    helo: bytes
    """The name the client gave, b"" before; harmless in a Received line."""
    extended: bool
    """It was given by EHLO."""
    tls: bool
    trusted: bool
    """A client of `relay.from`, or logged in."""
    user: str
    """Who has logged in, as the client calls itself; empty before."""
    login: Authentication | None
    hold: int
    """Octets of a text kept before they are handed out; the host may lower it when memory is short."""

    def __init__(self, terms: Terms, *, tls: bool = False) -> None:
        """`tls`: TLS comes first, then the greeting (RFC 8314)."""
        super().__init__(terms)
        self.helo = b""
        self.extended = False
        self.state = TLS_STARTING if tls else START
        self.tls = False
        self.trusted = terms.trusted
        self.user = ""
        self.login = None
        self.hold = HOLD
        self._verb = DATA
        """Of the command being served."""
        self._chunk = 0
        """Octets of the chunk that are still to come."""
        self._last = False
        """It is the last chunk."""
        self._after = START
        """Where a chunk that is being skipped leads, and the reply due then."""
        self._verdict: Reply | None = None

    # --- the host's side

    @property
    def protocol(self) -> str:
        """The `with` word of Received: SMTP, ESMTP, ESMTPS, ESMTPSA, UTF8SMTP ... (RFC 3848, 6531 4.3)."""
        if not self.extended:
            return "SMTP"
        word = "UTF8SMTP" if self.smtputf8 else "ESMTP"
        return word + ("S" if self.tls else "") + ("A" if self.user else "")

    def open(self) -> None:
        """Greets with 220; where TLS comes first, once it is there."""
        self._send(Reply(220, "", self.terms.hostname.decode("ascii") + " ESMTP ready"))

    def refuse(self, reply: Reply) -> None:
        """Instead of `open`, or at any time: this reply (554, 421) and Closed."""
        self._line = b""
        self._cut_off(reply, "refused")

    def next_event(self) -> Event:
        """The next event, or NEED_DATA, or PAUSED while the host owes a reply."""
        while self._asked is None:
            event = _READERS[self.state](self)
            if event is NEED_DATA and self._eof:
                self._close(None, "lost")
            elif event is not None:
                return event
        return PAUSED

    def reply(self, reply: Reply) -> None:
        """Answers the event the session is paused on. A reject of MAIL, RCPT, DATA, BDAT or the text is
        marked with the session id here."""
        asked, self._asked = self._asked, None
        if asked is None:
            raise RuntimeError("the session has not asked anything")
        if type(asked) is Text:
            self._settle_text(reply)
        elif self._verb is AUTH:
            self._go_on(self._login.settle(reply))
        elif reply.code >= 400:
            self._refuse(reply)
        elif type(asked) is Data:
            self._begin_text(asked, reply)
        else:
            self._accept(asked, reply)
        self._leave_if_told()

    def verify_by(self, verifier: Verifier) -> None:
        """Answers NeedVerifier."""
        self._asked = None
        self._go_on(self._login.verify_by(verifier))
        self._leave_if_told()

    def discard(self, reply: Reply) -> None:
        """After a Text that is not the last: the host cannot keep the message (no space, say). The rest is
        swallowed, then this reply is sent and Discarded told."""
        if self._text is not None:
            self._text.refusal = reply

    def tls_started(self) -> None:
        """The handshake is done: all that the client said before is forgotten (RFC 3207 4.2)."""
        if self.state is not TLS_STARTING:
            raise RuntimeError("the client has not been told to start TLS")
        self._take_all()
        self.helo = b""
        self.extended = False
        self.tls = True
        self.trusted = self.terms.trusted
        self.user = ""
        self.login = None
        self._enter(START)

    # --- commands

    def _read_command(self) -> Event | None:
        line = self._take_line(LINE_BOUND)
        if line is None:
            return self._await_line()
        self._line = line = line.rstrip(b" \t")  # tolerated (RFC 5321 4.1.1)
        if self.transcript is not None:
            self.transcript("C", line)
        if self._strikes >= self.terms.error_limit * ERROR_WEIGHT:
            self._cut_off(replies.TOO_MANY_ERRORS, "too many errors")
            return None
        name, _, argument = line.partition(b" ")
        verb = VERBS.get(name.upper())
        if verb is None or not is_clean(line):
            self._misfit(line)
            return None
        return self._serve(verb, argument)

    def _await_line(self) -> Event | None:
        """No CRLF yet. Nothing is done before it comes, unless it will not come or nothing good would."""
        self._line = b""
        if begins_tls(self._input, self._start):
            self._cut_off(replies.WRONG_PROTOCOL, "not SMTP")
        elif len(self._input) - self._start >= LINE_BOUND:
            self._cut_off(replies.LINE_TOO_LONG, "endless line")
        else:
            return NEED_DATA
        return None

    def _misfit(self, line: bytes) -> None:
        """A line that is no command of ours."""
        if is_foreign(line):
            self._cut_off(replies.WRONG_PROTOCOL, "not SMTP")
        elif line[:4].upper() in UNFRAMED:
            self._verb = VERBS[line[:4].upper()]
            self._refuse(fault_of(line))
        else:
            self._answer(fault_of(line))

    def _serve(self, verb: Verb, argument: bytes) -> Event | None:
        """What happens to every command: is it offered, is it its turn, is it right; then answer, or ask."""
        if not is_offered(verb, self):
            self._answer(fault_of(verb.name.encode("ascii")))
            return None
        self._verb = verb
        if verb.idle and not self.trusted:
            self._strikes += 1
        after = verb.order.get(self.state)
        try:
            if after is None:
                raise verb.out_of_order(self)
            outcome = verb.effect(self, argument)
        except Refusal as refusal:
            self._refuse(refusal.reply)
            return None
        if verb is AUTH:
            return self._go_on(outcome)
        if isinstance(outcome, Reply):
            return self._settle(after, outcome)
        return self._ask(outcome)

    def _ask(self, question: Question) -> Event | None:
        if type(question) is Data and self.state is CHUNKED:
            self._begin_chunk()
            return None
        if type(question) is StartTls and self._input:
            self._cut_off(replies.OUT_OF_STEP, "input behind STARTTLS")
            return None
        self._asked = question
        return question

    def _settle(self, after: State, reply: Reply) -> Event | None:
        """A command that the session answered by itself."""
        if after is CLOSED:
            self._close(reply, "quit")
            return None
        void = self._text is not None and after is not self.state
        self._enter(after)
        self._send(reply)
        return Discarded(reply) if void else None

    def _accept(self, asked: Question, reply: Reply) -> None:
        """A command that the host accepted."""
        if type(asked) is StartTls and self._input:
            self._cut_off(replies.OUT_OF_STEP, "input behind STARTTLS")
            return
        if type(asked) is Recipient:
            self.recipients += 1
        elif type(asked) is Sender:
            self.smtputf8 = asked.smtputf8
        self._enter(self._verb.order[self.state])
        self._send(reply)

    def _refuse(self, reply: Reply) -> None:
        """The command being served is refused, by its check, by the order or by the host."""
        verb = self._verb
        if verb.mail:
            reply = self._marked(reply)
        if verb is BDAT:
            self._refuse_chunk(reply)
        elif verb is DATA and self._input:
            self._cut_off(self._marked(replies.OUT_OF_STEP), "input behind a refused DATA")
        elif reply.code == 421:
            self._cut_off(reply, "refused")
        else:
            self._answer(reply)

    # --- logging in

    def _read_answer(self) -> Event | None:
        line = self._take_line(LINE_BOUND)
        if line is None:
            return self._await_line()
        self._line = b"AUTH"  # and not what it says
        if self.transcript is not None:
            self.transcript("C", b"***")
        return self._go_on(self._login.answer(line))

    def _go_on(self, outcome: Reply | Question) -> Event | None:
        """What `smtp_auth` makes of AUTH, an answer or a verdict: a reply, or a question to the host."""
        if not isinstance(outcome, Reply):
            self._asked = outcome
            return outcome
        self._enter(AUTH_ANSWERING if outcome.code == 334 else INIT)
        if outcome.code >= 400:
            self._refuse(outcome)
            return None
        if outcome.code == 235:
            self.user, self.trusted = self._login.user, True
        self._send_octets(outcome.octets, b"334 ***\r\n" if outcome.code == 334 else b"")
        return None

    @property
    def _login(self) -> Authentication:
        assert self.login is not None
        return self.login

    # --- text

    def _begin_text(self, asked: Data, reply: Reply) -> None:
        limit = self.terms.message_limit
        if asked.chunked:
            self._text = ChunkedText(limit)
            self._begin_chunk()
        else:
            self._text = DottedText(limit)
            self._enter(DATA_RECEIVING)
            self._send(reply)

    def _read_text(self) -> Event | None:
        if not self._input:
            return NEED_DATA
        text = self._text
        assert isinstance(text, DottedText)
        rest = text.feed(self._take_all())
        if rest is not None:
            self._input = rest
            self._line = b"."
            return self._finish(text)
        if text.is_endless:
            self._cut_off(self._marked(replies.TOO_BIG), "endless text")
            return None
        return text.piece(self.hold) or NEED_DATA

    def _finish(self, text: ChunkedText) -> Event:
        """The end of the text: ask the host to make it durable, or refuse it."""
        last = text.last_piece()
        if self.transcript is not None:
            self.transcript("C", b"[%d octets of text]" % text.size)
        fault = text.fault
        if fault is not None:
            return self._throw_away(fault)
        self._asked = last
        return last

    def _throw_away(self, fault: Reply) -> Discarded:
        reply = self._marked(fault)
        self._enter(INIT)
        self._answer(reply)
        return Discarded(reply)

    def _settle_text(self, reply: Reply) -> None:
        """What the host said to the whole text. Accepted or not, the transaction is over."""
        self._enter(INIT)
        if reply.code >= 400:
            self._answer(self._marked(reply))
        else:
            self._strikes = 0
            self._send(reply)

    # --- chunks (RFC 3030)

    def _begin_chunk(self) -> None:
        chunk = chunk_of(self._line)
        assert chunk is not None
        assert self._text is not None
        size, self._last = chunk
        if self._text.size + size > self.terms.message_limit:
            self._refuse(replies.TOO_BIG)
        else:
            self._chunk = size
            self._enter(CHUNK_RECEIVING)

    def _read_chunk(self) -> Event | None:
        text = self._text
        assert text is not None
        text.keep(self._take_of_chunk())
        if self._chunk:
            return text.piece(self.hold) or NEED_DATA
        if self._last:
            return self._finish(text)
        if text.refusal is not None:
            return self._throw_away(text.refusal)
        self._enter(CHUNKED)
        self._send(replies.CHUNK_OK)
        return text.piece(self.hold)

    def _refuse_chunk(self, reply: Reply) -> None:
        """The chunk behind a refused BDAT is swallowed before the refusal is sent. The transaction is
        void then, so that a later chunk cannot be taken for the first one."""
        chunk = chunk_of(self._line)
        if chunk is None or chunk[0] > SWALLOW * self.terms.message_limit:
            self._cut_off(reply, "chunk without end")
            return
        self._chunk = chunk[0]
        self._verdict = reply
        self._after = INIT if self.state in BDAT.order else self.state
        self.state = CHUNK_SKIPPING

    def _skip_chunk(self) -> Event | None:
        self._take_of_chunk()
        if self._chunk:
            return NEED_DATA
        reply, self._verdict = self._verdict, None
        assert reply is not None
        void = self._text is not None
        self._enter(self._after)
        self._answer(reply)
        return Discarded(reply) if void else None

    def _take_of_chunk(self) -> bytes:
        octets = self._take_octets(self._chunk)
        self._chunk -= len(octets)
        return octets

    def _wait(self) -> Event:
        """The handshake is the host's business; a client that leaves in it is ours."""
        return NEED_DATA if self._eof else PAUSED


_READERS: Final[Mapping[State, Callable[[SmtpServer], Event | None]]] = {
    **dict.fromkeys(COMMAND_STATES, SmtpServer._read_command),
    DATA_RECEIVING: SmtpServer._read_text,
    CHUNK_RECEIVING: SmtpServer._read_chunk,
    CHUNK_SKIPPING: SmtpServer._skip_chunk,
    AUTH_ANSWERING: SmtpServer._read_answer,
    TLS_STARTING: SmtpServer._wait,
    CLOSED: SmtpServer._ended,
}
"""How input is read in each state. A reader returns an event, NEED_DATA, or None when there is more to
read."""
