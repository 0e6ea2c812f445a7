"""Plays the dialogues of tests/dialogues/management against the receiver, its guard and a database.

    with as=NAME       begin logged in as this user, after the replies to that; `traffic`: after some mail;
                       other names are settings
    C: text            the client sends this line and CRLF; C~ without
    S: text            the server answers this line; `...` stands for any rest
    X: reason          the session is closed, and the log says why

What is not said by the file must not happen.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.protocol.dialogues import Dialogue, dialogues, matches, said
from tests.server.office import Office, Secretary

DIALOGUES = dialogues("management", ("C:", "C~", "S:", "X:"))
_OWN = ("as", "traffic")

TEXT = b"Subject: 40 octets\r\n\r\n" + b"x" * 16 + b"\r\n"


def make_traffic(office: Office) -> None:
    """Three sessions: one that sends, one that leaves, one that stays."""
    office.client().deliver(TEXT, b"bob@example.org")
    for client in (office._clients[0], office.client()):
        client.say(b"QUIT\r\n", b"221")
        client.expect_end()
    office.client()


def expect_silence(client: Secretary) -> None:
    for _ in range(3):
        client.office.loop.turn(2)
    assert not client.has_line()
    assert not client.ended


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d.title)
def test_dialogue(dialogue: Dialogue, tmp_path: Path) -> None:
    settings = dialogue.settings
    office = Office(tmp_path, *(f"{key}={value}" for key, value in settings.items() if key not in _OWN))
    try:
        if "traffic" in settings:
            make_traffic(office)
        play(dialogue, office.secretary(settings.get("as", "")))
    finally:
        office.close()


def play(dialogue: Dialogue, client: Secretary) -> None:
    for kind, text in dialogue.lines:
        if kind in ("C:", "C~"):
            client.send(said(kind, text))
        elif kind == "S:":
            line = client.line()
            assert matches(text, line), f"{line!r} is not {text!r}"
        else:
            client.expect_end()
            client.sock.close()
            assert reason_of_end(client.office) == text
            return
    expect_silence(client)


def reason_of_end(office: Office) -> str:
    """Why the session that began last was closed."""
    session = office.records("connected")[-1].text("session")
    office.until(lambda: any(record.text("session") == session for record in office.records("closed")))
    return office.records("closed")[-1].text("reason")
