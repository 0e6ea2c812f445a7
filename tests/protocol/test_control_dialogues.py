"""Plays the dialogues of tests/dialogues/control: line by line, byte by byte, and all at once.

How a file is read stands in `dialogues`. Its lines:

    with fill=n            the first line of the client is followed by so many zeros
    C: text                the client sends this line and CRLF; escapes \\r \\n \\t \\xHH \\\\
    C~ text                the same without CRLF
    S: text                the server answers this line
    S> text                the server answers any lines, up to this one
    X: reason              the session is closed
    V: name=value ...      these settings were put into force, in this order

What is not said by the file must not happen.
"""

from __future__ import annotations

import pytest

from mta.protocol.control import ControlSession, Inquiry, Question, Setting
from mta.protocol.events import NEED_DATA, PAUSED, Closed
from tests.protocol.dialogues import Dialogue, dialogues, said

DIALOGUES = dialogues("control", ("C:", "C~", "S:", "S>", "X:", "V:"))
RANGES = {"logger": range(-(10**9), 10**9), "limits.connections": range(5, 11), "application.debug": range(2)}


class Host:
    """Drives one session; limits.connections is 10, and what is in range is put into force."""

    def __init__(self) -> None:
        self.session = ControlSession(tuple(RANGES))
        self.closed: str | None = None
        self.done: list[str] = []

    def say(self, octets: bytes) -> bytes:
        self.session.receive_data(octets)
        while (event := self.session.next_event()) not in (NEED_DATA, PAUSED):
            if isinstance(event, Closed):
                self.closed = event.reason
                break
            self._answer(event)
        return self.session.data_to_send()

    def _answer(self, event: Question) -> None:
        if isinstance(event, Inquiry):
            found = event.name in RANGES
            self.session.reply(found, *([f"{event.name}=10"] if found else []))
        else:
            assert isinstance(event, Setting)
            fits = event.value in RANGES.get(event.name, ())
            if fits:
                self.done.append(f"{event.name}={event.value}")
            self.session.reply(fits)


def sent(dialogue: Dialogue) -> bytes:
    (kind, text), *rest = [line for line in dialogue.lines if line[0][0] == "C"]
    first = (kind, text + "0" * int(dialogue.settings.get("fill", 0)))
    return b"".join(said(*line) for line in (first, *rest))


def check(dialogue: Dialogue, host: Host, output: bytes) -> None:
    lines = output.decode("ascii").split("\r\n")
    assert lines.pop() == ""
    for kind, text in dialogue.lines:
        if kind == "S:":
            assert lines.pop(0) == text
        elif kind == "S>":
            del lines[: lines.index(text) + 1]
    assert lines == []
    assert ([host.closed] if host.closed else []) == [text for kind, text in dialogue.lines if kind == "X:"]
    assert host.done == " ".join(text for kind, text in dialogue.lines if kind == "V:").split()


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d.title)
def test_all_at_once(dialogue: Dialogue) -> None:
    host = Host()
    check(dialogue, host, host.say(sent(dialogue)))


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d.title)
def test_byte_by_byte(dialogue: Dialogue) -> None:
    host = Host()
    octets = sent(dialogue)
    check(dialogue, host, b"".join(host.say(octets[i : i + 1]) for i in range(len(octets))))


def asked() -> ControlSession:
    """A session that waits for the answer to a setting."""
    session = ControlSession(())
    session.receive_data(b"logger=0\r\nquit\r\n")
    assert session.next_event() == Setting("logger", 0)
    assert session.next_event() is PAUSED
    return session


def test_pipelined_lines_wait_for_the_answer() -> None:
    session = asked()
    assert session.data_to_send() == b""
    session.reply(True)
    assert session.next_event() == Closed("quit")
    assert session.data_to_send() == b"OK\r\nOK\r\n"


@pytest.mark.parametrize(("end", "reason"), [("time_out", "timeout"), ("shut_down", "shutdown")])
def test_an_end_lets_the_answer_go_first(end: str, reason: str) -> None:
    session = asked()
    getattr(session, end)()
    assert session.next_event() is PAUSED
    session.reply(True)
    assert session.next_event() == Closed(reason)
    assert session.data_to_send() == b"OK\r\n"


def test_who_leaves_after_a_setting_is_still_answered() -> None:
    session = ControlSession(())
    session.receive_data(b"logger=0\n")
    session.receive_eof()
    assert session.next_event() == Setting("logger", 0)
    session.reply(True)
    assert session.next_event() == Closed("lost")
    assert session.data_to_send() == b"OK\r\n"


def test_nobody_is_answered_who_has_not_asked() -> None:
    with pytest.raises(RuntimeError):
        ControlSession(()).reply(True)


def test_the_transcript_has_both_sides() -> None:
    lines: list[tuple[str, bytes]] = []
    host = Host()
    host.session.transcript = lambda direction, line: lines.append((direction, line))
    host.say(b"GET limits.connections\r\n")
    assert lines == [("C", b"GET limits.connections"), ("S", b"limits.connections=10"), ("S", b"OK")]
