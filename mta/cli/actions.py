"""Commands that have actions (`mta user add`): the parser of a command, with one for each of its actions.

Whoever parses finds what is to be done then in `act`, and in `action` how it was called.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable


class Actions:
    """The actions of one command."""

    def __init__(self, command: str, about: str | None) -> None:
        self.parser = argparse.ArgumentParser(prog=f"mta {command}", description=about, allow_abbrev=False)
        self._parsers = self.parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(
        self, name: str, what: str, act: Callable[..., int], *, json: bool = True
    ) -> argparse.ArgumentParser:
        """One more; its own words are for the caller to add. `json`: it has something to tell that way."""
        parser = self._parsers.add_parser(name, help=what, description=what, allow_abbrev=False)
        if json:
            parser.add_argument("--json", action="store_true", help="as JSON")
        parser.set_defaults(act=act)
        return parser
