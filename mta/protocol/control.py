"""The control session as a value: lines in, questions out; answers in, OK or ERR out.

    NAME=INTEGER    sets             OK
    GET NAME        asks             NAME=VALUE, OK
    HELP            lists the names  a name a line, OK
    QUIT                             OK, and the end

ERR answers what cannot be. Case does not matter, and a line may end in LF alone: people type here. There is
no login, so nothing that was meant for somebody else may be taken for a command: a first line that is not
of this grammar is the first line of another protocol (HTTP from a browser, say), gets ERR, and whatever
follows is thrown away. Who may connect is for others to see to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from mta.protocol.asking import AskingSession
from mta.protocol.events import NEED_DATA, Signal

LINE_LIMIT: Final = 510
"""Octets of a line without its end."""
ERROR_LIMIT: Final = 20
"""Wrong lines in a row, then the session is closed."""


class Setting(NamedTuple):
    """NAME=INTEGER: put it into force, then `reply`."""

    name: str
    """Lower-case."""
    value: int


class Inquiry(NamedTuple):
    """GET NAME: `reply` with NAME=VALUE."""

    name: str


Question: TypeAlias = Setting | Inquiry

_name = rb"([A-Za-z][A-Za-z0-9_.]{0,99})"
_setting = re.compile(_name + rb"[ \t]*=[ \t]*([+-]?[0-9]{1,18})").fullmatch
_unfit_setting = re.compile(_name + rb"[ \t]*=.*").fullmatch
_inquiry = re.compile(rb"GET[ \t]+" + _name, re.IGNORECASE).fullmatch


class ControlSession(AskingSession[Question]):
    """One session."""

    __slots__ = ("_begun", "_errors", "_names")

    def __init__(self, names: Sequence[str]) -> None:
        """`names`: what HELP lists."""
        super().__init__()
        self._names = names
        self._begun = False
        """A line of the grammar has come."""
        self._errors = 0

    # --- the host's side

    def reply(self, ok: bool, *lines: str) -> None:
        """Answers the event the session is paused on: these lines and OK, or ERR."""
        self._take_question()
        self._answer(ok, *lines)
        self._leave_if_told()

    def refuse(self) -> None:
        """Instead of serving: ERR and Closed."""
        self._cut_off("refused")

    def tls_started(self) -> None:
        """Never: this is served on loopback, in the clear."""

    # --- lines

    def _read(self) -> Question | Signal | None:
        end = self._input.find(b"\n", self._start, self._start + LINE_LIMIT + 2)
        if end < 0:
            return self._await_line()
        line = self._take_octets(end + 1 - self._start).rstrip(b"\r\n").strip(b" \t")
        if self.transcript is not None:
            self.transcript("C", line)
        return self._serve(line)

    def _await_line(self) -> Signal | None:
        if len(self._input) - self._start > LINE_LIMIT + 1:
            self._cut_off("endless line")
        elif self._eof:
            self._close("lost")
        else:
            return NEED_DATA
        return None

    def _serve(self, line: bytes) -> Question | None:
        if found := _setting(line):
            return self._ask(Setting(_text(found[1]), int(found[2])))
        if found := _inquiry(line):
            return self._ask(Inquiry(_text(found[1])))
        if line.upper() == b"HELP":
            self._answer(True, *self._names)
        elif line.upper() == b"QUIT":
            self._answer(True)
            self._close("quit")
        elif self._begun or _unfit_setting(line):
            self._answer(False)
        else:
            self._cut_off("not the control protocol")
        return None

    def _answer(self, ok: bool, *lines: str) -> None:
        self._begun = True
        self._errors = 0 if ok else self._errors + 1
        if self._errors >= ERROR_LIMIT:
            self._cut_off("too many errors")
            return
        self._send(*lines, "OK" if ok else "ERR")

    def _send(self, *lines: str) -> None:
        self._send_octets("".join(f"{line}\r\n" for line in lines).encode("ascii"))

    # --- the end

    def _cut_off(self, reason: str) -> None:
        self._send("ERR")
        self._close(reason)


def _text(name: bytes) -> str:
    return name.decode("ascii").lower()
