"""`mta`: the server itself, the check of its configuration, and the way to the subcommands.

Whatever a user can cause ends in one line on standard error and an exit status that means something,
never in a traceback. Modules are imported once it is clear that they are needed: a subcommand answers
before the server's would have been loaded.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import mta
from mta.daemon.errors import CONFIGURATION, CannotStart

if TYPE_CHECKING:
    from mta.daemon.reload import Source

_DEFAULTS = (Path("/etc/mta/mta.conf"), Path("etc/mta.conf"))

SUBCOMMANDS = {
    "admin": "say one command to the administration port: users, limits, numbers",
    "alias": "lead addresses to others",
    "ban": "serve an address, a network or a user no longer",
    "config": "show every setting in force and where it came from",
    "control": "change settings of the running server, until its next reload",
    "explain": "tell what would be done with a message, and why",
    "metrics": "show its counters, each second",
    "queue": "show what waits to be sent on, and why; hold, release, retry, delete it",
    "reload": "let the running server read its configuration again",
    "send": "play files of SMTP lines to a server, over TCP or UDP",
    "sendmail": "send a message from standard input, as sendmail(8) does",
    "story": "tell what happened to a message, or in a session",
    "tls": "make a certificate for trying out",
    "top": "watch rates, sessions and queue of the running server",
    "user": "add, show, change and remove accounts",
}
"""Each is a module of this package."""


class Subcommand(Protocol):
    """What the module of a subcommand offers."""

    def run(self, source: Source, words: Sequence[str]) -> int:
        """Do it, with the words after its name; returns the exit status. Raises ConfigError or
        CannotStart."""


def main(words: Sequence[str] | None = None) -> int:
    """Run `mta` with these words (default: of the command line); returns the exit status."""
    # Until somebody has a better idea of them, these end us without a word, as they do any program.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    parser = _parser()
    arguments = parser.parse_args(_called(sys.argv) if words is None else words)
    if arguments.command is None and not arguments.test and arguments.file is None:
        parser.error("say -f FILE to start a server, or name a subcommand")
    if arguments.command is not None and arguments.test:
        parser.error("-t goes without a subcommand")
    return _guarded(arguments)


def _called(line: Sequence[str]) -> list[str]:
    """The words of a command line; a link of the name sendmail or mailq to this program is that command."""
    meant = {"sendmail": ["sendmail"], "mailq": ["sendmail", "-bp"]}
    return [*meant.get(Path(line[0]).name, []), *line[1:]]


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<10}{what}" for name, what in SUBCOMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="mta",
        usage="mta -f FILE [-t] [--set KEY=VALUE ...]\n       mta [-f FILE] SUBCOMMAND ...",
        description="A mail server. With -f FILE alone it serves until SIGTERM or SIGINT.",
        epilog=f"subcommands (each has --help):\n{listed}\n\nSee mta(8).",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    default = ", else ".join(map(str, _DEFAULTS))
    add = parser.add_argument
    add("-f", dest="file", type=Path, metavar="FILE", help=f"the configuration (default: {default})")
    add("-t", dest="test", action="store_true", help="check the configuration, say what it would do")
    add(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one setting",
    )
    add("-V", "--version", action="version", version=f"mta {mta.__version__}")
    add("command", nargs="?", choices=SUBCOMMANDS, metavar="SUBCOMMAND", help=argparse.SUPPRESS)
    add("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _guarded(arguments: argparse.Namespace) -> int:
    from mta.config import ConfigError

    try:
        return _run(arguments)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return CONFIGURATION
    except CannotStart as error:
        print(f"mta: {error}", file=sys.stderr)
        return error.status


def _run(arguments: argparse.Namespace) -> int:
    from mta.daemon.reload import Source

    source = Source(arguments.file or _default_file(), tuple(arguments.overrides))
    if arguments.command is not None:
        module = cast(Subcommand, import_module(f"mta.cli.{arguments.command}"))
        return module.run(source, arguments.words)
    if arguments.test:
        from mta.cli.check import check

        return check(source)
    from mta.daemon.serve import serve

    serve(source)
    return 0


def _default_file() -> Path:
    return next((file for file in _DEFAULTS if file.exists()), _DEFAULTS[0])
