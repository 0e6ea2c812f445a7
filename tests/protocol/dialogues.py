"""Dialogues as text: the files of tests/dialogues, whatever protocol they are in.

A file holds sections. `== title` begins one; the number in a title is the item of the checklist it shows.
`with name=value ...` sets what is unlike the usual; every other line is a kind, such as `C:`, and its text.
Lines that begin with `#` say something to the reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "dialogues"


@dataclass(frozen=True)
class Dialogue:
    title: str
    settings: dict[str, str]
    lines: tuple[tuple[str, str], ...]


def dialogues(protocol: str, kinds: Sequence[str]) -> list[Dialogue]:
    """All of a protocol's, whose lines are of these kinds."""
    return [each for path in sorted((FOLDER / protocol).glob("*.txt")) for each in _read(path, kinds)]


def _read(path: Path, kinds: Sequence[str]) -> Iterator[Dialogue]:
    for section in re.split(r"^== ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        title, *lines = [line for line in section.splitlines() if line.strip() and not line.startswith("#")]
        settings: dict[str, str] = {}
        parts: list[tuple[str, str]] = []
        for line in lines:
            if line.startswith("with "):
                settings |= {name: value for name, _, value in (w.partition("=") for w in line[5:].split())}
            else:
                assert line[:2] in kinds, f"{path.name}: {line}"
                assert line[2:3] in ("", " "), f"{path.name}: {line}"
                parts.append((line[:2], line[3:]))
        yield Dialogue(f"{path.stem}: {title}", settings, tuple(parts))


def octets(text: str) -> bytes:
    """The file's escapes resolved; what is not ASCII is UTF-8."""
    return re.sub(
        rb"\\(x[0-9a-f]{2}|.)",
        lambda found: (
            {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"s": b" ", b"\\": b"\\"}.get(found[1])
            or bytes.fromhex(found[1][1:].decode())
        ),
        text.encode("utf-8"),
    )


def said(kind: str, text: str) -> bytes:
    """What a client sends by a `C:` line, or by a `C~` line without CRLF."""
    return octets(text) + (b"\r\n" if kind == "C:" else b"")


def matches(expected: str, line: str) -> bool:
    """`...` stands for any rest."""
    return line.startswith(expected[:-3]) if expected.endswith("...") else line == expected
