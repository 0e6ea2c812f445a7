"""The administration session as a value: lines in, questions out; answers in, +OK or -ERR out.

Theory. Two phases. In AUTH only USER, PASS and QUIT are known; USER is always welcome, PASS asks the host,
and the third wrong one ends the session. In ACTIVE a line is a verb of `management_verbs` and its words; the
verb's rank is compared with that of who logged in, the words are checked, and the host is asked. While it has
not answered, nothing more is read, so that commands sent ahead are answered in order.

The lines of a longer reply follow the +OK line bare, and nothing marks the last one: a program that must know
sends NOOP. A line may end in LF alone, since people type here. Lines that are too long, and the first words
of another protocol, are not worth much patience.

It never knows sockets, time, accounts or counters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from mta.protocol.asking import AskingSession
from mta.protocol.events import NEED_DATA, Signal
from mta.protocol.lines import begins_tls, is_foreign
from mta.protocol.management.verbs import VERBS, Order, Rank, Refusal
from mta.protocol.sasl import Password

GREETING: Final = "Management server ready"
GOODBYE: Final = "GOODBYE"

LINE_LIMIT: Final = 512
"""Octets of a line with its end."""
TOO_LONG: Final = 3
FAILURES: Final = 3
ERRORS: Final = 20
"""So many lines too long, refused passwords, or refused lines in a row end the session."""

NOT_PERMITTED: Final = "NOT PERMITTED"
NO_COMMAND: Final = "NOT A COMMAND"

Question: TypeAlias = Password | Order


class ManagementSession(AskingSession[Question]):
    """One session."""

    __slots__ = ("_errors", "_failures", "_long", "_skipping", "_user", "rank")

    rank: Rank | None
    """Of who is logged in; None in AUTH."""

    def __init__(self) -> None:
        super().__init__()
        self.rank = None
        self._user = ""
        """Whom USER named."""
        self._failures = 0
        self._long = 0
        self._errors = 0
        self._skipping = False
        """The rest of a line that is too long is still to come."""

    # --- the host's side

    @property
    def phase(self) -> str:
        return "ACTIVE" if self.rank is not None else "AUTH"

    def open(self) -> None:
        """Greets."""
        self._send(f"+OK {GREETING}")

    def refuse(self, text: str) -> None:
        """Instead of `open`: -ERR and Closed."""
        self._cut_off(text, "refused")

    def admit(self, rank: Rank) -> None:
        """Answers a Password: it is right."""
        self._take_question()
        self.rank = rank
        self._reply("PASS")

    def deny(self, text: str) -> None:
        """Answers a Password: it is wrong."""
        self._take_question()
        self._failures += 1
        if self._failures >= FAILURES:
            self._farewell = "too many refused logins"
        self._refuse(text)

    def reply(self, text: str, *lines: str) -> None:
        """Answers an Order: done. `text` follows +OK, then the lines come bare."""
        self._take_question()
        self._reply(text, *lines)

    def decline(self, text: str) -> None:
        """Answers any question: -ERR and this text."""
        self._take_question()
        self._refuse(text)

    def tls_started(self) -> None:
        """Nothing was said before."""

    # --- lines

    def _read(self) -> Question | Signal | None:
        end = self._input.find(b"\n", self._start)
        if end < 0:
            return self._await_line()
        line = self._take_octets(end + 1 - self._start)
        if self._skipping or len(line) > LINE_LIMIT:
            self._skip(over=True)
            return None
        return self._read_line(line.removesuffix(b"\n").removesuffix(b"\r"))

    def _await_line(self) -> Signal | None:
        if begins_tls(self._input, self._start):
            self._cut_off("THIS IS NOT TLS", "not the management protocol")
        elif len(self._input) - self._start > LINE_LIMIT:
            self._skip(over=False)
        elif self._eof:
            self._close("lost")
        else:
            return NEED_DATA
        return None

    def _skip(self, *, over: bool) -> None:
        """A line is too long: said once, when that shows; then its end is looked for."""
        if not self._skipping:
            self._long += 1
            self._refuse("LINE TOO LONG")
            if self._long >= TOO_LONG:
                self._close("endless lines")
        self._skipping = not over
        if not over:
            self._take_all()

    def _read_line(self, line: bytes) -> Question | None:
        if self.transcript is not None:
            self.transcript("C", line)
        if self.rank is None and is_foreign(line):
            self._cut_off(NO_COMMAND, "not the management protocol")
            return None
        try:
            return self._serve(_text(line))
        except Refusal as refusal:
            self._refuse(str(refusal))
        return None

    def _serve(self, line: str) -> Question | None:
        """Raises Refusal."""
        name, _, argument = line.partition(" ")
        if self.rank is None:
            return self._serve_stranger(name.upper(), argument)
        words = [word for word in argument.split(" ") if word]
        verb = VERBS.get(name.upper())
        if verb is None:
            raise Refusal(NO_COMMAND)
        if self.rank < verb.rank:
            raise Refusal(NOT_PERMITTED)
        order = verb.order_of(words)
        if order is not None:
            return self._ask(order)
        _OWN[verb.name](self)
        return None

    def _serve_stranger(self, name: str, argument: str) -> Question | None:
        """The phase AUTH. Whether a user exists is not told. Raises Refusal."""
        if name == "QUIT" and not argument.strip():
            self._quit()
        elif name == "USER" and argument.strip():
            self._user = argument.strip()
            self._reply("USER")
        elif name == "PASS" and self._user and argument:
            user, self._user = self._user, ""
            return self._ask(Password(user, argument))
        else:
            raise Refusal("LOG IN FIRST: USER name, PASS password")
        return None

    # --- what the session answers by itself

    def _noop(self) -> None:
        self._reply("NOOP")

    def _capa(self) -> None:
        """What this user may do."""
        self._reply("CAPA", *(verb.syntax for verb in VERBS.values() if (self.rank or 0) >= verb.rank))

    def _quit(self) -> None:
        self._reply(GOODBYE)
        self._close("quit")

    # --- replies

    def _reply(self, text: str, *lines: str) -> None:
        self._errors = 0
        self._send(f"+OK {text}", *lines)
        self._leave_if_told()

    def _refuse(self, text: str) -> None:
        self._errors += 1
        self._send(f"-ERR {text}")
        if self._errors >= ERRORS:
            self._close("too many errors")
        self._leave_if_told()

    def _send(self, *lines: str) -> None:
        self._send_octets("".join(f"{line}\r\n" for line in lines).encode())

    # --- the end

    def _cut_off(self, text: str, reason: str) -> None:
        self._refuse(text)
        self._close(reason)


_OWN: Final[Mapping[str, Callable[[ManagementSession], None]]] = {
    "NOOP": ManagementSession._noop,
    "CAPA": ManagementSession._capa,
    "QUIT": ManagementSession._quit,
}


def _text(line: bytes) -> str:
    """Raises Refusal."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(NO_COMMAND) from error
    if not text.isprintable():
        raise Refusal(NO_COMMAND)
    return text
