"""One mail at one server: the commands of its envelope, and the fate of each recipient.

What the server cannot take by its own words (RFC 1870, RFC 6152, RFC 6531) is known before a command is
sent, and decides fates at once. This is also the one gate for arguments: what is written into a command was
parsed as an address or matched as a parameter before, so that no CR, LF, NUL, blank or bracket in an
envelope can become a second argument or a second command.
"""

from __future__ import annotations

from collections.abc import Iterator

from mta.protocol.address import parse_path
from mta.protocol.client.answers import Answer
from mta.protocol.client.dialogue import Command
from mta.protocol.client.events import Failed, Fate, Fault, Forward, Mail, Refused, Stage
from mta.protocol.client.features import Features
from mta.protocol.smtp.parameters import ENVID, NOTIFY, ORCPT, RET, Parameter, original_recipient


class Unsendable(Exception):
    """Raised before anything is sent: there is no command for this mail or this recipient."""

    def __init__(self, stage: Stage, fault: Fault, detail: str = "") -> None:
        super().__init__(fault.value)
        self.failed = Failed(stage, fault, detail)


class Transaction:
    """The fates of one mail, and what the server remembers of it."""

    __slots__ = ("_features", "_mail", "_utf8", "accepted", "begun", "fates", "told", "undecided")

    def __init__(self, mail: Mail, features: Features) -> None:
        self._mail = mail
        self._features = features
        self._utf8 = features.smtputf8
        self.fates: list[Fate | None] = [None] * len(mail.recipients)
        self.undecided = len(mail.recipients)
        self.accepted = 0
        """Recipients accepted at RCPT."""
        self.begun = False
        """MAIL was accepted, and no reply has ended the transaction since."""
        self.told = False

    @property
    def is_void(self) -> bool:
        """All fates are decided: there is nobody left to send for."""
        return self.undecided == 0

    # --- fates

    def decide(self, recipient: int, fate: Fate) -> None:
        """The first decision stays."""
        if self.fates[recipient] is None:
            self.fates[recipient] = fate
            self.undecided -= 1

    def decide_rest(self, fate: Fate) -> None:
        """The fate of all that have none yet."""
        for recipient in range(len(self.fates)):
            self.decide(recipient, fate)

    def refuse(self, recipient: int, reply: Answer) -> None:
        """RCPT was refused. With recipients accepted before, 452 and 552 mean that there are enough of them
        (RFC 5321 4.5.3.1.10), unless the enhanced code means something else: the rest goes later."""
        enough = reply.code in (452, 552) and reply.enhanced[1:] in ("", ".5.3")
        if enough and self.accepted:
            self.decide(recipient, Failed(Stage.RCPT, Fault.TOO_MANY_RECIPIENTS, reply=reply))
        else:
            self.decide(recipient, Refused(Stage.RCPT, reply))

    # --- commands

    def commands(self) -> list[Command]:
        """MAIL, and RCPT for all that can be sent; the others' fates are decided."""
        try:
            recipients = list(self._recipients())
            return [self._begin(recipients), *recipients] if recipients else []
        except Unsendable as unsendable:
            self.decide_rest(unsendable.failed)
            return []

    def _begin(self, recipients: list[Command]) -> Command:
        path = self._reverse_path()
        utf8 = not (path.isascii() and all(command.octets.isascii() for command in recipients))
        words = " ".join([f"MAIL FROM:<{path}>", *self._parameters(utf8)])
        return Command(Stage.MAIL, words.encode("utf-8") + b"\r\n")

    def _reverse_path(self) -> str:
        sender = self._mail.sender
        path = _written(sender) if sender else ""
        if path is None:
            raise Unsendable(Stage.MAIL, Fault.BAD_SENDER, ascii(sender))
        if not (path.isascii() or self._utf8):
            raise Unsendable(Stage.MAIL, Fault.NO_SMTPUTF8, path)
        return path

    def _parameters(self, utf8: bool) -> Iterator[str]:
        mail, features = self._mail, self._features
        if features.size is not None:
            if features.size and mail.size > features.size:
                raise Unsendable(Stage.MAIL, Fault.TOO_BIG, f"{mail.size} octets, they take {features.size}")
            yield f"SIZE={mail.size}"
        utf8 = utf8 or mail.smtputf8
        if utf8 and not self._utf8:
            raise Unsendable(Stage.MAIL, Fault.NO_SMTPUTF8)
        if mail.eightbit:
            if not features.eightbit:
                raise Unsendable(Stage.MAIL, Fault.NO_8BITMIME)
            yield "BODY=8BITMIME"
        if utf8:
            yield "SMTPUTF8"
        yield from self._report_parameters()

    def _report_parameters(self) -> Iterator[str]:
        """RFC 3461 4.3, 4.4."""
        words = _words((RET, self._mail.ret), (ENVID, self._mail.envid))
        if words is None:
            raise Unsendable(Stage.MAIL, Fault.BAD_SENDER, ascii(f"{self._mail.ret} {self._mail.envid}"))
        return iter(words if self._features.dsn else ())

    def _recipients(self) -> Iterator[Command]:
        for index, forward in enumerate(self._mail.recipients):
            try:
                line = self._recipient(forward)
            except Unsendable as unsendable:
                self.decide(index, unsendable.failed)
            else:
                yield Command(Stage.RCPT, line.encode("utf-8") + b"\r\n", index)

    def _recipient(self, forward: Forward) -> str:
        path = _written(forward.address)
        if path is None:
            raise Unsendable(Stage.RCPT, Fault.BAD_RECIPIENT, ascii(forward.address))
        if not (path.isascii() or self._utf8):
            raise Unsendable(Stage.RCPT, Fault.NO_SMTPUTF8, path)
        words = _words((NOTIFY, forward.notify), (ORCPT, forward.orcpt or _first_address(forward)))
        if words is None:
            raise Unsendable(Stage.RCPT, Fault.BAD_RECIPIENT, ascii(f"{forward.notify} {forward.orcpt}"))
        return " ".join([f"RCPT TO:<{path}>", *(words if self._features.dsn else ())])


def _first_address(forward: Forward) -> str:
    """Reports name the address that we were given, whatever others make of it (RFC 3461 5.2.1)."""
    return original_recipient(forward.address) if forward.notify else ""


def _words(*parameters: tuple[Parameter, str]) -> list[str] | None:
    """Those that are given, as they are written; None when one cannot be written."""
    given = [(parameter, value) for parameter, value in parameters if value]
    if not all(value.isascii() and parameter.allows(value.encode("ascii")) for parameter, value in given):
        return None
    return [f"{parameter.name.decode('ascii')}={value}" for parameter, value in given]


def _written(address: str) -> str | None:
    """The address as it stands between the brackets of a path; None when it is none."""
    try:
        octets = address.encode("utf-8")
    except UnicodeEncodeError:
        return None
    parsed = parse_path(b"<%b>" % octets)
    if parsed is None:
        return None
    path, rest = parsed
    return str(path) if path.domain and not rest else None
