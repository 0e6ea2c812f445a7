r"""One record, one line: `2026-11-20T18:40:01.123Z INFO receiver accepted id=... sender=...`.

Time (UTC), level, process and event come first, then fields as key=value. What could be mistaken for
anything else stands in quotes with escapes, so that no octet a stranger sends can end a line, begin
another record, or reach the operator's terminal:

    \" \\ \n \r \t       as in JSON
    \x00 ... \x7f        that control character, or a comma (\x2c) inside an element of a list
    \x80 ... \xff        that octet, where the text was not UTF-8
    \u0085, \U000e0001   that character, which is not printable (C1, overrides of direction, odd blanks)

A record has at most 4096 octets (PIPE_BUF), line feed included, so that one write(2) into a pipe never mixes
with another's. Longer values are cut, and then the record ends in `cut=` and the number of octets missing.
This module knows text, not events, and does no input or output.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from select import PIPE_BUF

MOST_OCTETS = min(PIPE_BUF, 4096)
"""The longest record, with its line feed."""

_ROOM_FOR_CUT = len(" cut=0123456789")
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")
"""Values that need no quotes: printable ASCII without blank, quote, equals sign and backslash."""
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

Fields = Mapping[str, object]


def format_record(seconds: float, level: str, process: str, event: str, fields: Fields) -> bytes:
    """One line with its line feed. `seconds` since the epoch; fields that are None are left out.

    Keys, level, process and event are words of ours; values may be anything: text, octets, numbers, truth
    values, lists of text."""
    head = f"{_stamp(seconds)} {level} {process} {event}"
    record = _line(head, fields)
    return record if len(record) <= MOST_OCTETS else _cut(head, fields, len(record))


def _line(head: str, fields: Fields) -> bytes:
    parts = [head]
    for key, value in fields.items():
        if type(value) is str and _is_plain(value):
            parts.append(f"{key}={value}")
        elif value is not None:
            parts.append(f"{key}={_written(value)}")
    return (" ".join(parts) + "\n").encode()


_is_plain = _PLAIN.fullmatch


def _cut(head: str, fields: Fields, octets: int) -> bytes:
    """The record with its longest values shortened alike, to the largest power of two that makes it fit."""
    record = _line(head, {})
    for bits in range(MOST_OCTETS.bit_length()):
        shorter = _line(head, {key: _shortened(value, 1 << bits) for key, value in fields.items()})
        if len(shorter) > MOST_OCTETS - _ROOM_FOR_CUT:
            break
        record = shorter
    return b"%b cut=%d\n" % (record[:-1], octets - len(record))


def _shortened(value: object, limit: int) -> object:
    if not isinstance(value, list | tuple):
        return value if value is None else _text(value)[:limit]
    kept = []
    for element in map(_text, value):
        limit -= len(element) + 1
        if limit < 0:
            break
        kept.append(element)
    return kept


# values


def _written(value: object) -> str:
    if isinstance(value, list | tuple):
        return _written_list([_text(element) for element in value])
    text = _text(value)
    return text if _is_plain(text) else f'"{escaped(text)}"'


def _written_list(elements: list[str]) -> str:
    if not any("," in element for element in elements):
        return _written(",".join(elements))
    joined = ",".join(escaped(element).replace(",", "\\x2c") for element in elements)
    return f'"{joined}"'


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return str(value, "utf-8", "surrogateescape")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value)


def escaped(text: str) -> str:
    """The text as it stands between quotes."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(map(_escape, text))


def _escape(character: str) -> str:
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape (PEP 383): an octet that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _stamp(seconds: float) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{_stamp_of_second(whole)}.{milliseconds:03d}Z"


@lru_cache(maxsize=4)
def _stamp_of_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


# reading


class NotARecord(ValueError):
    """A line that format_record cannot have written."""


@dataclass(frozen=True, slots=True)
class Record:
    """A line read back. `time` sorts as text; `fields` holds the values as they were written."""

    time: str
    level: str
    process: str
    event: str
    fields: dict[str, str]

    def text(self, key: str) -> str:
        """The value of a field, octets that are no UTF-8 as surrogates (PEP 383). KeyError when absent."""
        return _unescaped(_unquoted(self.fields[key]))

    def list(self, key: str) -> list[str]:
        """The elements of a field that was written as a list."""
        written = _unquoted(self.fields[key])
        return [_unescaped(element) for element in written.split(",")] if written else []


_HEAD = re.compile(r"([0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z) ([A-Z]+) ([a-z_]+) ([a-z_]+)(?= |$)")
_FIELD = re.compile(r' ([^ =]+)=("(?:[^"\\]|\\.)*"|[^ "]*)(?= |$)')
_ESCAPE = re.compile(r'\\(["\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})')
_MEANING = {written[1]: character for character, written in _SHORT_ESCAPES.items()}


def parse_record(line: bytes) -> Record:
    """Read one line, with or without its line feed. Raises NotARecord."""
    text = line.removesuffix(b"\n").decode("utf-8", "replace")
    head = _HEAD.match(text)
    if head is None:
        raise NotARecord(text)
    return Record(head[1], head[2], head[3], head[4], _parse_fields(text, head.end()))


def _parse_fields(text: str, position: int) -> dict[str, str]:
    fields = {}
    while position < len(text):
        field = _FIELD.match(text, position)
        if field is None:
            raise NotARecord(text)
        fields[field[1]] = field[2]
        position = field.end()
    return fields


def _unquoted(written: str) -> str:
    return written[1:-1] if written.startswith('"') else written


def _unescaped(written: str) -> str:
    return _ESCAPE.sub(_meant, written)


def _meant(escape: re.Match[str]) -> str:
    name = escape[1]
    if name in _MEANING:
        return _MEANING[name]
    code = int(name[1:], 16)
    return chr(code if name[0] != "x" or code < 0x80 else 0xDC00 + code)
