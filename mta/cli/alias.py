"""`mta alias`: addresses whose mail goes to others."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from mta.cli import tables
from mta.cli.actions import Actions
from mta.cli.people import Office, work
from mta.cli.words import domain
from mta.daemon.reload import Source
from mta.protocol.address import Address, parse_path
from mta.users.account import CATCH_ALL, Alias
from mta.users.errors import UnfitName
from mta.users.names import fold


def run(source: Source, words: Sequence[str]) -> int:
    """Do as the words say. Raises ConfigError or CannotStart."""
    arguments = _parser().parse_args(words)
    return work(source.load().settings, arguments.act, arguments, make=arguments.action == "add")


def _parser() -> argparse.ArgumentParser:
    actions = Actions("alias", __doc__)
    what = "name@domain, or name at our first domain; *@domain takes what nobody else does"
    add = actions.add("add", "lead an address to others", _add)
    add.add_argument("address", metavar="ADDRESS", help=what)
    add.add_argument("targets", metavar="TARGET", nargs="+", help="an address, here or elsewhere")
    listing = actions.add("list", "show all aliases", _list)
    listing.add_argument("--domain", metavar="DOMAIN", type=domain, help="those of this domain")
    delete = actions.add("delete", "remove an alias, or some of its targets", _delete)
    delete.add_argument("address", metavar="ADDRESS", help=what)
    delete.add_argument("targets", metavar="TARGET", nargs="*", help="all of them when none is said")
    return actions.parser


def _add(office: Office, arguments: argparse.Namespace) -> int:
    key = office.own_key(arguments.address)
    office.accounts.add_alias(*key, [_target(office, each) for each in arguments.targets])
    return _show(office, arguments, *key)


def _delete(office: Office, arguments: argparse.Namespace) -> int:
    key = office.key(arguments.address)
    office.accounts.delete_alias(*key, [_target(office, each) for each in arguments.targets])
    return _show(office, arguments, *key)


def _target(office: Office, text: str) -> str:
    """An address in its canonical form; a name alone is at our first domain. Raises UnfitName."""
    parsed = parse_path(f"<{text}>".encode("utf-8", "surrogateescape"))
    if parsed is None or parsed[1] or not parsed[0].local or parsed[0].local == CATCH_ALL:
        raise UnfitName(f"{text[:80]!a} is no address that mail could go to")
    local, at = parsed[0]
    own = office.settings.local.domains
    at = at or own[0]
    return str(Address(fold(local) if at in own else local, at))


def _show(office: Office, arguments: argparse.Namespace, local: str, at: str) -> int:
    """The alias as it is now."""
    alias = Alias(local, at, office.accounts.targets(local, at))
    if arguments.json:
        print(json.dumps(_values(alias), indent=2))
    else:
        print(_line(alias) if alias.targets else f"{tables.printable(alias.address)}: deleted")
    return 0


def _list(office: Office, arguments: argparse.Namespace) -> int:
    aliases = list(office.accounts.aliases(arguments.domain))
    if arguments.json:
        print(json.dumps([_values(each) for each in aliases], indent=2))
    else:
        print("\n".join(map(_line, aliases)) or "there are no aliases")
    return 0


def _line(alias: Alias) -> str:
    return f"{tables.printable(alias.address)}: {', '.join(map(tables.printable, alias.targets))}"


def _values(alias: Alias) -> dict[str, object]:
    return {"address": alias.address, "targets": list(alias.targets)}
