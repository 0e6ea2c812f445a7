"""Settings from the command line, put into the tree as if they stood in the file.

`--set key=value`: the value is written as in the file, but quotes and brackets may be left out, since the key
says what it wants: `--set hostname=mx.example.org --set smtp.listen=127.0.0.1:0,[::1]:0`. An empty value is
an empty text or an empty list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from mta.config.declare import Key, groups_of
from mta.config.dialect import Node, parse_value
from mta.config.problems import ConfigError, Mark, Problem, Source
from mta.config.schema import KEYS, Settings

OVERRIDE = "--set"
"""The name of the source that an override has in messages."""

_GROUPS = tuple(name for name, _ in groups_of(Settings))


def override(root: Node, arguments: Iterable[str]) -> Iterator[Problem]:
    """Put each `key=value` into the tree; yields what is wrong with the arguments."""
    for argument in arguments:
        source = Source(OVERRIDE, argument)
        name, equals, _ = argument.partition("=")
        name = name.strip()
        if not equals:
            yield Problem(Mark(source), "a setting and its value are needed", "--set key=value")
        elif name not in KEYS:
            yield unknown(name, Mark(source))
        else:
            try:
                _put(root, name, _node(KEYS[name], source, argument.index("=") + 1))
            except ConfigError as error:
                yield from error.problems


def _put(root: Node, name: str, node: Node) -> None:
    """Hang `node` in at its place; where a group should be and is none, validation complains about that."""
    *groups, leaf = name.split(".")
    for part in groups:
        if isinstance(root.value, dict):
            root = root.value.setdefault(part, Node(node.named, node.mark, {}))
    if isinstance(root.value, dict):
        root.value[leaf] = node


def _node(key: Key, source: Source, start: int) -> Node:
    text = source.text[start:].strip()
    mark = Mark(source, start)
    if key.is_list and not text.startswith(("[", "(")):
        elements = [Node(mark, mark, part.strip()) for part in text.split(",") if part.strip()]
        return Node(Mark(source), mark, list(elements))
    if key.is_list or not key.kind.textual or text.startswith('"'):
        return Node(Mark(source), mark, parse_value(source, start).value)
    return Node(Mark(source), mark, text)


def unknown(name: str, mark: Mark) -> Problem:
    """The complaint about a key that does not exist, naming the nearest that does."""
    near = _nearest(name[:80].lower())
    return Problem(mark, f"unknown key {name[:80]}", f"did you mean {' or '.join(near)}?" if near else "")


def _nearest(name: str) -> list[str]:
    """Known names that are spelled like `name`, or else those that end like it, or else a distant cousin."""
    names = [*KEYS, *_GROUPS]
    leaf = name.rpartition(".")[2]
    alike = get_close_matches(name, names, n=1, cutoff=0.8)
    return (
        alike
        or [known for known in names if known.rpartition(".")[2] == leaf][:3]
        or get_close_matches(name, names, 1)
    )
