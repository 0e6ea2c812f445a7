"""Cut configuration text into tokens: the words of libconfig, a superset of what it shares with HOCON.

Follows the libconfig manual, "Configuration Files": three kinds of comment, decimal and hexadecimal integers
with an optional `L`, floats, strings with escapes, and `@include` on a line of its own. Every token carries
its mark. Two things that libconfig would read as two tokens are refused here with a better hint: `5m` and
`yes`-like words are left to the grammar, but a number that runs into letters wants quotes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeAlias

from mta.config.problems import ConfigError, Mark, Problem, Source, fault

Scalar = str | int | float | bool

Plain: TypeAlias = Any
"""A value in the form of the file: a scalar, or a list or a dict of such values."""


class Word(Enum):
    """The kinds of token."""

    NAME = auto()
    VALUE = auto()
    STRING = auto()
    SIGN = auto()
    INCLUDE = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One word: its kind, the characters as they stand, what they mean, and where."""

    kind: Word
    text: str
    value: Scalar
    mark: Mark

    def __str__(self) -> str:
        return "the end of the file" if self.kind is Word.END else f"{self.text[:40]!r}"


_TOKEN = re.compile(
    r"""
      (?P<blank>   \s+ | \#[^\n]* | //[^\n]* | /\*.*?\*/ )
    | (?P<string>  "[^"\\]*(?:\\.[^"\\]*)*" )
    | (?P<float>   [-+]?(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)? | [-+]?\d+[eE][-+]?\d+ )
    | (?P<hex>     0[xX][0-9A-Fa-f]+L{0,2} )
    | (?P<integer> [-+]?\d+L{0,2} )
    | (?P<name>    [A-Za-z*][-A-Za-z0-9_*]* )
    | (?P<sign>    [][{}(),;=:] )
    | (?P<include> @include\b )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_INCLUDE = re.compile(r'@include[ \t]+"((?:[^"\\\n]|\\.)*)"[ \t\r]*(?=\n|\Z)')
_ESCAPE = re.compile(r"""\\(?:x([0-9A-Fa-f]{2})|([\\'"abfnrtv]))""")
_LETTERS = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))
_RUNS_ON = re.compile(r"[^\s,;\]\[(){}=:#\"]+")


def tokenize(source: Source, start: int = 0) -> Iterator[Token]:
    """The tokens of `source` from `start`, the last one END. Raises ConfigError where nothing fits."""
    offset, text = start, source.text
    while offset < len(text):
        found = _TOKEN.match(text, offset)
        if not found:
            raise ConfigError((_misfit(source, offset),))
        if found.lastgroup == "include":
            token = _include(source, offset)
            offset += len(token.text)
            yield token
            continue
        offset = found.end()
        if found.lastgroup != "blank":
            yield _token(found, Mark(source, found.start()))
    yield Token(Word.END, "", "", Mark(source, len(text)))


def _token(found: re.Match[str], mark: Mark) -> Token:
    text = found.group()
    match found.lastgroup:
        case "string":
            return Token(Word.STRING, text, unescape(text[1:-1]), mark)
        case "name" if text.lower() in ("true", "false"):
            return Token(Word.VALUE, text, text.lower() == "true", mark)
        case "name":
            return Token(Word.NAME, text, text, mark)
        case "sign":
            return Token(Word.SIGN, text, text, mark)
        case _:
            return Token(Word.VALUE, text, _number(found, mark), mark)


def _number(found: re.Match[str], mark: Mark) -> int | float:
    """The number found: a float, or an integer of at most 64 bits, as libconfig has them."""
    text = found.group()
    if rest := _RUNS_ON.match(found.string, found.end()):
        whole = text + rest.group()
        raise fault(mark, f"{whole[:40]} is not a number", f'write it in quotes: "{whole[:40]}"')
    if found.lastgroup == "float":
        value: int | float = float(text)
        fits = math.isfinite(value)
    else:
        digits = text.rstrip("L")
        fits = len(digits) <= 20
        value = int(digits, 16 if found.lastgroup == "hex" else 10) if fits else 0
        fits = fits and -(2**63) <= value < 2**64
    if not fits:
        raise fault(mark, "this number is too large")
    return value


def unescape(text: str) -> str:
    """What the inside of a string means; a backslash before any other character stands for itself."""

    def meaning(found: re.Match[str]) -> str:
        code, letter = found.groups()
        return chr(int(code, 16)) if code else _LETTERS.get(letter, letter)

    return _ESCAPE.sub(meaning, text)


def _include(source: Source, offset: int) -> Token:
    mark = Mark(source, offset)
    found = _INCLUDE.match(source.text, offset)
    alone = not source.text[source.text.rfind("\n", 0, offset) + 1 : offset].strip()
    if not found or not alone:
        raise fault(mark, "@include stands alone on its line", '@include "file"')
    return Token(Word.INCLUDE, found.group(), unescape(found.group(1)), mark)


def _misfit(source: Source, offset: int) -> Problem:
    mark, text = Mark(source, offset), source.text
    if text[offset] == '"':
        return Problem(mark, "this string has no end", 'a string ends with "')
    if text.startswith("/*", offset):
        return Problem(mark, "this comment has no end", "a comment ends with */")
    if text[offset] == "'":
        return Problem(mark, "text stands in double quotes", 'write "text"')
    if text[offset] in "$+.":
        return Problem(
            mark, f"{text[offset]!r} means nothing here", "there are no substitutions, += or dotted names"
        )
    return Problem(mark, f"{text[offset]!r} means nothing here")
