"""The words in which `mta story` tells a record: one line of plain English each.

A record whose event is not known here is told by its name and its fields, so nothing is left out. Text of
strangers comes escaped, as the log has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from mta.cli.tables import counted, octets, printable
from mta.log.logfmt import Record

Telling = Callable[[Record], str]


def told(record: Record) -> str:
    """What a record says, without its time."""
    telling = _TELLINGS.get(record.event)
    return telling(record) if telling else _plainly(record)


def _plainly(record: Record) -> str:
    return " ".join([record.event, *(f"{key}={value}" for key, value in record.fields.items())])


def _text(record: Record, key: str, missing: str = "") -> str:
    return printable(record.text(key)) if key in record.fields else missing


def _path(address: str) -> str:
    return f"<{printable(address)}>"


# sessions


def _connected(record: Record) -> str:
    return (
        f"{_text(record, 'peer')} connects ({_text(record, 'service')}), session {_text(record, 'session')}"
    )


def _tls_started(record: Record) -> str:
    return f"goes on under {_text(record, 'version')} ({_text(record, 'cipher')})"


def _logged_in(record: Record) -> str:
    return f"logs in as {_text(record, 'login')} by {_text(record, 'mechanism')}"


def _login_failed(record: Record) -> str:
    who, how = _text(record, "login"), _text(record, "mechanism")
    return f"fails to log in as {who} by {how}: {_text(record, 'reason')}"


def _rejected(record: Record) -> str:
    command = _text(record, "command")
    what = "the message" if command == "." else command
    return f"{what} is refused: {_text(record, 'reply')}"


def _accepted(record: Record) -> str:
    recipients = ", ".join(map(_path, record.list("recipients")))
    size = octets(int(record.fields["size"]))
    by = f", handed in by {_text(record, 'login')}" if "login" in record.fields else ""
    message = f"the message {record.fields['id']} from {_path(record.text('sender'))} to {recipients}"
    return f"{message} is ours: {size}{by}{_places(record)}"


def _places(record: Record) -> str:
    """Where it went: into mailboxes, and among the letters for other domains."""
    into = record.list("into") if "into" in record.fields else []
    mailboxes = [printable(place) for place in into if not place.startswith("@")]
    domains = dict.fromkeys(printable(place[1:]) for place in into if place.startswith("@"))
    told = []
    if mailboxes:
        what = "the mailbox" if len(mailboxes) == 1 else "the mailboxes"
        told.append(f"into {what} {', '.join(mailboxes)}")
    if domains:
        told.append(f"as a letter for {', '.join(domains)}")
    if "via" in record.fields:
        told.append(f"led there by {', '.join(map(_path, record.list('via')))}")
    return f"; {'; '.join(told)}" if told else ""


def _recipients(record: Record) -> str:
    return f"and to {', '.join(map(_path, record.list('recipients')))}"


def _closed(record: Record) -> str:
    messages = counted(int(record.fields.get("messages", "0")), "message")
    return f"the session ends ({_text(record, 'reason')}) after {record.fields['seconds']} s and {messages}"


def _drop_opened(record: Record) -> str:
    messages = counted(int(record.fields["messages"]), "message")
    return f"opens the mailbox of {_text(record, 'user')}: {messages}, {octets(int(record.fields['octets']))}"


def _drop_updated(record: Record) -> str:
    failed = f", {record.fields['failed']} could not be" if record.fields["failed"] != "0" else ""
    return f"{counted(int(record.fields['removed']), 'message')} removed{failed}"


# the way out


def _where(record: Record) -> Iterator[str]:
    if "host" in record.fields:
        yield f"at {_text(record, 'host')} [{_text(record, 'address', 'no address')}]"
    if "tls" in record.fields:
        yield f"under {_text(record, 'tls')}, certificate {_text(record, 'certificate')}"


def _words(record: Record) -> str:
    said = [f'they said "{_text(record, "reply")}"'] if "reply" in record.fields else []
    seen = [_text(record, key) for key in ("reason", "detail") if key in record.fields]
    return "; ".join([*seen, *said]) or "no reason was given"


def _attempt(what: str) -> Telling:
    def telling(record: Record) -> str:
        place = ", ".join(_where(record))
        return f"{_path(record.text('recipient'))} {what}{f' {place}' if place else ''}: {_words(record)}"

    return telling


def _reported(record: Record) -> str:
    return f"a report goes to {_path(record.text('recipient'))} as the message {record.fields['id']}"


def _transcript(record: Record) -> str:
    if "received" in record.fields:
        return f"  C: {_text(record, 'received')}"
    if "sent" in record.fields:
        return f"  S: {_text(record, 'sent')}"
    return f"  -- transcript {_text(record, 'step')}"


_TELLINGS: Final[dict[str, Telling]] = {
    "connected": _connected,
    "tls_started": _tls_started,
    "logged_in": _logged_in,
    "login_failed": _login_failed,
    "rejected": _rejected,
    "accepted": _accepted,
    "recipients": _recipients,
    "closed": _closed,
    "drop_opened": _drop_opened,
    "drop_updated": _drop_updated,
    "delivered": _attempt("delivered"),
    "deferred": _attempt("waits"),
    "failed": _attempt("refused for good"),
    "reported": _reported,
    "transcript": _transcript,
}
