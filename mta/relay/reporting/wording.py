"""What a report says in plain words: what happened to the message, and what its sender can do.

Written for people who do not know what SMTP is. The words of the remote server are shown, as quotations.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from email.utils import formatdate
from typing import Final

from mta.relay.outcome import Reason
from mta.relay.reporting.mime import shown
from mta.relay.reporting.told import Action, Told

_WIDTH: Final = 72
_IN_DIGEST: Final = 20
"""Recipients of one message that a digest shows."""
_FARTHEST: Final = 1 << 35
"""Epoch seconds; a date beyond is one of a broken clock, and must not stop a report."""

SUBJECTS: Final = {
    Action.FAILED: "Your message could not be delivered",
    Action.DELAYED: "Your message is delayed",
    Action.EXPANDED: "Your message has been passed on",
    Action.RELAYED: "Your message has been sent on",
    Action.DELIVERED: "Your message has been delivered",
}
_HAPPENED: Final = {
    Action.FAILED: "could not be delivered to",
    Action.DELAYED: "has not been delivered yet to",
    Action.EXPANDED: "has been passed on to the addresses behind",
    Action.RELAYED: "has been handed to a server that does not confirm deliveries, for",
    Action.DELIVERED: "has been delivered to",
}
_FOLLOWS: Final = {
    Action.FAILED: "It will not be tried again. If it is to get there, you have to send it once more.",
    Action.DELAYED: "You need not send it again: this server goes on trying, and tells you if it gives up.",
    Action.EXPANDED: "You hear nothing more, unless one of them cannot be reached.",
    Action.RELAYED: "You hear nothing more, unless that server cannot deliver it.",
    Action.DELIVERED: "This does not mean that anybody has read it.",
}

_PHRASES: Final = {
    Reason.DISABLED: "this server sends nothing on for the time being",
    Reason.HELD: "the operator of this server holds it back",
    Reason.GIVEN_UP: "the operator of this server has given it up",
    Reason.EXPIRED: "it could not be delivered in all the time that it was tried",
    Reason.LOCAL_FAULT: "this server could not read or send it",
    Reason.LOOPS_BACK: "the domain's mail comes back to this server, which does not know it",
    Reason.PRIVATE_TARGET: "the domain names no server that can be reached from here",
    Reason.LOGIN_FAILED: "this server could not log in at the next one",
}
"""Where a reason is put in the operator's words."""

_CHECK_DOMAIN: Final = "Look at the part of the address behind the @: is it spelt right?"
_ASK_POSTMASTER: Final = "Show this report to your postmaster, who can do more about it than you can."
_ADVICE: Final = {
    Reason.NO_SUCH_USER: "Is the address spelt right? If so, ask the person for a new one by other means.",
    Reason.NO_SUCH_DOMAIN: _CHECK_DOMAIN,
    Reason.NULL_MX: _CHECK_DOMAIN,
    Reason.NO_EXCHANGER: _CHECK_DOMAIN,
    Reason.BAD_ADDRESS: "Is the address spelt right?",
    Reason.MAILBOX_FULL: "Its owner has to make room; tell them by other means, and send it again then.",
    Reason.NO_SPACE: "Send it again in a day or two.",
    Reason.TOO_BIG: "Send it in smaller pieces, or put what is large in a place where it can be fetched.",
    Reason.CANNOT_CARRY: "Send it again with plain letters in the addresses and no special characters.",
    Reason.SENDER_REFUSED: _ASK_POSTMASTER,
    Reason.HOST_REFUSED: _ASK_POSTMASTER,
    Reason.BLOCKED: _ASK_POSTMASTER,
    Reason.LOOPS_BACK: _ASK_POSTMASTER,
    Reason.PRIVATE_TARGET: _ASK_POSTMASTER,
    Reason.TLS_MISSING: _ASK_POSTMASTER,
    Reason.TLS_FAILED: _ASK_POSTMASTER,
    Reason.LOGIN_FAILED: _ASK_POSTMASTER,
    Reason.LOCAL_FAULT: _ASK_POSTMASTER,
}
_ANY_ADVICE: Final = "If it is urgent, try to reach them by other means."


def date(seconds: float) -> str:
    """As a header field shows it (RFC 5322 3.3), from epoch seconds."""
    return formatdate(min(max(seconds, 0), _FARTHEST), localtime=True)


def gravest(told: Iterable[Told]) -> Action:
    """What the subject of a report is about."""
    actions = {each.action for each in told}
    return next(action for action in Action if action in actions)


def report_text(hostname: str, arrived: float, told: Sequence[Told], returned: str) -> str:
    """The readable part of a report. `returned` says what of the message is attached; empty: nothing."""
    paragraphs = [_wrapped(f"This is the mail server {hostname}.")]
    for action in Action:
        those = [each for each in told if each.action is action]
        if those:
            paragraphs.append(f"Your message of {date(arrived)}\n{_HAPPENED[action]}:\n")
            paragraphs.extend(map(_of_recipient, those))
            paragraphs.append(_wrapped(_FOLLOWS[action]))
    return "\n".join([*paragraphs, *([_wrapped(returned)] if returned else [])])


def digest_text(hostname: str, told: Sequence[tuple[str, float, Sequence[Told]]]) -> str:
    """The text of a digest: of each message its identifier, its arrival and what there is to tell."""
    opening = (
        f"This is the mail server {hostname}. In the last hour there was more to report to you than fits in"
        " single reports, so here is the rest in one. If you have sent none of these messages, somebody else"
        " has used your address; then there is nothing you need to do."
    )
    return "\n".join([_wrapped(opening), *(_of_message(*each) for each in told)])


def _of_message(identifier: str, arrived: float, told: Sequence[Told]) -> str:
    lines = [_wrapped(f"Message {identifier} of {date(arrived)}")]
    for each in told[:_IN_DIGEST]:
        happened = " ".join(_happened(each))
        lines.append(_wrapped(f"{_HAPPENED[each.action]} <{each.recipient.address}>: {happened}", 2))
    if len(told) > _IN_DIGEST:
        lines.append(_wrapped(f"and {len(told) - _IN_DIGEST} more recipients of it", 2))
    return "".join(lines)


def _of_recipient(told: Told) -> str:
    lines = [f"  <{shown(told.recipient.address)}>\n"]
    lines.extend(_wrapped(sentence, 4) for sentence in (*_happened(told), *_to_do(told)))
    return "".join(lines)


def _happened(told: Told) -> Iterator[str]:
    if told.reason is not None:
        yield _sentence(_PHRASES.get(told.reason, told.reason.text))
    if told.reply:
        yield f"{f'The server {told.host}' if told.host else 'The other server'} said: {told.reply}"
    elif told.detail:
        yield f"What this server saw: {told.detail}"


def _to_do(told: Told) -> Iterator[str]:
    if told.action is Action.DELAYED and told.until is not None:
        yield f"It is tried again until {date(told.until)}."
    if told.action is Action.FAILED:
        if told.status.startswith("4") and told.attempted is not None:
            yield f"It was tried again and again, the last time on {date(told.attempted)}."
        yield _ADVICE.get(told.reason, _ANY_ADVICE) if told.reason else _ANY_ADVICE


def _sentence(phrase: str) -> str:
    return phrase[:1].upper() + phrase[1:] + "."


def _wrapped(text: str, indent: int = 0) -> str:
    """A paragraph, or a line of a list; an address is never broken."""
    blanks = " " * indent
    lines = textwrap.wrap(
        shown(text),
        _WIDTH,
        initial_indent=blanks,
        subsequent_indent=blanks,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines) + "\n"
