"""`mta config`: every setting of the running server, and where it came from."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence

from mta.daemon.errors import REFUSED
from mta.daemon.local import ask
from mta.daemon.reload import Source


def run(source: Source, words: Sequence[str]) -> int:
    """Print the settings asked for, all by default. Raises ConfigError or CannotStart."""
    parser = argparse.ArgumentParser(prog="mta config", description=__doc__)
    parser.add_argument("keys", nargs="*", metavar="KEY", help="a key, or a group such as limits")
    parser.add_argument("--json", action="store_true", help="as JSON, with listeners and processes")
    arguments = parser.parse_args(words)
    answer = ask(source.socket(), {"request": "config"})
    wanted = [row for row in answer["settings"] if _is_wanted(row["key"], arguments.keys)]
    if not wanted:
        print(f"mta: no such key: {' '.join(arguments.keys)}; mta config shows them all", file=sys.stderr)
        return REFUSED
    print(json.dumps({**answer, "settings": wanted}, indent=2) if arguments.json else _table(wanted))
    return 0


def _is_wanted(key: str, keys: Sequence[str]) -> bool:
    return not keys or any(key == each or key.startswith(f"{each}.") for each in keys)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    keys = max(len(row["key"]) for row in rows)
    values = min(40, max(len(row["value"]) for row in rows))
    return "\n".join(f"{row['key']:<{keys}}  {row['value']:<{values}}  {row['origin']}" for row in rows)
