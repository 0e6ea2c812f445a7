"""Plays the dialogues of tests/dialogues/smtp: line by line, byte by byte, and all at once where allowed.

How a file is read stands in `dialogues`. Its lines:

    with name=value ...    terms and decisions unlike the usual (host.py); `lockstep`: not all at once
    C: text                the client sends this line and CRLF; escapes \\r \\n \\t \\xHH \\\\ as in Python
    C~ text                the same without CRLF
    S: text                the server answers this line; `...` stands for any rest
    S* code                the server answers a whole reply of this code, whatever it says
    X: reason              the session is closed
    A: from to ... | text  this message has been accepted, text with the same escapes
    R: ret envid           its sender wants these reports (`-` for nothing); then for each recipient
    R: notify orcpt        (all left out: nothing is said of reports)

What is not said by the file must not happen: no other reply, no other message, no other end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_type_hints

import pytest

from mta.protocol import replies
from tests.protocol.dialogues import Dialogue, dialogues, matches, said
from tests.protocol.host import TERMS, Host, Message, login_terms, replies_of

DIALOGUES = dialogues("smtp", ("C:", "C~", "S:", "S*", "X:", "A:", "R:"))
PIPELINED = [dialogue for dialogue in DIALOGUES if "lockstep" not in dialogue.settings]


def host_for(settings: dict[str, str]) -> Host:
    """A host as the `with` lines of a dialogue want it."""
    read: dict[object, Callable[[str], object]] = {bool: lambda value: value == "yes", int: int}
    terms: Any = {
        name: read[kind](settings[name])
        for name, kind in get_type_hints(type(TERMS)).items()
        if name in settings and kind in read
    }
    assert settings.keys() <= {*terms, "data", "final", "lockstep", "login", "tls"}
    if "login" in settings:
        terms["login"] = login_terms(settings["login"])
    return Host(
        replace(TERMS, **terms),
        tls="tls" in settings,
        data=replies.LOCAL_FAULT if "data" in settings else replies.GO_AHEAD,
        final=replies.NO_SPACE if "final" in settings else replies.queued("id"),
    )


def expect(expectations: list[tuple[str, str]], output: bytes) -> None:
    """The output is what the S lines say, all of it."""
    shown = output.decode("ascii")
    for kind, text in expectations:
        if kind == "S*":
            reply = replies_of(output)[0]
            assert reply[:3].decode() == text, shown
            output = output[len(reply) :]
        else:
            line, _, output = output.partition(b"\r\n")
            assert matches(text, line.decode("ascii")), f"{line!r} is not {text!r}"
    assert output == b""


def stored(message: Message) -> str:
    """A message as an A line shows it."""
    text = message.crlf.decode("latin-1").encode("unicode_escape").decode("ascii")
    return " ".join([str(message.sender) or "<>", *map(str, message.recipients), "|", text]).rstrip(" ")


def wishes(message: Message) -> list[str]:
    """A message as its R lines show it."""
    if not any(any(pair) for pair in message.wishes):
        return []
    return [" ".join(word or "-" for word in pair) for pair in message.wishes]


def check_end(dialogue: Dialogue, host: Host) -> None:
    """Exactly the messages and the end that the file names."""
    ends = [text for kind, text in dialogue.lines if kind == "X:"]
    assert ([host.closed] if host.closed else []) == ends
    assert [stored(message) for message in host.accepted] == [t for kind, t in dialogue.lines if kind == "A:"]
    told = [text for kind, text in dialogue.lines if kind == "R:"]
    assert [line for message in host.accepted for line in wishes(message)] == told
    for message in host.accepted:
        assert message.lf == message.crlf.replace(b"\r\n", b"\n")


def play(dialogue: Dialogue, say: Callable[[Host, bytes], bytes]) -> None:
    """In lockstep: what the client says up to the next S line, then what the server answered to it."""
    host = host_for(dialogue.settings)
    output = host.output
    sent = b""
    expectations: list[tuple[str, str]] = []
    for kind, text in dialogue.lines:
        if kind in ("C:", "C~"):
            if expectations:
                expect(expectations, output + say(host, sent))
                sent, output, expectations = b"", b"", []
            sent += said(kind, text)
        elif kind in ("S:", "S*"):
            expectations.append((kind, text))
            if not sent and output:
                expect(expectations, output)
                output, expectations = b"", []
    expect(expectations, output + say(host, sent))
    check_end(dialogue, host)


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d.title)
def test_line_by_line(dialogue: Dialogue) -> None:
    play(dialogue, lambda host, sent: host.say(sent))


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d.title)
def test_byte_by_byte(dialogue: Dialogue) -> None:
    play(dialogue, lambda host, sent: host.say_bytewise(sent))


@pytest.mark.parametrize("dialogue", PIPELINED, ids=lambda d: d.title)
def test_all_at_once(dialogue: Dialogue) -> None:
    host = host_for(dialogue.settings)
    host.say(b"".join(said(kind, text) for kind, text in dialogue.lines if kind[0] == "C"))
    expect([line for line in dialogue.lines if line[0][0] == "S"], host.output)
    check_end(dialogue, host)
