"""What follows from the schema on paper: the shipped etc/mta.conf and the key list of mta.conf(5).

`python -m mta.config.sample [TREE]` writes both into the source tree; a test proves that the shipped files
are what would be written. The sample keeps to the grammar that libconfig and HOCON share. `sample` with other
values gives a file for another place, such as the one `make install` writes with absolute paths.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from mta.config.declare import Key, groups_of
from mta.config.dialect import quote
from mta.config.schema import KEYS, Settings
from mta.config.tokens import Plain

_HEAD = """\
# Configuration of mta. Every key with its meaning: mta.conf(5).
# Saved changes are taken over at once; a file with an error changes nothing, and the log says why.
# Relative paths count from the folder of this file.
"""
_NOTES = 40
"""The column that notes begin in, within their group."""

_BEGIN = '.\\" What follows is written by mta.config.sample from the schema.\n'
_END = '.\\" Up to here.\n'
_PREFIXES = ("", *(f"{name}." for name, _ in groups_of(Settings)))


def sample(values: Mapping[str, Plain] | None = None) -> str:
    """The text of a configuration file; `values` (by dotted key) stand instead of the sample's own."""
    chosen = values or {}
    lines = [_HEAD]
    depth: tuple[str, ...] = ()
    for key in KEYS.values():
        *groups, name = key.name.split(".")
        lines += _between(depth, depth := tuple(groups))
        setting = f"{name} = {written(chosen.get(key.name, key.sample))}"
        lines += textwrap.indent(_noted(setting, key.note), "  " * len(groups)).split("\n")
    lines += _between(depth, ())
    return "\n".join(lines) + "\n"


def _noted(setting: str, note: str) -> str:
    """A setting with its note, beside it or else above it."""
    return f"{setting:<{_NOTES}}# {note}" if len(setting) < _NOTES else f"# {note}\n{setting}"


def _between(old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[str]:
    """The lines that lead from within one group to within another."""
    shared = 0
    while shared < min(len(old), len(new)) and old[shared] == new[shared]:
        shared += 1
    for level in reversed(range(shared, len(old))):
        yield "  " * level + "}"
    for level in range(shared, len(new)):
        if level == 0:
            yield from ("", f"# {note}") if (note := _HEADINGS[new[0]]) else ()
        yield "  " * level + f"{new[level]}: {{"


_HEADINGS = dict(groups_of(Settings))


def written(value: Plain) -> str:
    """A plain value as it stands in the file."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return quote(value)
        case list():
            return f"[ {', '.join(map(written, value))} ]" if value else "[ ]"
        case _:
            return str(value)


def key_list() -> str:
    """The keys as an mdoc list, grouped as in the file."""
    return "".join(_section(prefix) for prefix in _PREFIXES)


def _section(prefix: str) -> str:
    keys = [key for key in KEYS.values() if key.name.rpartition(".")[0] == prefix.rstrip(".")]
    if not keys:
        return ""
    title = f".Ss Group {prefix.rstrip('.')}\n" if prefix else ""
    return f"{title}.Bl -tag -width Ds\n{''.join(map(_item, keys))}.El\n"


def _item(key: Key) -> str:
    name = (
        key.kind.name.replace("address", "addresses").replace("with port", "with ports")
        if key.is_list
        else key.kind.name
    )
    plural = name if name.endswith("s") else f"{name}s"
    kind = ", ".join(filter(None, (f"list of {plural}" if key.is_list else name, key.kind.span)))
    default = "required" if key.required else f"default: {written(key.default)}"
    live = "; may be set live" if key.live else ""
    return "".join(
        (
            f".It Ic {key.name}\n",
            _roff(key.text),
            _roff(f"({kind}; {default}; {key.applies}{live})"),
        )
    )


def _roff(text: str) -> str:
    """Text as roff input lines, a sentence beginning on a line of its own."""
    lines = []
    for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", text):
        lines += [_words(line) for line in textwrap.wrap(sentence, 78, break_on_hyphens=False)]
    return "".join(f"{line}\n" for line in lines)


def _words(text: str) -> str:
    """Text that roff takes as it is: no escape, no macro at its beginning."""
    escaped = text.replace("\\", "\\e").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def manual(page: str) -> str:
    """`page` with the key list renewed between its two marks. Raises ValueError when there are none."""
    begin, end = page.index(_BEGIN) + len(_BEGIN), page.index(_END)
    return page[:begin] + key_list() + page[end:]


def main(tree: Path) -> None:
    """Write both files into the source tree."""
    (tree / "etc" / "mta.conf").write_text(sample(), "utf-8")
    page = tree / "man" / "mta.conf.5"
    page.write_text(manual(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(Path(*sys.argv[1:2]))
