"""What becomes of a recipient after an attempt: Delivered, TryLater or Never.

`judge` turns the facts that a session tells into outcomes. It is the only place that decides whether mail is
given up: for that the other side must have said 5yz about the mail, or the mail must be such that it can
never go there. Everything else is tried again, unknown errors first of all.

A Reason is an outcome made comparable: whatever the remote's words, the operator reads one of a few dozen
reasons, and what to do about it. Pure: no clock, no store, no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from mta.protocol.client.answers import Answer
from mta.protocol.client.events import Accepted, Failed, Fate, Fault, Refused, Stage

_NOTHING: Final = "nothing to do, it will be tried again"
_THEIRS: Final = "nothing to do here; if it lasts, ask the other side"
_SENDER_TOLD: Final = "nothing to do, the sender is told"
_READ_REPLY: Final = "read their reply (`mta queue show`)"


class Reason(Enum):
    """Why a recipient is not delivered, with advice for the operator."""

    text: str
    """What happened, in plain words."""
    advice: str
    """What the operator can do about it."""

    def __init__(self, text: str, advice: str) -> None:
        self.text = text
        self.advice = advice

    # On our side.
    DISABLED = "relay.enabled is false", "set relay.enabled = true when mail may leave"
    HELD = "held by the operator", "`mta queue release` lets it go"
    GIVEN_UP = "given up by the operator", _SENDER_TOLD
    EXPIRED = "not delivered within relay.expire", _SENDER_TOLD
    INTERRUPTED = "the relay ended during the attempt", _NOTHING
    LOCAL_FAULT = "we could not read or send it", "look into the log for the error of this machine"
    # The way there.
    DNS_SILENT = "their DNS does not answer", _NOTHING
    NO_SUCH_DOMAIN = "the domain does not exist", _SENDER_TOLD
    NULL_MX = "the domain says that it takes no mail", _SENDER_TOLD
    NO_EXCHANGER = "the domain has no host that takes mail", _THEIRS
    LOOPS_BACK = (
        "the domain's mail comes back to us",
        "add it to local.domains or give it a route in relay.routes",
    )
    PRIVATE_TARGET = (
        "the domain's DNS names only private addresses",
        "name their network in relay.private_targets if it is right",
    )
    UNREACHABLE = "no way to their host", "look whether this machine reaches the network; else " + _NOTHING
    CONNECTION_REFUSED = "their host refuses connections", _NOTHING
    CONNECT_TIMED_OUT = (
        "their host does not answer",
        "if no domain is reached, outgoing port 25 may be blocked here; else " + _NOTHING,
    )
    # The session.
    CONNECTION_LOST = "the connection was lost", _NOTHING
    TIMED_OUT = "their host stopped answering", _NOTHING
    POSSIBLE_DUPLICATE = "the connection was lost before they said whether they took it", _NOTHING
    NOT_SMTP = "what answers there does not speak SMTP as it should", _THEIRS
    TLS_MISSING = (
        "TLS is required for them and they do not offer it",
        "ask them, or relax the route in relay.routes",
    )
    TLS_FAILED = "the TLS handshake failed", "look at their certificate; ask them"
    LOGIN_FAILED = "we could not log in", "check the line for this host in relay.credentials"
    HOST_REFUSED = (
        "their host does not want to talk to us",
        _READ_REPLY + "; often our address is on a block list",
    )
    # What they said.
    THROTTLED = "they ask us to slow down", "nothing to do, the pace is lowered"
    GREYLISTED = "they make unknown senders wait", _NOTHING
    TOO_MANY_RECIPIENTS = (
        "they take fewer recipients at once",
        "nothing to do, the others go in the next transaction",
    )
    MAILBOX_FULL = "the mailbox is full", _NOTHING
    NO_SPACE = "their disk is full", _NOTHING
    DEFERRED = "they ask to try again later", _READ_REPLY
    NO_SUCH_USER = "no such mailbox there", _SENDER_TOLD
    SENDER_REFUSED = "they do not take mail from this sender", _READ_REPLY
    BLOCKED = "their policy refuses it", _READ_REPLY + "; often our address is on a block list"
    TOO_BIG = "bigger than they take", _SENDER_TOLD
    CANNOT_CARRY = "their host cannot carry this kind of text or address", _SENDER_TOLD
    BAD_ADDRESS = "the address cannot be written in SMTP", _SENDER_TOLD
    REFUSED = "they refused it", _READ_REPLY

    @property
    def word(self) -> str:
        """As commands and files write it: `no-such-user`."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def of(cls, word: str) -> Reason:
        """The reason of this word. Raises KeyError."""
        return cls[word.upper().replace("-", "_")]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The next host has it, and the duty to deliver it or to say why not."""

    reply: str
    """Theirs, whole, as a log shows it."""
    status: str = "2.0.0"
    """RFC 3463."""


@dataclass(frozen=True, slots=True)
class TryLater:
    reason: Reason
    reply: str = ""
    """Theirs; empty when they said nothing."""
    slow: bool = False
    """The whole domain is to be treated more gently."""
    status: str = "4.0.0"
    detail: str = ""
    """What we saw, where `reply` does not tell."""
    ambiguous: bool = False
    """They may have it all the same: the next attempt may make a duplicate."""


@dataclass(frozen=True, slots=True)
class Never:
    status: str
    """RFC 3463, `5.1.1`."""
    reason: Reason
    reply: str = ""
    detail: str = ""


Outcome: TypeAlias = Delivered | TryLater | Never


def judge(fate: Fate) -> Outcome:
    """The outcome of what a session told about a recipient."""
    match fate:
        case Accepted(reply):
            return Delivered(reply.text, reply.enhanced or "2.0.0")
        case Refused(stage, reply):
            return _refused(stage, reply)
        case Failed():
            return _failed(fate)


def another_host_may_help(fate: Fate) -> bool:
    """Whether the next host of the route may be tried at once: it was this one that failed, not the mail."""
    match fate:
        case Accepted():
            return False
        case Refused(stage, reply):
            return _is_of_host(stage, reply) or reply.code == 421
        case Failed():
            return fate.fault in _OF_CONNECTION and not fate.ambiguous


_OF_HOST: Final = frozenset(Stage) - {Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.TEXT, Stage.END}
"""What is refused here is the connection, whatever mail waited for it."""
_OF_CONNECTION: Final = frozenset(
    {
        Fault.LOST,
        Fault.TIMED_OUT,
        Fault.MALFORMED,
        Fault.OUT_OF_STEP,
        Fault.INJECTED,
        Fault.NO_TLS,
        Fault.TLS_FAILED,
        Fault.NO_LOGIN,
    }
)
_NOT_SO: Final = 530
"""The host wants TLS or a login first, which is for the operator to see to (RFC 3207 4, RFC 4954 6)."""
_NO_MAIL_HERE: Final = (521, 556)
"""The host or the domain takes no mail at all, and says so for good (RFC 7504)."""


# --- what they said


def _refused(stage: Stage, reply: Answer) -> TryLater | Never:
    temporary = reply.kind != 5 or (_is_of_host(stage, reply) and reply.code not in _NO_MAIL_HERE)
    status = _status(stage, reply, "4" if temporary else "5")
    reason = _reason(stage, reply, status)
    if not temporary:
        return Never(status, reason, reply.text)
    return TryLater(reason, reply.text, slow=_asks_for_less(stage, reply), status=status)


def _is_of_host(stage: Stage, reply: Answer) -> bool:
    return stage in _OF_HOST or reply.code == _NOT_SO


def _asks_for_less(stage: Stage, reply: Answer) -> bool:
    """4.7.x is also what TLS and logins fail by (RFC 4954 6)."""
    is_about_us = stage not in (Stage.STARTTLS, Stage.AUTH)
    return reply.code == 421 or (is_about_us and reply.enhanced.startswith("4.7."))


def _status(stage: Stage, reply: Answer, kind: str) -> str:
    """The enhanced code they gave, or else one that says as much as the code does."""
    said = reply.enhanced or _USUAL.get((stage, reply.code)) or _PLAIN.get(reply.code, "x.0.0")
    return kind + said[1:]


_USUAL: Final = {
    (Stage.RCPT, 550): "x.1.1",
    (Stage.RCPT, 551): "x.1.6",
    (Stage.RCPT, 553): "x.1.3",
    (Stage.RCPT, 552): "x.2.2",
    (Stage.MAIL, 553): "x.1.7",
    (Stage.MAIL, 552): "x.3.4",
    (Stage.END, 552): "x.3.4",
}
_PLAIN: Final = {
    421: "x.3.2",
    450: "x.2.0",
    451: "x.3.0",
    452: "x.3.1",
    521: "x.3.2",
    535: "x.7.8",
    556: "x.1.10",
}


def _reason(stage: Stage, reply: Answer, status: str) -> Reason:
    if stage is Stage.AUTH:
        return Reason.LOGIN_FAILED
    if status[0] == "4" and "greylist" in reply.text.lower().replace("gray", "grey"):
        return Reason.GREYLISTED
    if reply.kind == 4 and _asks_for_less(stage, reply):
        return Reason.THROTTLED
    if _is_of_host(stage, reply):
        return Reason.HOST_REFUSED
    known = _REASONS.get(status) or _REASONS.get(status.rpartition(".")[0])
    if known is not None:
        return known
    if status[0] == "4":
        return Reason.DEFERRED
    return Reason.SENDER_REFUSED if stage is Stage.MAIL else Reason.REFUSED


_REASONS: Final = {
    "4.2.2": Reason.MAILBOX_FULL,
    "4.3.1": Reason.NO_SPACE,
    "4.5.3": Reason.TOO_MANY_RECIPIENTS,
    "5.1.1": Reason.NO_SUCH_USER,
    "5.1.6": Reason.NO_SUCH_USER,
    "5.1.7": Reason.SENDER_REFUSED,
    "5.1.8": Reason.SENDER_REFUSED,
    "5.1.10": Reason.NULL_MX,
    "5.2.1": Reason.NO_SUCH_USER,
    "5.2.2": Reason.MAILBOX_FULL,
    "5.2.3": Reason.TOO_BIG,
    "5.3.4": Reason.TOO_BIG,
    "5.6": Reason.CANNOT_CARRY,
    "5.7": Reason.BLOCKED,
}
"""By status, or by its first two parts."""


# --- what came between


def _failed(failed: Failed) -> TryLater | Never:
    detail = f"{failed.fault} at {failed.stage}" + (f": {failed.detail}" if failed.detail else "")
    reply = failed.reply.text if failed.reply else ""
    status, reason = _FAULTS[failed.fault]
    if status[0] == "5":
        return Never(status, reason, reply, detail)
    if failed.ambiguous:
        reason = Reason.POSSIBLE_DUPLICATE
    return TryLater(reason, reply, status=status, detail=detail, ambiguous=failed.ambiguous)


_FAULTS: Final = {
    Fault.LOST: ("4.4.2", Reason.CONNECTION_LOST),
    Fault.TIMED_OUT: ("4.4.2", Reason.TIMED_OUT),
    Fault.MALFORMED: ("4.5.0", Reason.NOT_SMTP),
    Fault.OUT_OF_STEP: ("4.5.0", Reason.NOT_SMTP),
    Fault.INJECTED: ("4.7.5", Reason.NOT_SMTP),
    Fault.NO_TLS: ("4.7.4", Reason.TLS_MISSING),
    Fault.TLS_FAILED: ("4.7.5", Reason.TLS_FAILED),
    Fault.NO_LOGIN: ("4.7.8", Reason.LOGIN_FAILED),
    Fault.ABANDONED: ("4.3.0", Reason.LOCAL_FAULT),
    Fault.TOO_MANY_RECIPIENTS: ("4.5.3", Reason.TOO_MANY_RECIPIENTS),
    Fault.TOO_BIG: ("5.3.4", Reason.TOO_BIG),
    Fault.NO_8BITMIME: ("5.6.3", Reason.CANNOT_CARRY),
    Fault.NO_SMTPUTF8: ("5.6.7", Reason.CANNOT_CARRY),
    Fault.BAD_SENDER: ("5.1.7", Reason.BAD_ADDRESS),
    Fault.BAD_RECIPIENT: ("5.1.3", Reason.BAD_ADDRESS),
}
