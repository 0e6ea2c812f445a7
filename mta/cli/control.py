"""`mta control`: live settings of the running server, one for each argument, or typed in."""

from __future__ import annotations

import argparse
import readline
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from mta.cli import place
from mta.daemon.errors import REFUSED, TEMPORARY, CannotStart
from mta.daemon.reload import Source

_PATIENCE: Final = 30.0
"""Seconds for a reply: it comes once all processes have taken the value."""
_PROMPT: Final = "mta> "
_WORDS: Final = ("get", "help", "quit")
_HELP: Final = """\
NAME=INTEGER   set NAME, until the next reload or start: seconds, octets, 0 or 1
get NAME       show NAME
help           this
quit           leave

The names:"""


def run(source: Source, words: Sequence[str]) -> int:
    """Say what the words say, or what is typed. Raises ConfigError or CannotStart."""
    parser = argparse.ArgumentParser(prog="mta control", description=__doc__, allow_abbrev=False)
    place.add_arguments(parser)
    parser.add_argument(
        "settings", nargs="*", metavar="NAME=INTEGER", help="such as logger=0; none: typed in"
    )
    arguments = parser.parse_args(words)
    where = place.place_of(source, "control", arguments.host, arguments.port)
    with Dialogue(where) as dialogue:
        if arguments.settings:
            return _say_all(dialogue, arguments.settings)
        return _interactive(dialogue) if sys.stdin.isatty() else _say_all(dialogue, _piped())


class Dialogue:
    """A connection to the control port. Raises CannotStart when nobody answers, or no longer."""

    def __init__(self, where: place.Place) -> None:
        try:
            self._socket = socket.create_connection(where, _PATIENCE)
        except OSError as error:
            host, port = where
            raise CannotStart(
                TEMPORARY, f"{host} port {port}: nobody answers: {error.strerror or error}"
            ) from error
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def ask(self, line: str) -> list[str]:
        """The lines of the reply; the last one is OK or ERR."""
        try:
            self._socket.sendall(" ".join(line.split()).encode("utf-8", "replace") + b"\r\n")
            return list(self._reply())
        except OSError as error:
            raise CannotStart(TEMPORARY, f"the connection is lost: {error.strerror or error}") from error

    def _reply(self) -> Iterator[str]:
        while True:
            line = self._lines.readline().decode("ascii", "replace").rstrip("\r\n")
            if not line:
                raise CannotStart(TEMPORARY, "the server has closed the connection")
            yield line
            if line in ("OK", "ERR"):
                return


def _say_all(dialogue: Dialogue, lines: Iterable[str]) -> int:
    """Say one after the other, up to the first that is refused."""
    for line in lines:
        reply = dialogue.ask(line)
        print("\n".join(reply))
        if reply[-1] != "OK":
            print(f"mta: {line}: no such setting, no integer, or out of range", file=sys.stderr)
            return REFUSED
    return 0


def _piped() -> Iterator[str]:
    return (line for line in map(str.strip, sys.stdin) if line)


# typed in


def _interactive(dialogue: Dialogue) -> int:
    *names, _ok = dialogue.ask("HELP")
    readline.parse_and_bind("tab: complete")
    readline.set_completer_delims(" \t=")
    readline.set_completer(_completer([*_WORDS, *names]))
    for line in _typed():
        if line.lower() in ("help", "?"):
            print("\n".join([_HELP, *names]))
        else:
            print("\n".join(dialogue.ask(line)))
        if line.lower() == "quit":
            break
    return 0


def _typed() -> Iterator[str]:
    """The lines that say something, until there are no more."""
    while True:
        try:
            line = input(_PROMPT).strip()
        except EOFError:
            print()
            return
        if line:
            yield line


def _completer(words: Sequence[str]) -> Callable[[str, int], str | None]:
    """For readline: the number-th of the words that begin like the text."""

    def complete(text: str, number: int) -> str | None:
        fitting = [word for word in words if word.startswith(text.lower())]
        return fitting[number] if number < len(fitting) else None

    return complete
