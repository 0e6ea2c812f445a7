"""What is wrong with a configuration, and where.

A `Source` is one text that was read (a file, or the argument of `--set`), a `Mark` is a place in it, a
`Problem` is a sentence about that place. Line and column are worked out only when somebody asks, so that
remembering a mark for every token costs nothing. Passwords inside URLs are masked before a line is quoted,
and control characters never reach the terminal or the log. This module knows nothing of keys, types or
grammar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

EXCERPT = 100
"""Characters of a line that are quoted at most."""

# The first branch takes everything up to the last "@" of the word (a password may hold "@" and "/"); the
# second catches a URL that broke off before its "@", but leaves a port alone.
_PASSWORD = re.compile(r'(://[^\s:@/"\[]*:)(?:[^\s"]*(?=@)|(?!\d+(?:[/?#"\s,]|$))[^\s"]+)')
_PARAMETER = re.compile(r'([?&](?:password|passwd|secret|token)=)[^&\s"]*', re.IGNORECASE)


def mask(text: str) -> str:
    """Put `***` in the place of each password that stands in a URL within `text`."""
    return _PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1***", text))


@dataclass(frozen=True, slots=True)
class Source:
    """A text and the name it goes by in messages."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """The place `offset` (in characters) of a source; line and column count from 1."""

    source: Source
    offset: int = 0

    @property
    def line(self) -> int:
        return self.source.text.count("\n", 0, self.offset) + 1

    @property
    def column(self) -> int:
        return self.offset - self._line_start + 1

    @property
    def _line_start(self) -> int:
        return self.source.text.rfind("\n", 0, self.offset) + 1

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    def excerpt(self) -> str:
        """The line with a caret below the place, or nothing when the line is blank."""
        start = self._line_start
        end = self.source.text.find("\n", start)
        line = self.source.text[start : end if end >= 0 else None]
        before = mask(line[: self.offset - start])
        shown = before + mask(line)[len(before) :]
        first = max(0, len(before) - EXCERPT * 2 // 3)
        shown = _printable(shown[first : first + EXCERPT].rstrip())
        return f"  {shown}\n  {' ' * (len(before) - first)}^" if shown.strip() else ""


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " if c == "\t" else "?" for c in text)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, and (when we know it) what to write instead."""

    mark: Mark
    text: str
    hint: str = ""

    def __str__(self) -> str:
        """`file:line:column: text`, the line with a caret, the hint."""
        head = f"{self.mark}: {_printable(mask(self.text))}"
        hint = f"  hint: {_printable(mask(self.hint))}" if self.hint else ""
        return "\n".join(part for part in (head, self.mark.excerpt(), hint) if part)


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` holds everything that is known to be wrong with it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def fault(mark: Mark, text: str, hint: str = "") -> ConfigError:
    """The error that consists of one problem."""
    return ConfigError((Problem(mark, text, hint),))
