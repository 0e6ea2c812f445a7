"""Plays a file of SMTP lines to a server, as `mta send` does.

    line by line    a line, its reply, the next line
    DATA            after a 354 its text goes out, a reply comes after the dot that ends it;
                    after anything else the text is left out, since the server would take it for commands
    the end         QUIT, unless the file has said it

What is sent is what the file says, whatever ends its lines; nothing is corrected, so that it shows how a
server takes what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from mta.cli.transport import Lost, Transport

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")

Line = tuple[int, bytes]
"""Its number in the file, from 1, and what it says."""


@dataclass
class Outcome:
    """What came of one file."""

    sent: int = 0
    """Lines."""
    taken: int = 0
    """Messages that the server has taken."""
    refused: int = 0
    """Commands that it has refused."""
    lost: bool = False
    """It did not get to the end."""
    complaints: list[str] = field(default_factory=list)
    """What kept a message from being taken, each with its line in front."""


def lines_of(orders: bytes) -> list[Line]:
    """The lines of a file, ended by CRLF, LF or CR."""
    lines = _LINE_END.split(orders)
    if not lines[-1]:
        lines.pop()
    return list(enumerate(lines, 1))


class Player:
    """One file and one session; `step` is called after every line that was sent."""

    def __init__(self, transport: Transport, step: Callable[[], None] = lambda: None) -> None:
        self.outcome = Outcome()
        self._transport = transport
        self._step = step
        self._number = 0
        """Of the line that is being played."""
        self._refusals: list[str] = []
        """What has been refused since the last message."""
        self._ended = False

    def play(self, orders: bytes) -> Outcome:
        """From the greeting to the end; a server that is lost on the way shows in the outcome."""
        try:
            self._play(iter(lines_of(orders)))
        except Lost as error:
            self.outcome.lost = True
            self._complain(str(error))
        return self.outcome

    def _play(self, lines: Iterator[Line]) -> None:
        self._note(b"the greeting", self._transport.greet())
        while not self._ended:
            self._number, line = next(lines, (self._number, b"QUIT"))
            if line.strip():  # between commands; empty lines of a text are read elsewhere
                self._command(line, lines)

    def _command(self, line: bytes, lines: Iterator[Line]) -> None:
        verb = line.strip().upper()
        code = self._ask(line, line)
        if verb == b"QUIT":
            self._ended = True
        elif verb == b"DATA" and code == 354:
            self._text(lines)
        elif verb == b"DATA":
            self._leave_out(lines)

    def _text(self, lines: Iterator[Line]) -> None:
        for self._number, line in lines:
            if line == b".":
                self._end_text()
                return
            self._transport.tell(line)
            self._sent()
        self._ended = True  # to say QUIT now would put it into the message
        self._complain("the text has no end, a line with only a dot: this message is not sent")

    def _end_text(self) -> None:
        code = self._ask(b".", b"the message")
        if 200 <= code < 300:
            self.outcome.taken += 1
        else:
            self._complain(f"the message was not taken: {self._refusals[-1]}")
        self._refusals.clear()

    def _leave_out(self, lines: Iterator[Line]) -> None:
        *before, refused = self._refusals
        why = f", after {'; '.join(before)}" if before else ""
        self._complain(f"no text is sent, since this was refused: {refused}{why}")
        self._refusals.clear()
        for self._number, line in lines:
            if line == b".":
                return

    # lines and replies

    def _ask(self, line: bytes, what: bytes) -> int:
        """The code of the reply."""
        reply = self._transport.ask(line)
        self._sent()
        return self._note(what, reply)

    def _note(self, what: bytes, reply: bytes) -> int:
        code = int(reply[:3]) if reply[:3].isdigit() else 0
        if not 200 <= code < 400:
            self.outcome.refused += 1
            self._refusals.append(f"{_shown(what)}: {_shown(reply)}")
        if b"421" in [line[:3] for line in reply.split(b"\r\n")] or (what == b"the greeting" and code != 220):
            self._ended = True
            self._complain(f"the server has ended the session: {_shown(reply)}")
        return code

    def _sent(self) -> None:
        self.outcome.sent += 1
        self._step()

    def _complain(self, text: str) -> None:
        self.outcome.complaints.append(f"{self._number}: {text}")


def _shown(octets: bytes) -> str:
    """For people, on one line."""
    text = octets.decode("utf-8", "replace").strip().replace("\r\n", " / ")
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
