"""`mta reload`: let the running server read its configuration again, and say what came of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from mta.daemon.local import ask
from mta.daemon.reload import Source

_WHEN = {
    "at once": "",
    "next session": " (from the next session on)",
    "restart": " (needs a restart, stays as it was)",
}


def run(source: Source, words: Sequence[str]) -> int:
    """Ask for a reload and print its outcome. Raises ConfigError or CannotStart."""
    parser = argparse.ArgumentParser(prog="mta reload", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args(words)
    answer = ask(source.socket(), {"request": "reload"})
    if arguments.json:
        print(json.dumps(answer, indent=2))
    else:
        print("".join(f"{line}\n" for line in _lines(answer)), end="")
        print(end=f"{answer['text']}\n" if answer["text"] else "", file=sys.stderr)
    return int(answer["status"])


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    for change in answer["changes"]:
        old, new = _quoted(change["old"]), _quoted(change["new"])
        yield f"{change['key']}: {old} -> {new}{_WHEN[change['applies']]}"
    if answer["certificate"]:
        yield "a new certificate is in force"
    if not answer["changes"] and not answer["certificate"] and not answer["text"]:
        yield "nothing has changed"


def _quoted(value: str) -> str:
    return value or '""'
