"""`mta user import` and `mta user export`: many accounts from and to a file."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Iterator
from typing import BinaryIO, Final

from mta.cli import tables
from mta.cli.people import Office
from mta.cli.progress import Progress
from mta.cli.words import domain
from mta.daemon.errors import REFUSED
from mta.users.importing import Import, Outcome
from mta.users.passwd import write
from mta.users.passwords import fault_of, make_secrets

_MOST_TOLD: Final = 20
"""Refused lines that are told one by one."""


def add_import(parser: argparse.ArgumentParser) -> None:
    """Its words."""
    parser.add_argument("file", metavar="FILE", type=_readable, help="lines; - is standard input")
    parser.add_argument(
        "--domain", metavar="DOMAIN", type=domain, help="of names without one; else our first"
    )


def add_export(parser: argparse.ArgumentParser) -> None:
    """Its words."""
    parser.add_argument("--domain", metavar="DOMAIN", type=domain, help="accounts of this domain")


def _readable(text: str) -> BinaryIO:
    """Opened before we become somebody who may not be able to."""
    if text == "-":
        return sys.stdin.buffer
    try:
        return open(text, "rb")
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.strerror}") from error


def export(office: Office, arguments: argparse.Namespace) -> int:
    """Write a passwd-file to standard output."""
    for account, secrets in office.accounts.users_with_secrets(arguments.domain):
        sys.stdout.write(write(account, secrets))
    return 0


def import_(office: Office, arguments: argparse.Namespace) -> int:
    """Add what the file says; 1 when some of it could not be."""
    settings = office.settings
    work = Import(
        office.accounts,
        settings.local.domains,
        arguments.domain or settings.local.domains[0],
        hashed=lambda password: make_secrets(password, scram=settings.users.scram),
        judged=lambda password: fault_of(password, 1),
        limit=settings.limits.users,
    )
    try:
        with arguments.file as file:
            _run(work, _Counted(file))
    finally:
        _tell(work.outcome)
    return REFUSED if work.outcome.refused else 0


def _run(work: Import, lines: _Counted) -> None:
    progress = Progress()
    try:
        for outcome in work.run(lines):
            progress.show(f"{tables.counted(outcome.lines, 'line')}{lines.share()}: {_sum(outcome)}")
    finally:
        progress.end()


def _tell(outcome: Outcome) -> None:
    for number, why in sorted(outcome.refused)[:_MOST_TOLD]:
        print(f"line {number}: {why}", file=sys.stderr)
    more = len(outcome.refused) - _MOST_TOLD
    if more > 0:
        print(f"and {tables.counted(more, 'more line')}", file=sys.stderr)
    print(_sum(outcome))


def _sum(outcome: Outcome) -> str:
    refused = f", {len(outcome.refused)} refused" if outcome.refused else ""
    return f"{tables.counted(outcome.added, 'account')} added{refused}"


class _Counted:
    """The lines of a file, and how much of it has been read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._read = 0
        status = os.fstat(file.fileno())
        self._size = status.st_size if stat.S_ISREG(status.st_mode) else 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._file:
            self._read += len(line)
            yield line

    def share(self) -> str:
        """How much, where that can be known."""
        return f" ({100 * self._read // self._size} %)" if self._size else ""
