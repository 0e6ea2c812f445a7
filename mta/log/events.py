"""What we log: one function for each business event, and no other place that names an event.

The parameters are the fields of the record, in its order, so this file is the catalogue for whoever reads
or searches a log. Common ones: `session` and `id` are identifiers; `peer` is the client's `address:port`;
sizes are octets, `seconds` a duration; octets of strangers may be passed as they came. No function takes a
secret, and command lines are searched for what looks like one before they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from mta.log.log import Log
from mta.log.logfmt import escaped

# the program


def started(log: Log, version: str, listeners: Sequence[str]) -> None:
    """The server takes mail. `listeners`: `smtp=127.0.0.1:2525` and so on."""
    log.write("INFO", "started", version=version, listeners=listeners)


def stopping(log: Log, reason: str) -> None:
    """The server has been asked to end: SIGTERM, SIGINT, or its supervisor is gone."""
    log.write("INFO", "stopping", reason=reason)


def stopped(log: Log) -> None:
    """All commits are finished and all sessions told."""
    log.write("INFO", "stopped")


def child_started(log: Log, role: str, pid: int) -> None:
    log.write("INFO", "child_started", role=role, pid=pid)


def child_died(log: Log, role: str, pid: int, status: str, restart_in: float) -> None:
    """`status`: `exit 1` or `signal SIGKILL`; `restart_in`: seconds until there is a new one."""
    log.write("ERROR", "child_died", role=role, pid=pid, status=status, restart_in=restart_in)


def fault(log: Log, what: str, where: str, error: object) -> None:
    """Something of ours does not work. `what` we were doing, `where` (a path, an address), and the error."""
    log.write("ERROR", "fault", what=what, where=where, error=error)


def few_descriptors(log: Log, needed: int, limit: int) -> None:
    """The limit of open files is too low for limits.connections."""
    log.write("WARNING", "few_descriptors", needed=needed, limit=limit)


def reopened(log: Log) -> None:
    """The log files have been opened anew (SIGUSR1), after a rotation."""
    log.write("INFO", "reopened")


# the configuration


def reloaded(log: Log, key: str, old: str, new: str) -> None:
    """One changed key, as it is written in the file; secrets must arrive here as `***`."""
    log.write("INFO", "reloaded", key=key, old=old, new=new)


def set_live(log: Log, key: str, old: str, new: str, by: str) -> None:
    """A live setting was changed `by` somebody (`control 127.0.0.1:50000`), until the next reload."""
    log.write("INFO", "set", key=key, old=old, new=new, by=by)


def administered(log: Log, session: str, peer: str, login: str, order: str) -> None:
    """An order of the administration protocol was carried out, without its passwords; `login`: by whom."""
    log.write("INFO", "administered", session=session, peer=peer, login=login, order=order)


def restart_needed(log: Log, key: str, old: str, new: str) -> None:
    """A key that has changed in the file and stays as it is until the next start."""
    log.write("WARNING", "restart_needed", key=key, old=old, new=new)


def reload_failed(log: Log, text: str) -> None:
    """Why the running configuration stays: the error message, a record for each of its lines."""
    for line in _aligned(text.splitlines()):
        log.write("ERROR", "reload_failed", text=line)


def certificate_loaded(log: Log, path: str, names: Sequence[str], expires: str) -> None:
    log.write("INFO", "certificate_loaded", path=path, names=names, expires=expires)


def certificate_refused(log: Log, path: str, error: object) -> None:
    """A bad pair; the one in use stays."""
    log.write("ERROR", "certificate_refused", path=path, error=error)


# sessions


def connected(log: Log, session: str, service: str, peer: str) -> None:
    """`service`: the configuration's name for the listener (smtp, submissions ...)."""
    log.record("INFO", "connected", {"session": session, "service": service, "peer": peer})


def refused(log: Log, service: str, peer: str, reply: str | bytes) -> None:
    """Turned away on connecting, with this reply; there was no session."""
    log.record("INFO", "refused", {"service": service, "peer": peer, "reply": reply})


def tls_started(log: Log, session: str, version: str, cipher: str) -> None:
    log.record("INFO", "tls_started", {"session": session, "version": version, "cipher": cipher})


