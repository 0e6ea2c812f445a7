"""`mta user`: who has an account here."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any, Final

from mta.cli import mailbox, passwords, tables, transfer
from mta.cli.actions import Actions
from mta.cli.people import Act, Office, work
from mta.cli.words import count, domain, size
from mta.daemon.errors import TEMPORARY, CannotStart
from mta.daemon.reload import Source
from mta.users.account import Account, Role

_HEAD: Final = ("address", "role", "state", "quota", "mailbox")


def run(source: Source, words: Sequence[str]) -> int:
    """Do as the words say. Raises ConfigError or CannotStart."""
    arguments = _parser().parse_args(words)
    return work(source.load().settings, arguments.act, arguments, make=arguments.action in ("add", "import"))


def _parser() -> argparse.ArgumentParser:
    actions = Actions("user", __doc__)

    def of_one(name: str, what: str, act: Act) -> argparse.ArgumentParser:
        made = actions.add(name, what, act)
        made.add_argument("address", metavar="ADDRESS", help="name@domain, or name at our first domain")
        return made

    roles = [role.value for role in Role]
    add = of_one("add", "make an account", _add)
    add.add_argument("--role", choices=roles, default=Role.USER.value)
    passwords.add_arguments(add)
    listing = actions.add("list", "show all accounts", _list)
    listing.add_argument("--domain", metavar="DOMAIN", type=domain, help="those of this domain")
    of_one("show", "show an account, and how full its mailbox is", _show)
    passwords.add_arguments(of_one("passwd", "give an account a new password", _passwd))
    of_one("disable", "let nobody log in to an account, and take no mail for it", _disable)
    of_one("enable", "undo disable", _enable)
    delete = of_one("delete", "remove an account; its mail stays", _delete)
    delete.add_argument("--purge", action="store_true", help="remove its mail too")
    of_one("role", "change what an account may do", _role).add_argument("role", choices=roles)
    quota = of_one("quota", "bound what a mailbox may hold", _quota)
    quota.add_argument("octets", metavar="SIZE", type=size, help='such as 1GB, or "none"')
    quota.add_argument("messages", metavar="MESSAGES", type=count, nargs="?", default=0)
    transfer.add_import(actions.add("import", "make accounts from a file", transfer.import_, json=False))
    what = "write accounts and their hashes, for import"
    transfer.add_export(actions.add("export", what, transfer.export, json=False))
    return actions.parser


# one account


def _add(office: Office, arguments: argparse.Namespace) -> int:
    settings, key = office.settings, office.own_key(arguments.address)
    password = passwords.new_password(settings, arguments, "@".join(key))
    account = office.accounts.add(
        *key,
        passwords.secrets_of(settings, password),
        role=Role(arguments.role),
        limit=settings.limits.users,
    )
    found = mailbox.exists(settings.application.maildir.path, account.folder)
    text = f"added, with the mail that is in {account.folder} already" if found else "added"
    return _done(arguments, account, text, password if arguments.generate else "")


def _passwd(office: Office, arguments: argparse.Namespace) -> int:
    account = office.account(arguments.address)
    password = passwords.new_password(office.settings, arguments, account.address)
    office.accounts.set_secrets(account.id, passwords.secrets_of(office.settings, password))
    return _done(arguments, account, "the password is changed", password if arguments.generate else "")


def _disable(office: Office, arguments: argparse.Namespace) -> int:
    account = office.account(arguments.address)
    office.accounts.set_enabled(account.id, False)
    return _done(arguments, account, "disabled")


def _enable(office: Office, arguments: argparse.Namespace) -> int:
    account = office.account(arguments.address)
    office.accounts.set_enabled(account.id, True)
    return _done(arguments, account, "enabled")


def _role(office: Office, arguments: argparse.Namespace) -> int:
    account = office.account(arguments.address)
    office.accounts.set_role(account.id, Role(arguments.role))
    return _done(arguments, account, arguments.role)


def _quota(office: Office, arguments: argparse.Namespace) -> int:
    account = office.account(arguments.address)
    office.accounts.set_quota(account.id, arguments.octets, arguments.messages)
    return _done(arguments, account, f"quota {_bounds(arguments.octets, arguments.messages) or 'none'}")


def _delete(office: Office, arguments: argparse.Namespace) -> int:
    account = office.account(arguments.address)
    if arguments.purge:
        _purge(office, account)
    office.accounts.delete(account.id)
    return _done(arguments, account, "deleted, and its mail too" if arguments.purge else "deleted")


def _purge(office: Office, account: Account) -> None:
    """First nobody may put or find anything there any more; should the rest fail, it can be done again."""
    office.accounts.set_enabled(account.id, False)
    try:
        mailbox.purge(office.settings.application.maildir.path, account.folder)
    except OSError as error:
        why = f"{account.folder} cannot be removed: {error.strerror or error}"
        raise CannotStart(TEMPORARY, f"{why}; {account.address} is disabled, try again") from error


def _done(arguments: argparse.Namespace, account: Account, text: str, password: str = "") -> int:
    if arguments.json:
        told = {"address": account.address, "text": text}
        print(json.dumps({**told, "password": password} if password else told, indent=2))
        return 0
    print(f"{account.address}: {text}")
    if password:
        print(f"password: {password}")
    return 0


# to look at


def _list(office: Office, arguments: argparse.Namespace) -> int:
    accounts = list(office.accounts.users(arguments.domain))
    if arguments.json:
        print(json.dumps([_values(each) for each in accounts], indent=2))
    else:
        print(
            "\n".join(tables.columns(_HEAD, map(_cells, accounts))) if accounts else "there are no accounts"
        )
    return 0


def _show(office: Office, arguments: argparse.Namespace) -> int:
    account = office.account(arguments.address)
    try:
        used = mailbox.used(office.settings.application.maildir.path, account.folder)
    except OSError as error:
        raise CannotStart(TEMPORARY, f"{account.folder} cannot be read: {error.strerror or error}") from error
    aliases = office.accounts.aliases_of(account)
    if arguments.json:
        held = {"octets": used.octets, "messages": used.messages, "aliases": aliases}
        print(json.dumps({**_values(account), **held}, indent=2))
        return 0
    holds = f"{tables.octets(used.octets)} in {tables.counted(used.messages, 'message')}"
    print(f"{account.address}: {account.role}, {_state(account)}")
    print(f"    mailbox {account.folder}: {holds}")
    print(f"    quota: {_bounds(account.quota_octets, account.quota_messages) or 'none'}")
    print(f"    aliases that lead here alone: {', '.join(aliases) or 'none'}")
    return 0


def _values(account: Account) -> dict[str, Any]:
    return {
        "address": account.address,
        "role": account.role.value,
        "enabled": account.enabled,
        "quota_octets": account.quota_octets or None,
        "quota_messages": account.quota_messages or None,
        "folder": account.folder,
    }


def _cells(account: Account) -> tuple[str, ...]:
    quota = _bounds(account.quota_octets, account.quota_messages) or "-"
    return account.address, account.role.value, _state(account), quota, account.folder


def _state(account: Account) -> str:
    return "enabled" if account.enabled else "disabled"


def _bounds(octets: int, messages: int) -> str:
    """Empty for no bounds at all."""
    bounds = (
        tables.octets(octets) if octets else "",
        tables.counted(messages, "message") if messages else "",
    )
    return ", ".join(filter(None, bounds))
