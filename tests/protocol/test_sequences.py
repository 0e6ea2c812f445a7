"""Every sequence of up to three commands, from every state, against a model of the order that knows
nothing of the session's: five facts about a client, and for each command the code they call for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest

from tests.protocol.host import codes, host

COMMANDS = {
    "ehlo": b"EHLO c.example\r\n",
    "ehlo-bad": b"EHLO ;\r\n",
    "helo": b"HELO c.example\r\n",
    "mail": b"MAIL FROM:<a@b.example>\r\n",
    "mail-bad": b"MAIL FROM:<a@>\r\n",
    "rcpt": b"RCPT TO:<user@example.org>\r\n",
    "rcpt-bad": b"RCPT TO:<nobody@example.org>\r\n",
    "data": b"DATA\r\n",
    "bdat": b"BDAT 6\r\nQUIT\r\n",
    "bdat-last": b"BDAT 6 LAST\r\nQUIT\r\n",
    "rset": b"RSET\r\n",
    "noop": b"NOOP\r\n",
    "vrfy": b"VRFY user\r\n",
    "starttls": b"STARTTLS\r\n",
    "quit": b"QUIT\r\n",
    "junk": b"JUNK\r\n",
}
TEXT = b"QUIT\r\n.\r\n"


@dataclass
class Model:
    """`named`: "" before a name was given, else HELO or EHLO. `messages`: accepted so far."""

    named: str = ""
    mail: bool = False
    recipients: int = 0
    chunked: bool = False
    messages: int = 0
    gone: bool = False

    def end(self) -> None:
        self.mail, self.recipients, self.chunked = False, 0, False

    def answer(self, command: str) -> list[int]:
        """The codes of the replies to `command`, a text sent after 354 included."""
        if self.gone:
            return []
        name, _, kind = command.partition("-")
        return getattr(self, name)(kind)  # type: ignore[no-any-return]

    def ehlo(self, kind: str) -> list[int]:
        if kind == "bad":
            return [501]
        self.end()
        self.named = "EHLO"
        return [250]

    def helo(self, _kind: str) -> list[int]:
        self.end()
        self.named = "HELO"
        return [250]

    def mail_(self, kind: str) -> list[int]:
        if not self.named or self.mail:
            return [503]
        if kind == "bad":
            return [501]
        self.mail = True
        return [250]

    def rcpt(self, kind: str) -> list[int]:
        if not self.mail or self.chunked:
            return [503]
        if kind == "bad":
            return [550]
        self.recipients += 1
        return [250]

    def data(self, _kind: str) -> list[int]:
        if not self.recipients or self.chunked:
            return [503]
        self.end()
        self.messages += 1
        return [354, 250]

    def bdat(self, kind: str) -> list[int]:
        if not self.recipients:
            return [503]
        if self.named == "HELO":
            self.end()
            return [503]
        self.chunked = True
        if kind == "last":
            self.end()
            self.messages += 1
        return [250]

    def rset(self, _kind: str) -> list[int]:
        self.end()
        return [250]

    def noop(self, _kind: str) -> list[int]:
        return [250]

    def vrfy(self, _kind: str) -> list[int]:
        return [252]

    def starttls(self, _kind: str) -> list[int]:
        if not self.named or self.mail:
            return [503]
        self.named, self.gone = "", True  # silence until the handshake is done
        return [220]

    def quit(self, _kind: str) -> list[int]:
        self.gone = True
        return [221]

    def junk(self, _kind: str) -> list[int]:
        return [502]


BEGINNINGS = {
    "START": (),
    "INIT": ("ehlo",),
    "INIT after HELO": ("helo",),
    "MAIL_STARTED": ("ehlo", "mail"),
    "RCPT_RECEIVED": ("ehlo", "mail", "rcpt"),
    "RCPT_RECEIVED after HELO": ("helo", "mail", "rcpt"),
    "CHUNKED": ("ehlo", "mail", "rcpt", "bdat"),
}


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=BEGINNINGS)
def test_order(beginning: tuple[str, ...]) -> None:
    for sequence in product(COMMANDS, repeat=3):
        model, town = Model(), host(starttls=True)
        for command in beginning + sequence:
            expected = model.answer("mail_" + command[4:] if command.startswith("mail") else command)
            answer = town.say(COMMANDS[command])
            if answer.startswith(b"354"):
                answer += town.say(TEXT)
            assert codes(answer) == expected, (sequence, command)
        assert len(town.accepted) == model.messages, sequence
