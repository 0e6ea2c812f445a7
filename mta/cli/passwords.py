"""New passwords for a command: typed twice, read from standard input, or made up.

Never from an argument, where every user of the machine could read it."""

from __future__ import annotations

import argparse
import sys
from getpass import getpass

from mta.cli.interrupt import orderly
from mta.config import Settings
from mta.daemon.errors import REFUSED, USAGE, CannotStart
from mta.users.passwords import Secrets, fault_of, generate, make_secrets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How the password comes."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--password-stdin", action="store_true", help="the password is the first line of standard input"
    )
    how.add_argument("--generate", action="store_true", help="make a password up, and print it")


def new_password(settings: Settings, arguments: argparse.Namespace, address: str) -> str:
    """The password, fit to be one. Raises CannotStart."""
    if arguments.generate:
        return generate()
    password = _piped() if arguments.password_stdin else _typed(address)
    fault = fault_of(password, settings.users.password_min)
    if fault is not None:
        raise CannotStart(REFUSED, fault)
    return password


def secrets_of(settings: Settings, password: str) -> Secrets:
    """What is kept of it; takes as long as a hash."""
    return make_secrets(password, scram=settings.users.scram)


def _piped() -> str:
    line = sys.stdin.buffer.readline().rstrip(b"\r\n")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CannotStart(REFUSED, "the password is not UTF-8") from error


def _typed(address: str) -> str:
    if not sys.stdin.isatty():
        raise CannotStart(USAGE, "there is no terminal to ask: say --password-stdin or --generate")
    try:
        with orderly():
            password = getpass(f"New password for {address}: ")
            again = getpass("Again: ")
    except EOFError as error:
        raise CannotStart(REFUSED, "no password was given") from error
    if password != again:
        raise CannotStart(REFUSED, "the two are not the same; nothing was changed")
    return password