def tls_failed(log: Log, session: str, peer: str, error: object) -> None:
    log.record("INFO", "tls_failed", {"session": session, "peer": peer, "error": error})


def accepted(
    log: Log,
    id: str,  # noqa: A002 - the field is called id in every other place
    session: str,
    peer: str,
    sender: str | bytes,
    recipients: Sequence[str | bytes],
    size: int,
    seconds: float,
    tls: str | None = None,
    login: str | None = None,
    into: Sequence[str] = (),
    via: Sequence[str] = (),
) -> None:
    """A message is durable and is ours now.

    `sender`: the reverse-path, "" for `<>`; `size`: octets as received; `seconds` from MAIL to here; `tls`:
    its version; `into`: a mailbox, or `@domain` for letters, for the first recipients; `via`: the aliases
    that led to some. Recipients that do not fit into one record follow in others, whose event is
    `recipients`."""
    first, *others = _portions(recipients)
    log.record(
        "INFO",
        "accepted",
        {
            "id": id,
            "session": session,
            "peer": peer,
            "sender": sender,
            "recipients": first,
            "size": size,
            "seconds": seconds,
            "tls": tls,
            "login": login,
            "into": into[:_PLACES] or None,
            "via": via[:_PLACES] or None,
        },
    )
    for portion in others:
        log.record("INFO", "recipients", {"id": id, "session": session, "recipients": portion})


def rejected(log: Log, session: str, peer: str, command: bytes, reply: str | bytes) -> None:
    """A command line, or the message itself (`.`), was answered with 4xx or 5xx."""
    log.record(
        "INFO", "rejected", {"session": session, "peer": peer, "command": _concealed(command), "reply": reply}
    )


def logged_in(log: Log, session: str, peer: str, login: str, mechanism: str) -> None:
    """`login`: the account's address; `mechanism`: PLAIN, SCRAM-SHA-256, USER ..."""
    fields = {"session": session, "peer": peer, "login": login, "mechanism": mechanism}
    log.record("INFO", "logged_in", fields)


def login_failed(log: Log, session: str, peer: str, login: str, mechanism: str, reason: str) -> None:
    """`login`: the name that was given, whether there is such a user or not; `reason`: why, which the client
    is not told."""
    fields = {"session": session, "peer": peer, "login": login, "mechanism": mechanism, "reason": reason}
    log.record("WARNING", "login_failed", fields)


def drop_opened(log: Log, session: str, user: str, messages: int, octets: int) -> None:
    """A mailbox was opened by POP3, for this session alone; what it held."""
    log.record(
        "INFO", "drop_opened", {"session": session, "user": user, "messages": messages, "octets": octets}
    )


def drop_updated(log: Log, session: str, removed: int, failed: int) -> None:
    """The messages that a user had marked: so many were removed, so many could not be."""
    log.record("INFO", "drop_updated", {"session": session, "removed": removed, "failed": failed})


def closed(log: Log, session: str, reason: str, seconds: float, messages: int = 0) -> None:
    """The end of a session. `reason`: quit, lost, timeout, shutdown ...; `messages`: accepted or fetched."""
    log.record(
        "INFO", "closed", {"session": session, "reason": reason, "seconds": seconds, "messages": messages}
    )


# the relay


def attempted(
    log: Log,
    event: Literal["delivered", "deferred", "failed"],
    letter: str,
    recipient: str,
    host: str,
    address: str,
    tls: str,
    certificate: str,
    queued: float,
    dns: float,
    connect: float,
    transfer: float,
    reply: str,
    reason: str = "",
    detail: str = "",
) -> None:
    """What an attempt made of one recipient of a letter.

    `host` and `address`, none when none was reached; `tls`: its version; `certificate`: `held`, or what was
    wrong with it. Seconds: since it came, for the look-ups, to connect, for the transaction. `reply`: the
    last one of the other side, whole; `reason`: a word of the catalogue; `detail`: what we saw."""
    fields = {
        "id": letter,
        "recipient": recipient,
        "host": host or None,
        "address": address or None,
        "tls": tls or None,
        "certificate": certificate or None,
        "queued": queued,
        "dns": dns,
        "connect": connect,
        "transfer": transfer,
        "reply": reply or None,
        "reason": reason or None,
        "detail": detail or None,
    }
    log.record("INFO" if event != "failed" else "WARNING", event, fields)


