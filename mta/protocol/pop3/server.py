"""The POP3 server's session (RFC 1939) as a value: octets in, events out; answers in, octets out.

Theory. The input is lines, and every line goes through the same steps: it is cut out, its verb is looked up,
its place in the order is checked, its effect answers or asks the host. While the host has not answered,
nothing more is read: pipelined commands wait in the buffer and are answered in order (RFC 2449 6.6). The
verbs live in `pop3_verbs`, their order in `pop3_states`, the texts of messages in `pop3_text`.

The output may be far larger than the input: a listing of a hundred thousand lines, a message of a gigabyte.
It is made in portions, and while one of them waits to be sent nothing more is made or served; `has_more`
tells the driver to come back when it is gone.

Nothing is removed by any way out but QUIT from a mail drop that is open: a lost connection, a time-out and a
shutdown end the session without Update (RFC 1939 3, 6). Where the end of what a client sent cannot be known,
or somebody else may have written it (input behind STLS, CVE-2021-33515), the session closes rather than
guess.

It never knows sockets, time, files or accounts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from mta.protocol import replies as smtp_replies
from mta.protocol import sasl
from mta.protocol.lines import LINE_BOUND, begins_tls, is_foreign
from mta.protocol.pop3 import replies
from mta.protocol.pop3.events import (
    NEED_DATA,
    PAUSED,
    Event,
    Listing,
    More,
    Question,
    Retrieve,
    StartTls,
    Update,
)
from mta.protocol.pop3.lines import COMMAND_LIMIT, fault_of, without_secret
from mta.protocol.pop3.replies import Refusal, Reply, ok
from mta.protocol.pop3.session import ERROR_WEIGHT, Pop3Session
from mta.protocol.pop3.states import (
    ANY_TIME,
    AUTHENTICATING,
    AUTHORIZATION,
    CLOSED,
    TLS_STARTING,
    TRANSACTION,
    UPDATE,
    USER_GIVEN,
    State,
)
from mta.protocol.pop3.terms import Pop3Terms
from mta.protocol.pop3.verbs import AUTH, PASS, USER, VERBS, Lines, Outcome, Verb
from mta.protocol.scram import Verifier

FAILURES: Final = 3
"""Refused logins, the last of which ends the session."""
OUTPUT_BOUND: Final = 65536
"""Octets that wait to be sent before nothing more is served."""

_NO_MAIL: Final = Listing((), (), 0)
_EXACT: Final = (USER, PASS)
"""What follows these is taken as it is; other lines may have blanks behind them."""


class Pop3Server(Pop3Session):
    """One session. Per turn the host calls `receive_data`, then `next_event` until NEED_DATA, PAUSED or
    Closed, answering what it is asked, and sends `data_to_send`."""

    __slots__ = (
        "_exchange", "_failures", "_stalled", "deleted", "listing", "mechanism", "messages", "octets", "tls",
        "user", "utf8",
    )  # fmt: skip

    tls: bool
    user: str
    """Whom USER named, "" before."""
    mechanism: str
    """By which the client logs in: USER, PLAIN ..."""
    utf8: bool
    listing: Listing
    """The mail drop, once it is open."""
    deleted: set[int]
    """Positions that DELE has marked."""
    messages: int
    octets: int
    """Of the messages that are not marked."""

    def __init__(self, terms: Pop3Terms, *, tls: bool = False) -> None:
        """`tls`: TLS comes first, then the greeting (RFC 8314)."""
        super().__init__(terms)
        self.state = TLS_STARTING if tls else AUTHORIZATION
        self.tls = False
        self.user = ""
        self.mechanism = ""
        self.utf8 = False
        self.listing = _NO_MAIL
        self.deleted = set()
        self.messages = 0
        self.octets = 0
        self._exchange: sasl.Exchange | None = None
        self._stalled = False
        """Nothing more is made before what was made has been handed out."""
        self._failures = 0

    # --- the host's side

    @property
    def has_more(self) -> bool:
        """There is more to say or to serve as soon as what was handed out is on its way."""
        return self._stalled and self._asked is None

    @property
    def takes_passwords(self) -> bool:
        """Whether nobody can overhear a password: under TLS, or on this machine."""
        return self.tls or self.terms.login.in_clear

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """What AUTH offers now."""
        login = self.terms.login
        binding = login.binding if self.tls else b""
        return sasl.offered(scram=login.scram, binding=binding) if self.takes_passwords else ()

    def open(self) -> None:
        """Greets."""
        self._send(ok(f"{self.terms.hostname} POP3 ready"))

    def refuse(self, reply: smtp_replies.Reply) -> None:
        """Instead of `open`: the server's reason, in our words, and Closed."""
        self._close(replies.instead_of(reply), "refused")

    def next_event(self) -> Event:
        """The next event, or NEED_DATA, or PAUSED while the host owes an answer or output waits."""
        while self._asked is None:
            self._stalled = len(self._output) >= OUTPUT_BOUND and self.state is not CLOSED
            if self._stalled:
                return PAUSED
            event = self._go_on()
            if event is NEED_DATA and self._eof:
                self._close(None, "lost")
            elif event is not None:
                return event
        return PAUSED

    def reply(self, reply: Reply) -> None:
        """Answers Update and StartTls; refuses any other question. There is no word for a text that cannot go
        on: only the end can tell the client."""
        asked = self._take_question()
        if isinstance(asked, StartTls) and reply.ok:
            self._start_tls(reply)
        elif isinstance(asked, Update):
            self._close(reply, "quit")
        elif isinstance(asked, More):
            self._close(None, "text broken off")
        elif isinstance(asked, Retrieve | StartTls):
            self._answer(reply)
        else:
            self._fail_login(reply)
        self._leave_if_told()

    def verify_by(self, verifier: Verifier) -> None:
        """Answers NeedVerifier."""
        self._take_question()
        assert self._exchange is not None
        self._asked = self._step(self._exchange.verify_by(verifier))
        self._leave_if_told()

    def admit(self, listing: Listing) -> None:
        """The user may log in, and this is the mail drop, which is now open for this session alone."""
        self._take_question()
        self.listing = listing
        self.unmark_all()
        last_word = self._exchange.granted() if self._exchange is not None else sasl.Done.DONE
        if isinstance(last_word, sasl.Challenge):
            self._challenge(last_word)
        else:
            self._enter_transaction()
        self._leave_if_told()

    def text(self, octets: bytes, *, last: bool) -> None:
        """Answers Retrieve and More with the next piece, as it is to be sent; after the last one the session
        goes on."""
        asked = self._take_question()
        if isinstance(asked, Retrieve):
            self._send_octets(b"+OK %d octets\r\n" % self.listing.sizes[asked.position])
        self._output += octets
        if self.transcript is not None:
            self.transcript("S", b"[%d octets of text]" % len(octets))
        self._in_text = not last
        self._leave_if_told()

    def tls_started(self) -> None:
        """The handshake is done: all that the client said before is forgotten (RFC 2595 4)."""
        if self.state is not TLS_STARTING:
            raise RuntimeError("the client has not been told to start TLS")
        self._take_all()
        self.user = ""
        self.utf8 = False
        self.tls = True
        self.state = AUTHORIZATION

    # --- commands

    def _go_on(self) -> Event | None:
        """One step of a long reply, a text, or the input. None when there may be another."""
        if self._portions is not None:
            self._say(self._portions)
            return None
        if self._in_text:
            return self._ask(More())
        return _READERS[self.state](self)

    def _read_command(self) -> Event | None:
        line = self._take_line(LINE_BOUND)
        if line is None:
            return self._await_line()
        name, _, argument = line.partition(b" ")
        name = name.upper()
        self._line = without_secret(line)
        self._transcribe_line()
        if self._strikes >= self.terms.error_limit * ERROR_WEIGHT:
            self._cut_off(replies.TOO_MANY_ERRORS, "too many errors")
            return None
        verb = VERBS.get(name.rstrip(b" "))
        fault = fault_of(line, LINE_BOUND if verb is AUTH else COMMAND_LIMIT)
        if verb is None or fault is not None:
            self._misfit(line, fault or replies.UNKNOWN)
            return None
        return self._serve(verb, argument if verb in _EXACT else argument.rstrip(b" "))

    def _await_line(self) -> Event | None:
        """No CRLF yet. Nothing is done before it comes, unless it will not come or nothing good would."""
        self._line = b""
        if begins_tls(self._input, self._start):
            self._cut_off(replies.WRONG_PROTOCOL, "not POP3")
        elif len(self._input) - self._start >= LINE_BOUND:
            self._cut_off(replies.LINE_TOO_LONG, "endless line")
        else:
            return NEED_DATA
        return None

    def _misfit(self, line: bytes, reply: Reply) -> None:
        """A line that is no command of ours."""
        if is_foreign(line):
            self._cut_off(replies.WRONG_PROTOCOL, "not POP3")
        else:
            self._answer(reply)

    def _serve(self, verb: Verb, argument: bytes) -> Event | None:
        """What happens to every command: is it its turn, is it right; then answer, or ask."""
        if self.state is not TRANSACTION:
            self._strikes += 1
        after = verb.order.get(self.state)
        try:
            if after is None:
                raise verb.out_of_order(self)
            outcome = verb.effect(self, argument)
        except Refusal as refusal:
            self._answer(refusal.reply)
            return None
        return self._settle(after, outcome)

    def _settle(self, after: State, outcome: Outcome) -> Event | None:
        if isinstance(outcome, Lines):
            self._arrive(ANY_TIME[self.state], outcome.first)  # a list gets nobody further
            self._portions = outcome.portions
        elif isinstance(outcome, Reply):
            self._arrive(after, outcome)
        elif isinstance(outcome, StartTls) and self._input:
            self._cut_off(replies.OUT_OF_STEP, "input behind STLS")
        elif outcome is not None:
            return self._ask(outcome)
        return None

    def _arrive(self, after: State, reply: Reply) -> None:
        """A command that the session answered by itself."""
        if after is CLOSED:
            self._close(reply, "quit")
        else:
            self.state = after
            self._send(reply)

    def _ask(self, question: Question) -> Event:
        self._asked = question
        if isinstance(question, Update):
            self.state = UPDATE
        return question

    def _take_question(self) -> Question:
        asked, self._asked = self._asked, None
        if asked is None:
            raise RuntimeError("the session has not asked anything")
        return asked

    def _start_tls(self, reply: Reply) -> None:
        if self._input:
            self._cut_off(replies.OUT_OF_STEP, "input behind STLS")
        else:
            self.state = TLS_STARTING
            self._send(reply)

    # --- the login

    def begin_exchange(self, mechanism: str, initial: bytes | None) -> Question | None:
        """AUTH with a mechanism that is offered: what to ask the host, if anything yet."""
        self.mechanism = mechanism
        login = self.terms.login
        self._exchange = sasl.Exchange(mechanism, self.mechanisms, login.nonce(), login.binding)
        return self._step(self._exchange.begin(initial))

    def _read_answer(self) -> Event | None:
        """A line that answers a challenge, and may hold a password: nobody is shown it."""
        line = self._take_line(LINE_BOUND)
        if line is None:
            return self._await_line()
        self._line = b"..."
        self._transcribe_line()
        assert self._exchange is not None
        question = self._step(self._exchange.answer(line))
        return None if question is None else self._ask(question)

    def _step(self, step: sasl.Step) -> Question | None:
        if isinstance(step, sasl.Challenge):
            self._challenge(step)
        elif isinstance(step, sasl.Fault):
            self._fail_login(_BROKEN_OFF.get(step, replies.NOT_UNDERSTOOD))
        elif isinstance(step, sasl.Done):
            self._enter_transaction()
        else:
            return step
        return None

    def _challenge(self, challenge: sasl.Challenge) -> None:
        """RFC 5034 4. Its octets may belong to the proof of a password."""
        self.state = AUTHENTICATING
        self._output += b"+ " + challenge.line + b"\r\n"
        if self.transcript is not None:
            self.transcript("S", b"+ ...")

    def _enter_transaction(self) -> None:
        self._exchange = None
        self._strikes = 0
        self.state = TRANSACTION
        self._send(ok(f"{self.messages} messages ({self.octets} octets)"))

    def _fail_login(self, reply: Reply) -> None:
        """The login is refused, or broken off by the client. If the mail drop is open already, only the end
        of the session gives it back."""
        self._exchange = None
        self.state = AUTHORIZATION
        self._failures += 1
        self._answer(reply)
        if self.listing is not _NO_MAIL:
            self._close(None, "login broken off")
        elif self._failures >= FAILURES:
            self._close(None, "too many failed logins")

    # --- the mail drop

    def mark(self, position: int) -> None:
        """DELE."""
        self.deleted.add(position)
        self.messages -= 1
        self.octets -= self.listing.sizes[position]

    def unmark_all(self) -> None:
        """RSET."""
        self.deleted.clear()
        self.messages = len(self.listing.sizes)
        self.octets = self.listing.octets


_READERS: Final[Mapping[State, Callable[[Pop3Server], Event | None]]] = {
    AUTHORIZATION: Pop3Server._read_command,
    USER_GIVEN: Pop3Server._read_command,
    AUTHENTICATING: Pop3Server._read_answer,
    TRANSACTION: Pop3Server._read_command,
    TLS_STARTING: Pop3Server._wait,
    CLOSED: Pop3Server._ended,
}
"""How input is read in each state; in UPDATE the host is asked, and none is. A reader returns an event,
NEED_DATA, or None when there is more to read."""

_BROKEN_OFF: Final[Mapping[sasl.Fault, Reply]] = {
    sasl.Fault.CANCELLED: replies.CANCELLED,
    sasl.Fault.TOO_LONG: replies.LINE_TOO_LONG,
    sasl.Fault.NOT_BASE64: replies.NOT_BASE64,
    sasl.Fault.OTHER_IDENTITY: replies.WRONG_PASSWORD,
}
