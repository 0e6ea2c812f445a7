"""What every session has: octets that came in, octets to go out, a transcript, an end.

The driver's half is public. The session's half takes lines and octets from the front of the input. A
buffer that is empty is not kept, so that ten thousand idle sessions hold nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

Transcript: TypeAlias = Callable[[str, bytes], None]
"""Told "C" or "S", for the client's line or ours, and the line without its end."""

INPUT_BOUND: Final = 65536
"""Octets that may wait for an answer of the host before it should stop reading."""


class Wire:
    __slots__ = ("_deaf", "_eof", "_input", "_output", "_start", "transcript")

    transcript: Transcript | None
    """Who is told each line; None costs nothing. Of the text of a message only its size is told."""

    def __init__(self) -> None:
        self.transcript = None
        self._input = b""
        self._start = 0
        """Where in the input the next octet to be read is."""
        self._output = b""
        self._eof = False
        """The client sends no more."""
        self._deaf = False
        """The session is over."""

    @property
    def phase(self) -> str:
        """Where in its dialogue the session is, for whoever watches."""
        return ""

    @property
    def wants_data(self) -> bool:
        """False while so much input waits for an answer that the host should stop reading."""
        return not self._deaf and len(self._input) - self._start < INPUT_BOUND

    @property
    def has_more(self) -> bool:
        """There is more to say as soon as what was handed out is on its way, without any input."""
        return False

    def receive_data(self, data: bytes) -> None:
        """Takes what the client sent. Never fails; after the end it is thrown away."""
        if not self._deaf:
            self._input = self._input[self._start :] + data if self._input else data
            self._start = 0

    def receive_eof(self) -> None:
        """The client sends no more. What it sent is still served, then comes the end."""
        self._eof = True

    def data_to_send(self) -> bytes:
        """Takes what is to be sent; b"" when nothing is."""
        output, self._output = self._output, b""
        return output

    def _take_line(self, bound: int) -> bytes | None:
        """The next line without its CRLF; None when there is none within `bound` octets."""
        end = self._input.find(b"\r\n", self._start, self._start + bound)
        if end < 0:
            return None
        line = self._input[self._start : end]
        self._read_up_to(end + 2)
        return line

    def _take_octets(self, most: int) -> bytes:
        octets = self._input[self._start : self._start + most]
        self._read_up_to(self._start + len(octets))
        return octets

    def _take_all(self) -> bytes:
        octets = self._input[self._start :]
        self._input = b""
        self._start = 0
        return octets

    def _read_up_to(self, position: int) -> None:
        if position == len(self._input):
            self._input = b""
            position = 0
        self._start = position

    def _send_octets(self, octets: bytes, shown: bytes = b"") -> None:
        """Whole lines. `shown`: what a transcript has instead of them."""
        self._output += octets
        if self.transcript is not None:
            for line in (shown or octets).split(b"\r\n")[:-1]:
                self.transcript("S", line)

    def _go_deaf(self) -> None:
        """What is still in the input is thrown away, and what comes after it."""
        self._take_all()
        self._deaf = True