def reported(log: Log, letter: str, recipient: str, about: Sequence[str]) -> None:
    """A report to a sender is stored, as a message of this id; `about`: the messages it tells of."""
    log.record("INFO", "reported", {"id": letter, "recipient": recipient, "about": about})


# the store


def recovered(log: Log, what: str, count: int) -> None:
    """Put in order at the start: links made for accepted messages, leftovers removed ..."""
    log.write("INFO", "recovered", what=what, count=count)


def set_aside(log: Log, path: str, reason: str) -> None:
    """A letter that cannot be used went into `error/`."""
    log.write("ERROR", "set_aside", path=path, reason=reason)


# the transcript: each session line by line, when `log.transcript` is on


def transcript_started(
    log: Log, session: str, protocol: str, peer: str, peer_name: str | None = None
) -> None:
    """`protocol`: the service; `peer_name`: its name in the DNS, where known."""
    if log.transcript:
        _transcribe(log, session, step="started", protocol=protocol, peer=peer, peer_name=peer_name)


def transcript_received(log: Log, session: str, line: bytes) -> None:
    """A line of the client without its line end; of a text only its size, as the session shows it."""
    if log.transcript:
        _transcribe(log, session, received=_concealed(line))


def transcript_sent(log: Log, session: str, line: bytes) -> None:
    """One line of a reply without its line end."""
    if log.transcript:
        _transcribe(log, session, sent=_NEW_PASSWORD.sub(rb"\1***", line))


def transcript_completed(log: Log, session: str, seconds: float) -> None:
    if log.transcript:
        _transcribe(log, session, step="completed", seconds=seconds)


def _transcribe(log: Log, session: str, **fields: object) -> None:
    log.record("DEBUG", "transcript", {"session": session, **fields})


# secrets

_MECHANISM = rb"(?:PLAIN|LOGIN|SCRAM-[A-Z0-9-]+|[A-Z]+-MD5|X?OAUTH[A-Z0-9]+|EXTERNAL)"
_SECRET_ARGUMENT = re.compile(
    rb"(\s*(?:AUTH\s+%b|AUTH(?!\s+%b(?:\s|\Z))|PASS|APOP\s+\S+|ADD_USER\s+\S+|CHANGE_PASSWORD))\s.*"
    % (_MECHANISM, _MECHANISM),
    re.IGNORECASE | re.DOTALL,
)
_NEW_PASSWORD = re.compile(rb"(NEW PASSWORD = ).*", re.DOTALL)
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{4,}={0,2}")
_WORD = re.compile(rb"[A-Z]+|[a-z]+|[A-Z][a-z]+")


def _concealed(line: bytes) -> bytes:
    """A command line fit to be shown.

    Sessions name their secrets themselves; this is for those that come out of turn, from clients that send
    their AUTH answers without waiting and so have them taken for commands."""
    if _BASE64.fullmatch(line) and not _WORD.fullmatch(line):
        return b"***"
    return _SECRET_ARGUMENT.sub(rb"\1 ***", line)


# text


def _octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


_PLACES = 10
"""Places that are named."""
_PORTION = 2000
"""Characters of recipients in one record."""


def _portions(recipients: Sequence[str | bytes]) -> list[list[str | bytes]]:
    portions: list[list[str | bytes]] = [[]]
    room = _PORTION
    for recipient in recipients:
        room -= len(recipient) + 1
        if room < 0 and portions[-1]:
            portions.append([])
            room = _PORTION - len(recipient) - 1
        portions[-1].append(recipient)
    return portions


def _aligned(lines: Sequence[str]) -> Iterator[str]:
    """Lines such that a caret still points to its place in the line above when quotes there are escaped."""
    above = ""
    for line in lines:
        column = line.find("^") if line.lstrip().startswith("^") else 0
        yield " " * (len(escaped(above[:column])) - len(escaped(line[:column]))) + line
        above = line
