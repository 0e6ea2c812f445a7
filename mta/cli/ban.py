"""`mta ban`: who is not served: addresses and networks when they connect, users when they log in."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Sequence
from typing import Final

from mta.cli import tables
from mta.cli.actions import Actions
from mta.cli.people import Office, work
from mta.cli.words import duration
from mta.daemon.reload import Source
from mta.users.account import Ban

_NUMERIC: Final = re.compile(r"[0-9a-fA-F.:/]*[.:/][0-9a-fA-F.:/]*")
"""What was meant to be an address or a network, even when it is none."""


def run(source: Source, words: Sequence[str]) -> int:
    """Do as the words say. Raises ConfigError or CannotStart."""
    arguments = _parser().parse_args(words)
    return work(source.load().settings, arguments.act, arguments, make=arguments.action == "add")


def _parser() -> argparse.ArgumentParser:
    actions = Actions("ban", __doc__)
    what = "192.0.2.1, 192.0.2.0/24, 2001:db8::/32, or a user"
    add = actions.add("add", "serve somebody no longer", _add)
    add.add_argument("subject", metavar="ADDRESS|NETWORK|USER", help=what)
    add.add_argument("--for", dest="seconds", metavar="TIME", type=duration, help="1h, 7d; else for ever")
    actions.add("list", "show the bans in force", _list)
    actions.add("delete", "serve somebody again", _delete).add_argument(
        "subject", metavar="ADDRESS|NETWORK|USER", help=what
    )
    return actions.parser


def _add(office: Office, arguments: argparse.Namespace) -> int:
    until = None if arguments.seconds is None else time.time() + arguments.seconds
    ban = office.accounts.add_ban(_subject(office, arguments.subject), until)
    print(json.dumps(_values(ban), indent=2) if arguments.json else _line(ban))
    return 0


def _delete(office: Office, arguments: argparse.Namespace) -> int:
    subject = _subject(office, arguments.subject)
    office.accounts.delete_ban(subject)
    told = {"subject": subject, "text": "served again"}
    print(json.dumps(told, indent=2) if arguments.json else f"{subject} is served again")
    return 0


def _list(office: Office, arguments: argparse.Namespace) -> int:
    bans = office.accounts.bans()
    if arguments.json:
        print(json.dumps([_values(each) for each in bans], indent=2))
    else:
        print("\n".join(map(_line, bans)) or "nobody is banned")
    return 0


def _subject(office: Office, text: str) -> str:
    return text if _NUMERIC.fullmatch(text) else "@".join(office.key(text))


def _line(ban: Ban) -> str:
    if ban.until is None:
        return f"{ban.subject} is banned"
    return f"{ban.subject} is banned for another {tables.duration(ban.until - time.time())}"


def _values(ban: Ban) -> dict[str, object]:
    return {"subject": ban.subject, "until": ban.until}
