"""From a file and the `--set` arguments to a snapshot, or to everything that is wrong with them.

The steps: read the tree, put the overrides into it, validate the plain values, find the place of each
complaint in the tree, then the rules across keys. Nothing is changed anywhere; whoever asked keeps what he
had.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mta.config.dialect import Document, Node, quote, read
from mta.config.override import OVERRIDE, override, unknown
from mta.config.problems import ConfigError, Problem
from mta.config.rules import FROM_COMMAND_LINE, check
from mta.config.schema import KEYS, Settings
from mta.config.snapshot import Snapshot
from mta.config.units import Unfit

MOST_PROBLEMS = 100
"""Problems that are reported at once."""


def load(path: Path, overrides: Sequence[str] = (), uid: int | None = None) -> Snapshot:
    """Read the configuration at `path`, with `key=value` overrides, for a process of `uid` (default: ours).

    Raises ConfigError with all that can be known to be wrong at once.
    """
    document = read(path)
    problems = [*document.problems, *override(document.root, overrides)]
    settings, complaints = _validate(document, path.absolute().parent)
    problems += complaints
    if settings is None or problems:
        raise ConfigError(tuple(sorted(problems[:MOST_PROBLEMS], key=_place)))
    origins = {name: _origin(document.root, name) for name in KEYS}
    findings = check(settings, origins, os.geteuid() if uid is None else uid)
    if broken := tuple(
        Problem(_nearest(document.root, *f.key.split(".")).mark, f.text, f.hint) for f in findings
    ):
        raise ConfigError(broken)
    return Snapshot(settings, origins, tuple(file.absolute() for file in document.files))


def _place(problem: Problem) -> tuple[str, int]:
    return problem.mark.source.name, problem.mark.offset


def _origin(root: Node, name: str) -> str:
    node = _find(root, name)
    if node is None:
        return "default"
    return FROM_COMMAND_LINE if node.named.source.name == OVERRIDE else str(node.named)


# Validation and the places of complaints


def _validate(document: Document, folder: Path) -> tuple[Settings | None, list[Problem]]:
    try:
        return Settings.model_validate(document.values(), context=folder), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        wanted = (d for d in details if not (document.broken and d["type"] in ("missing", "too_short")))
        return None, [_problem(document.root, detail) for detail in islice(wanted, MOST_PROBLEMS)]


def _problem(root: Node, detail: ErrorDetails) -> Problem:
    where = detail["loc"]
    name = ".".join(part for part in where if isinstance(part, str))
    node = _nearest(root, *where)
    match detail["type"]:
        case "missing":
            sample = KEYS[name].sample
            example = quote(sample) if isinstance(sample, str) else f"[ {quote(sample[0])} ]"
            return Problem(node.mark, f"{name} is required", f"{where[-1]} = {example}")
        case "extra_forbidden":
            return unknown(name, node.named)
        case "tuple_type":
            return Problem(node.mark, f"{name} must be a list", _as_list(node))
        case "too_short":
            return Problem(node.mark, f"{name} needs at least one entry")
        case "value_error":
            fault = detail["ctx"]["error"]
            hint = fault.hint if isinstance(fault, Unfit) else ""
            return Problem(node.mark, f"{name}: {fault}", hint)
        case _:
            return Problem(node.mark, f"{name} must be a group", f"{where[-1]}: {{ ... }}")


def _as_list(node: Node) -> str:
    return f"[ {quote(node.value)} ]" if isinstance(node.value, str) else '[ "..." ]'


def _find(root: Node, name: str) -> Node | None:
    where = name.split(".")
    found = list(_descend(root, where))
    return found[-1] if len(found) == len(where) else None


def _descend(root: Node, where: Sequence[str | int]) -> Iterator[Node]:
    """The nodes on the way along `where`, as far as they exist."""
    node = root
    for part in where:
        children: Any = node.value
        if isinstance(children, dict) and part in children:
            node = children[str(part)]
        elif isinstance(children, list) and isinstance(part, int):
            node = children[part]
        else:
            return
        yield node


def _nearest(root: Node, *where: str | int) -> Node:
    """The node at `where`, or the innermost group that should hold it."""
    return [root, *_descend(root, where)][-1]
