"""Plays the dialogues of tests/dialogues/pop3: line by line, byte by byte, and all at once where allowed.

How a file is read stands in `dialogues`. Its lines:

    with name=value ...    terms and decisions unlike the usual (pop3_host.py); `lockstep`: not all at once
    C: text                the client sends this line and CRLF; escapes \\r \\n \\t \\s (a blank) \\xHH \\\\
    C~ text                the same without CRLF
    S: text                the server answers this line; `...` stands for any rest
    S+  S-                 the server answers any +OK, any -ERR
    S> text                the server answers any lines, up to this one
    X: reason              the session is closed
    D: numbers             QUIT has removed these messages, or none

What is not said by the file must not happen: no other reply, no other end, nothing else removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mta.protocol.pop3 import replies
from tests.protocol.dialogues import Dialogue, dialogues, matches, said
from tests.protocol.pop3_host import TERMS, Pop3Host

DIALOGUES = dialogues("pop3", ("C:", "C~", "S:", "S+", "S-", "S>", "X:", "D:"))
PIPELINED = [dialogue for dialogue in DIALOGUES if "lockstep" not in dialogue.settings]


def host_for(settings: dict[str, str]) -> Pop3Host:
    """A host as the `with` lines of a dialogue want it."""
    assert settings.keys() <= {"lockstep", "clear", "scram", "starttls", "update", "vanished", "errors"}
    login = replace(TERMS.login, in_clear=settings.get("clear") != "no", scram="scram" in settings)
    terms = replace(
        TERMS,
        login=login,
        starttls="starttls" in settings,
        error_limit=int(settings.get("errors", TERMS.error_limit)),
    )
    return Pop3Host(
        terms,
        update=replies.NOT_ALL_REMOVED if "update" in settings else replies.BYE,
        vanished=[int(settings["vanished"]) - 1] if "vanished" in settings else [],
    )


def expect(expectations: list[tuple[str, str]], output: bytes) -> None:
    """The output is what the S lines say, all of it."""
    lines = output.decode("utf-8").split("\r\n")
    assert lines.pop() == "", "a line without its end"
    for kind, text in expectations:
        assert lines, f"{text!r} is not said"
        line = lines.pop(0)
        if kind == "S>":
            while line != text:
                line = lines.pop(0)
        else:
            wanted = {"S+": "+OK...", "S-": "-ERR ..."}.get(kind, text)
            assert matches(wanted, line), f"{line!r} is not {wanted!r}"
        assert len(line) <= 510
    assert lines == []


def check_end(dialogue: Dialogue, host: Pop3Host) -> None:
    """Exactly the end and the removals that the file names."""
    assert ([host.closed] if host.closed else []) == [text for kind, text in dialogue.lines if kind == "X:"]
    removed = [] if host.removed is None else [" ".join(str(each + 1) for each in host.removed)]
    assert removed == [text for kind, text in dialogue.lines if kind == "D:"]


def play(dialogue: Dialogue, say: Callable[[Pop3Host, bytes], bytes]) -> None:
    """In lockstep: what the client says up to the next S line, then what the server answered to it."""
    host = host_for(dialogue.settings)
    output, sent = host.output, b""
    expectations: list[tuple[str, str]] = []
    for kind, text in dialogue.lines:
        if kind[0] == "C":
            if expectations:
                expect(expectations, output + say(host, sent))
                sent, output, expectations = b"", b"", []
            sent += said(kind, text)
        elif kind[0] == "S":
            expectations.append((kind, text))
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
