"""`mta admin`: one command of the administration protocol, and every line of the server's replies."""

from __future__ import annotations

import argparse
import getpass
import socket
import ssl
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from mta.cli import place
from mta.cli.interrupt import orderly
from mta.daemon.errors import REFUSED, TEMPORARY, CannotStart
from mta.daemon.reload import Source
from mta.protocol.management.session import GOODBYE
from mta.protocol.management.verbs import LONGEST_PAUSE, VERBS

VERSION: Final = "1.0"
"""Of the protocol."""

_ALIASES: Final = {"MAX_CONNECTIONS": "MAX_CONNEC"}
_PATIENCE: Final = LONGEST_PAUSE + 60.0
"""Seconds for a reply: TIMEOUT takes its time."""
_CONNECTING: Final = 30.0
_USAGE: Final = (
    "mta admin [-i HOST] [-P PORT] [--tls [--ca FILE]] VERSION USER PASSWORD -COMMAND [ARGUMENT ...]"
)


def run(source: Source, words: Sequence[str]) -> int:
    """Say one command. Raises ConfigError or CannotStart."""
    if "-HELP" in [word.upper() for word in words]:
        print("\n".join(_commands()))
        return 0
    parser = _parser()
    arguments = parser.parse_args(words)
    lines = _lines(parser, arguments)
    where = place.place_of(source, "management", arguments.host, arguments.port)
    with _connected(where, _context(parser, arguments)) as sock:
        return Dialogue(sock).hold(*lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mta admin",
        usage=_USAGE,
        description=__doc__,
        epilog="The commands (-HELP shows these alone):\n" + "\n".join(f"  {each}" for each in _commands()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    place.add_arguments(parser)
    add = parser.add_argument
    add("--tls", action="store_true", help="speak TLS, as a server outside this machine does")
    add("--ca", metavar="FILE", type=Path, help="trust these certificates only (PEM)")
    add("version", metavar="VERSION", choices=(VERSION,), help=f"of the protocol: {VERSION}")
    add("user", metavar="USER")
    add("password", metavar="PASSWORD", help="-: asked for, or the first line of standard input")
    add("command", metavar="-COMMAND [ARGUMENT ...]", nargs=argparse.REMAINDER)
    return parser


def _commands() -> Iterator[str]:
    return (f"-{verb.syntax}" for verb in VERBS.values())


def _lines(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> list[str]:
    """What to say: who we are, and the command."""
    if not arguments.command or not arguments.command[0].startswith("-"):
        parser.error("name one command, such as -STATUS; -HELP shows them")
    name = arguments.command[0].removeprefix("-").upper()
    command = " ".join([_ALIASES.get(name, name), *arguments.command[1:]])
    password = _asked_password() if arguments.password == "-" else arguments.password
    lines = [f"USER {arguments.user}", f"PASS {password}", command]
    if not all(line.isprintable() for line in lines):
        parser.error("names, passwords and arguments are printable characters")
    return lines


def _asked_password() -> str:
    if sys.stdin.isatty():
        with orderly():
            return getpass.getpass()
    return sys.stdin.readline().rstrip("\r\n")


def _context(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if not arguments.tls:
        if arguments.ca is not None:
            parser.error("--ca goes with --tls")
        return None
    try:
        return ssl.create_default_context(cafile=arguments.ca)
    except OSError as error:  # an SSLError is one too
        raise CannotStart(REFUSED, f"{arguments.ca}: {error.strerror or error}") from error


def _connected(where: place.Place, context: ssl.SSLContext | None) -> socket.socket:
    host, port = where
    try:
        sock = socket.create_connection(where, _CONNECTING)
        sock.settimeout(_PATIENCE)
        return context.wrap_socket(sock, server_hostname=host) if context else sock
    except ssl.SSLCertVerificationError as error:
        text = f"{host} port {port}: its certificate is not to be trusted: {error.verify_message}"
        raise CannotStart(REFUSED, text) from error
    except OSError as error:
        raise CannotStart(
            TEMPORARY, f"{host} port {port}: nobody answers: {error.strerror or error}"
        ) from error


class Dialogue:
    """The lines that come back are printed as they come."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lines = sock.makefile("rb")

    def hold(self, user: str, password: str, command: str) -> int:
        """From the greeting to the good-bye; returns the exit status. Raises CannotStart."""
        try:
            admitted = self._has_next() and self._ask(user) and self._ask(password)
            done = admitted and self._ask(command)
            # Nothing marks the last line of a reply, but after it comes the answer to this.
            self._say("QUIT")
            while self._next() not in (f"+OK {GOODBYE}", ""):
                pass
        except OSError as error:
            raise CannotStart(TEMPORARY, f"the connection is lost: {error.strerror or error}") from error
        return 0 if done else REFUSED

    def _ask(self, line: str) -> bool:
        self._say(line)
        return self._has_next()

    def _say(self, line: str) -> None:
        self._socket.sendall(f"{line}\r\n".encode())

    def _has_next(self) -> bool:
        """Whether the next line, which is the first of a reply, is +OK."""
        return self._next().startswith("+OK")

    def _next(self) -> str:
        """The next line; "" when there are no more."""
        line = self._lines.readline().decode("utf-8", "replace").rstrip("\r\n")
        if line:
            print(line, flush=True)
        return line
