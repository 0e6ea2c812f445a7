"""`mta explain`: what the server would do with a message, and why, step by step.

It is a rehearsal: the server's own session and policy are asked, and say what decided. Nothing is sent, and
nothing is changed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mta.cli import tables
from mta.cli.people import Office, work
from mta.config import Settings, Snapshot
from mta.config.load import load
from mta.config.snapshot import shown
from mta.config.units import IPAddress
from mta.daemon.errors import REFUSED
from mta.daemon.local import NoServer, ask
from mta.daemon.reload import Source
from mta.policy import Policy, Step, client_address
from mta.protocol.replies import BAD_LOGIN, BANNED
from mta.relay.routing.explained import explain_route
from mta.server.desk import Client
from mta.server.smtp.rehearsal import Rehearsal
from mta.store import CONFIRMATIONS, Mailbox, Recipient
from mta.users.account import Account
from mta.users.bans import Bans
from mta.users.errors import UnfitName

PORTS: Final = ("smtp", "submission", "submissions", "datagram")
_LIMITS: Final = ("limits.message", "limits.recipients", "limits.connections", "limits.per_client")
_LIMITS_OF_USERS: Final = ("users.messages", "users.recipients")


@dataclass
class Part:
    """One question, and all that there is to say to it."""

    about: str
    steps: list[Step] = field(default_factory=list)
    reply: str = ""
    """Of the server; empty when it says nothing to this."""

    @property
    def is_refused(self) -> bool:
        return self.reply[:1] in ("4", "5")


def run(source: Source, words: Sequence[str]) -> int:
    """Print it. Raises ConfigError or CannotStart."""
    arguments = _parser().parse_args(words)
    snapshot = _in_force(source)

    def act(office: Office, arguments: argparse.Namespace) -> int:
        parts = list(_explain(office, arguments))
        print(_json(parts, snapshot) if arguments.json else "\n".join(_lines(parts, snapshot)))
        return REFUSED if any(part.is_refused for part in parts) else 0

    return work(snapshot.settings, act, arguments, make=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mta explain", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--from", dest="sender", required=True, type=_line, metavar="ADDRESS", help="empty for <>")
    add(
        "--to",
        dest="recipients",
        required=True,
        type=_line,
        action="append",
        metavar="ADDRESS",
        help="repeat it for more",
    )
    add("--ip", required=True, type=_ip, metavar="ADDRESS", help="where the client is")
    add("--login", metavar="USER", help="who has logged in, as name or name@domain")
    add("--port", choices=PORTS, default="smtp", help="which service (default: smtp)")
    add("--size", type=int, default=0, metavar="OCTETS", help="of the message, if it is told in advance")
    add("--json", action="store_true", help="as JSON")
    return parser


def _line(text: str) -> str:
    """What can stand in a command."""
    if not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text[:80]!a} cannot stand in a command")
    return text


def _ip(text: str) -> IPAddress:
    try:
        return client_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]!a} is no address") from error


def _in_force(source: Source) -> Snapshot:
    """The settings of the running server where one answers, else those of the file."""
    snapshot = source.load()
    try:
        answer = ask(snapshot.settings.application.socket, {"request": "config"})
    except NoServer:
        return snapshot
    rows = {row["key"]: row for row in answer["settings"]}
    written = shown(snapshot.settings)
    others = [f"{key}={row['value']}" for key, row in rows.items() if row["value"] != written.get(key)]
    if others:
        snapshot = load(source.file, (*source.overrides, *others))
    origins = {key: row["origin"] for key, row in rows.items()}
    return replace(snapshot, origins={**snapshot.origins, **origins})


# the questions, in the order in which a session would meet them


def _explain(office: Office, arguments: argparse.Namespace) -> Iterator[Part]:
    settings, port = office.settings, arguments.port
    policy = Policy.of(settings)
    first = Part(f"client {arguments.ip} on {port}")
    yield first
    client = Client.of(arguments.ip, 0, port, policy.trusts(arguments.ip, first.steps))
    if not getattr(settings, port).listen:
        first.steps.append(Step("nothing listens there", f"{port}.listen"))
    ban = Bans(office.accounts.bans()).of(arguments.ip, time.time())
    if ban is not None:
        first.steps.append(Step(f"it is banned with {ban.subject}", row=f"ban {ban.subject}"))
        first.reply = BANNED.text
        return
    account = None
    if arguments.login is not None:
        login = Part(f"login {arguments.login}")
        yield login
        visit = Rehearsal(settings, office.accounts, client, None)
        account = _log_in(office, arguments.login, login) if _offers_login(visit, login) else None
        if account is None:
            return
    yield from _rehearse(Rehearsal(settings, office.accounts, client, account), arguments)
    limits = (*_LIMITS, *(_LIMITS_OF_USERS if account else ()))
    values = shown(settings)
    yield Part("limits", [Step(f"{key} is {values[key]}", key) for key in limits])


def _offers_login(visit: Rehearsal, part: Part) -> bool:
    """Whether there is AUTH at all on this port."""
    if visit.offers_login:
        return True
    part.steps.append(Step("nobody can log in there", "smtp.login"))
    part.reply = visit.say(b"AUTH PLAIN")
    return False


def _log_in(office: Office, user: str, part: Part) -> Account | None:
    """The account, if it may log in with the right password."""
    try:
        account = office.accounts.find(*office.key(user))
    except UnfitName:
        account = None
    if account is None:
        part.steps.append(Step("there is no such account", "users.database"))
    elif not account.enabled:
        part.steps.append(Step("it is disabled", row=f"user {account.address}"))
    elif Bans(office.accounts.bans()).of_user(account.address, time.time()) is not None:
        part.steps.append(Step("it is banned", row=f"ban {account.address}"))
    else:
        part.steps.append(Step("it may log in, with its password", row=f"user {account.address}"))
        return account
    part.reply = BAD_LOGIN.text
    return None


def _rehearse(rehearsal: Rehearsal, arguments: argparse.Namespace) -> Iterator[Part]:
    size = f" SIZE={arguments.size}" if arguments.size else ""
    addresses = (arguments.sender, *arguments.recipients)
    utf8 = "" if all(map(str.isascii, addresses)) else " SMTPUTF8"
    sender = _said(rehearsal, f"sender <{arguments.sender}>", f"MAIL FROM:<{arguments.sender}>{size}{utf8}")
    yield sender
    if sender.is_refused:
        return
    for address in arguments.recipients:
        known = len(rehearsal.envelope.recipients)
        part = _said(rehearsal, f"recipient <{address}>", f"RCPT TO:<{address}>")
        for place in rehearsal.envelope.recipients[known:]:
            part.steps += _way(place, rehearsal.rules.settings)
        yield part


def _said(rehearsal: Rehearsal, about: str, command: str) -> Part:
    rehearsal.trace.clear()
    reply = rehearsal.say(command.encode("utf-8", "surrogateescape"))
    return Part(about, list(rehearsal.trace), reply)


def _way(place: Recipient, settings: Settings) -> Iterator[Step]:
    if isinstance(place.way, Mailbox):
        yield Step(f"<{place.address}>: stored in the mailbox {place.way.folder}", "application.maildir.path")
    elif place.way != CONFIRMATIONS:
        yield Step(f"<{place.address}>: a letter for {place.way.name}", "application.maildir.path")
        yield from explain_route(place.way.name, settings)


# what is printed


def _by(step: Step, snapshot: Snapshot) -> str:
    """What decided: a row of a table, or a setting and where it stands."""
    if step.row:
        return step.row
    return f"{step.setting}, {snapshot.origins[step.setting]}" if step.setting else ""


def _lines(parts: Sequence[Part], snapshot: Snapshot) -> Iterator[str]:
    for part in parts:
        yield tables.printable(part.about)
        for step in part.steps:
            by = _by(step, snapshot)
            yield "    " + tables.printable(step.text + (f"  [{by}]" if by else ""))
        if part.reply:
            yield f"    {tables.printable(part.reply)}"


def _json(parts: Sequence[Part], snapshot: Snapshot) -> str:
    return json.dumps({"parts": [_values(part, snapshot) for part in parts]}, indent=2)


def _values(part: Part, snapshot: Snapshot) -> Mapping[str, Any]:
    steps = [
        {
            "text": step.text,
            "setting": step.setting,
            "origin": snapshot.origins[step.setting] if step.setting else "",
            "row": step.row,
        }
        for step in part.steps
    ]
    return {"about": part.about, "steps": steps, "reply": part.reply, "refused": part.is_refused}
