"""The language of the file: libconfig's full grammar in, values and their places out.

    document = setting*
    setting  = name (":" | "=") value [";" | ","]
    value    = scalar | string+ | "[" list "]" | "(" list ")" | "{" setting* "}"
    list     = [value ("," value)* [","]]

The text is parsed here into a tree of nodes, each knowing where it stood; the tree is written out again in
the plainest HOCON (quoted names, one setting a line, decimal numbers), and pyhocon reads that. pyhocon left
to itself gets full libconfig wrong, some of it silently (`port = 25;` becomes the string `25;`), includes
URLs and globs, and knows no places; what it is given here leaves it nothing to guess. It keeps global state:
one thread only.

Nothing is known here about which keys exist. Files, depth, size and number of values are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from pyhocon import ConfigFactory

from mta.config.problems import ConfigError, Mark, Problem, Source, fault
from mta.config.source import Reader
from mta.config.tokens import Plain, Scalar, Token, Word, tokenize

MOST_DEPTH = 8
"""Groups and lists within one another, and files including one another."""
MOST_VALUES = 10_000

_CLOSING = {"[": "]", "(": ")", "{": "}"}


@dataclass(frozen=True, slots=True)
class Node:
    """A value with the places of its name and of itself; an element of a list has no name of its own."""

    named: Mark
    mark: Mark
    value: Scalar | list[Node] | dict[str, Node]


@dataclass(slots=True)
class Document:
    """What was read: the tree, every file in the order of reading, and what is wrong with the grammar.

    After a syntax error the tree holds what stood before it (`broken`), good enough to complain about.
    """

    root: Node
    files: tuple[Path, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    broken: bool = False

    def values(self) -> dict[str, Plain]:
        """The plain values, as pyhocon reads them."""
        text = plain(self.root)
        read_back = ConfigFactory.parse_string(text).as_plain_ordered_dict() if text else {}
        return dict(_completed(self.root, read_back))


def _completed(node: Node, value: Plain) -> Plain:
    """`value` with the empty strings that pyhocon leaves out of every list."""
    if isinstance(node.value, dict):
        return {name: _completed(inner, value[name]) for name, inner in node.value.items()}
    if isinstance(node.value, list):
        rest = iter(value)
        return ["" if inner.value == "" else _completed(inner, next(rest)) for inner in node.value]
    return value


def read(path: Path) -> Document:
    """Read the file at `path` and all it includes. Raises ConfigError when the file itself cannot be read."""
    reader = Reader()
    source = reader.read(path)
    document = parse(source, _with_includes(source, reader, (path,)))
    document.files = tuple(reader.files)
    return document


def parse(source: Source, tokens: Iterator[Token] | None = None) -> Document:
    """The document in `source`; `tokens` when they come from more than this source."""
    parser = _Parser(tokens or tokenize(source))
    document = Document(Node(Mark(source), Mark(source), {}), problems=parser.problems)
    try:
        parser.document(document.root)
    except ConfigError as error:
        document.problems.extend(parser.explain(problem) for problem in error.problems)
        document.broken = True
    return document


def parse_value(source: Source, start: int) -> Node:
    """The one value that stands in `source` from `start` to its end. Raises ConfigError."""
    return _Parser(tokenize(source, start)).value()


def _with_includes(source: Source, reader: Reader, stack: tuple[Path, ...]) -> Iterator[Token]:
    """The tokens of a file, those of the files it includes in the place of the directive."""
    for token in tokenize(source):
        if token.kind is Word.INCLUDE:
            path = _included(token, stack)
            inner = _with_includes(reader.read(path, token.mark), reader, (*stack, path))
            yield from (word for word in inner if word.kind is not Word.END)
        else:
            yield token


def _included(token: Token, stack: tuple[Path, ...]) -> Path:
    """The file that an include directive means, relative to the folder of the file it stands in."""
    name = str(token.value)
    if "://" in name or not name:
        raise fault(token.mark, "only files can be included", '@include "file"')
    path = stack[-1].parent / name
    if path.resolve() in (earlier.resolve() for earlier in stack):
        raise fault(token.mark, f"{name} includes itself")
    if len(stack) > MOST_DEPTH:
        raise fault(token.mark, f"files include one another more than {MOST_DEPTH} deep")
    return path


class _Parser:
    """Recursive descent with one token of look-ahead; the depth is bounded, so is the recursion."""

    def __init__(self, tokens: Iterator[Token]) -> None:
        self.problems: list[Problem] = []
        self._tokens = tokens
        self._values = 0
        self._depth = 0
        self._before: Token | None = None
        self._long: Token | None = None
        self._next: Token | None = None

    @property
    def _head(self) -> Token:
        if self._next is None:
            self._next = next(self._tokens)
        return self._next

    def _take(self) -> Token:
        token = self._head
        self._before, self._next = token, None
        if token.kind is Word.STRING and "\n" in token.text:
            self._long = token
        return token

    def _at(self, signs: str) -> bool:
        return self._head.kind is Word.SIGN and self._head.text in signs

    def document(self, root: Node) -> None:
        self._settings(root)
        if self._head.kind is not Word.END:
            raise self._unexpected("a setting")

    def value(self) -> Node:
        node = self._element()
        if self._head.kind is not Word.END:
            raise self._unexpected("nothing more")
        return node

    def _settings(self, group: Node) -> None:
        assert isinstance(group.value, dict)
        while self._head.kind is Word.NAME:
            name = self._take()
            if not self._at("=:"):
                raise self._unexpected(
                    f'":" or "=" after {name.text}',
                    f"{name.text}: {{ ... }}" if self._at("{") else f"{name.text} = ...",
                )
            self._take()
            self._setting(name, group.value)
            if self._at(",;"):
                self._take()

    def _setting(self, name: Token, settings: dict[str, Node]) -> None:
        earlier = settings.get(name.text)
        if earlier:
            text = f"{name.text} is set twice, first in {earlier.named}"
            self.problems.append(Problem(name.mark, text))
            self._value(name.mark, {}, "")
        else:
            self._value(name.mark, settings, name.text)

    def _value(self, named: Mark, settings: dict[str, Node], key: str) -> None:
        """Read a value into `settings[key]`; a group is put there before it is filled, to survive errors."""
        if not self._at("{"):
            settings[key] = self._element(named)
            return
        self._count()
        settings[key] = Node(named, self._head.mark, {})
        self._enclosed(lambda: self._settings(settings[key]))

    def _element(self, named: Mark | None = None) -> Node:
        if self._at("{"):
            holder: dict[str, Node] = {}
            self._value(named or self._head.mark, holder, "")
            return holder[""]
        self._count()
        mark = self._head.mark
        named = named or mark
        if self._head.kind is Word.STRING:
            return Node(named, mark, self._strings())
        if self._head.kind is Word.VALUE:
            return Node(named, mark, self._take().value)
        if self._at("[("):
            elements: list[Node] = []
            self._enclosed(lambda: self._elements(elements))
            return Node(named, mark, elements)
        raise self._unexpected("a value")

    def _count(self) -> None:
        self._values += 1
        if self._values > MOST_VALUES:
            raise fault(self._head.mark, f"more than {MOST_VALUES} values")

    def _strings(self) -> str:
        parts = []
        while self._head.kind is Word.STRING:
            parts.append(str(self._take().value))
        return "".join(parts)

    def _elements(self, elements: list[Node]) -> None:
        while not self._at("])"):
            elements.append(self._element())
            if not self._at(","):
                return
            self._take()

    def _enclosed(self, inside: Callable[[], None]) -> None:
        opening = self._take()
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise fault(opening.mark, f"nested more than {MOST_DEPTH} deep")
        inside()
        closing = _CLOSING[opening.text]
        if not self._at(closing):
            raise self._unexpected(f'"{closing}"', f'"{opening.text}" was opened in {opening.mark}')
        self._take()
        self._depth -= 1

    def _unexpected(self, wanted: str, hint: str = "") -> ConfigError:
        head, before = self._head, self._before
        if head.kind is Word.NAME and wanted == "a value":
            hint = f'text stands in quotes: "{head.text}"; otherwise true, false or a number'
        elif before and before.text == "include":
            hint = '@include "file"'
        return fault(head.mark, f"expected {wanted}, found {head}", hint)

    def explain(self, problem: Problem) -> Problem:
        """After a string that runs over lines, the error is most likely its missing quote."""
        if not self._long:
            return problem
        return replace(
            problem, hint=f"is the closing quote of the string missing that begins in {self._long.mark}?"
        )


_SPECIAL = re.compile(r'[\\"\n\r\t]')
_ESCAPED = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def quote(text: str) -> str:
    """`text` as a string of the file; libconfig and HOCON read it alike."""
    return f'"{_SPECIAL.sub(lambda found: _ESCAPED[found.group()], text)}"'


def plain(node: Node, outermost: bool = True) -> str:
    """The tree in the plainest HOCON there is."""
    match node.value:
        case dict() as settings:
            lines = "".join(f"{quote(name)} = {plain(inner, False)}\n" for name, inner in settings.items())
            return lines if outermost else f"{{\n{lines}}}"
        case list() as elements:
            return "[\n" + ",\n".join(plain(element, False) for element in elements) + "\n]"
        case str() as text:
            return quote(text)
        case bool() as flag:
            return str(flag).lower()
        case number:
            return repr(number)
