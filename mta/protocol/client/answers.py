"""The replies of a server as its client reads them (RFC 5321 4.2), from somebody who may mean no good.

An Answer is what came, made harmless: printable and short, fit for a log or a report. What is no reply, or
has no end, is Malformed; then nobody knows which command the next octets would answer, so that the only
thing left to do is to close. Where portions of octets begin and end makes no difference to the verdict.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from mta.protocol.replies import printable
from mta.protocol.wire import Wire

LINE_BOUND: Final = 4096
"""Octets of one line with its end. RFC 5321 4.5.3.1.5 allows 512; real servers write more."""
LINES_BOUND: Final = 100
TEXT_BOUND: Final = 4000
"""Characters of a reply that are shown."""

_line = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL).fullmatch
_usual = re.compile(rb"([2-5][0-9][0-9]) ([ -~]{0,400})\r\n").match
"""One line and short, as nearly all replies are: read at once, in a third of the time."""
_enhanced = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?= |$)").match


class Answer(NamedTuple):
    """One reply of the other side. Its code decides, and of that the first digit most."""

    code: int
    lines: tuple[str, ...]
    """Without codes and line ends, printable ASCII, at least one, perhaps empty."""

    @property
    def kind(self) -> int:
        """First digit: 2 done, 3 go on, 4 not now, 5 no."""
        return self.code // 100

    @property
    def enhanced(self) -> str:
        """`5.1.1` and the like (RFC 2034); empty when there is none or it contradicts the code."""
        found = _enhanced(self.lines[0])
        return found[0] if found and found[0].startswith(str(self.kind)) else ""

    @property
    def text(self) -> str:
        """As a log and a report show it: lines parted by a blank and a slash."""
        return f"{self.code} {' / '.join(self.lines)}"[:TEXT_BOUND].rstrip()


class Malformed(Exception):
    """The other side does not speak SMTP; the text says how one can tell."""


class AnswerWire(Wire):
    """A wire whose input is replies."""

    __slots__ = ("_begun", "_code")

    def __init__(self) -> None:
        super().__init__()
        self._begun: list[str] = []
        """Lines of the reply that is not complete."""
        self._code = b""

    @property
    def _has_unread(self) -> bool:
        """The other side has said something that was not looked at: nothing that it must not be taken for a
        reply to may be sent now."""
        return bool(self._input or self._begun)

    def _take_answer(self) -> Answer | None:
        """The next reply; None when it has not come whole. Raises Malformed."""
        if not self._begun and (usual := _usual(self._input, self._start)):
            return self._take_usual(usual)
        while (line := self._take_reply_line()) is not None:
            if self._add(line):
                answer = Answer(int(self._code), tuple(self._begun))
                self._begun = []
                return answer
        return None

    def _take_usual(self, reply: re.Match[bytes]) -> Answer:
        self._read_up_to(reply.end())
        code, text = reply.groups()
        if self.transcript is not None:
            self.transcript("S", b"%b %b" % (code, text))
        return Answer(int(code), (text.decode("ascii"),))

    def _take_reply_line(self) -> bytes | None:
        start = self._start
        end = self._input.find(b"\n", start, start + LINE_BOUND)
        if end < 0:
            if len(self._input) - start >= LINE_BOUND:
                raise Malformed(f"a line of more than {LINE_BOUND} octets")
            return None
        line = self._input[start : end + 1]
        self._read_up_to(end + 1)
        if not line.endswith(b"\r\n"):
            raise Malformed(f"a line that ends in LF alone: {_shown(line)}")
        if self.transcript is not None:
            self.transcript("S", line[:-2])
        return line[:-2]

    def _add(self, line: bytes) -> bool:
        """Whether the reply is complete with this line."""
        found = _line(line)
        if found is None:
            raise Malformed(f"no reply code: {_shown(line)}")
        code, separator, text = found.groups()
        if self._begun and code != self._code:
            raise Malformed(f"two codes in one reply: {_shown(self._code)} and {_shown(code)}")
        if len(self._begun) == LINES_BOUND:
            raise Malformed(f"a reply of more than {LINES_BOUND} lines")
        self._code = code
        self._begun.append(printable((text or b"").decode("utf-8", "backslashreplace")))
        return bool(separator != b"-")


def _shown(octets: bytes) -> str:
    return printable(octets[:80].decode("utf-8", "backslashreplace"))
