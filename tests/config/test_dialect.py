"""The dialect gives what libconf gives for libconfig's full syntax, and says where things stood."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libconf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.dialect import MOST_DEPTH, MOST_VALUES, Document, parse, read
from mta.config.problems import ConfigError, Source
from mta.config.tokens import Plain

FULL = r"""
# all of libconfig
port = 0x19;  // hexadecimal
big : 9876543210L,
negative = -5
real = 1.5e3; small = .5; round = 2.; power = 1E-2
yes = TRUE; no = False
name = "one " "two"
       "three";            /* adjacent
                              strings */
escapes = "tab\t quote\" back\\ bell\a \x41\xe4 kept\q"
lines = "first
second"
group : { inner = { deep = 1; }; empty = {} }
list = ( 1, "two", 3.0, [ 4, 5 ], { six = 6; }, ( ), );
array = [ "a", "b" ]
nothing = [ ]
odd-name_*9 = 1 next = 2
hash = "# no comment // nor this /* nor this */ ${nor} this"
"""


def document(text: str) -> Document:
    return parse(Source("x", text))


def lists(value: Plain) -> Plain:
    """libconf's tuples, lists and ordered dicts as plain lists and dicts."""
    if isinstance(value, dict):
        return {name: lists(inner) for name, inner in value.items()}
    return list(map(lists, value)) if isinstance(value, list | tuple) else value


def test_full_syntax_is_what_libconf_reads() -> None:
    read_here = document(FULL)
    assert not read_here.problems
    assert lists(read_here.values()) == lists(libconf.loads(FULL))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
scalars = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | texts
    | st.floats(allow_nan=False, allow_infinity=False)
)
names = st.from_regex(r"[A-Za-z][-A-Za-z0-9_*]{0,8}", fullmatch=True).filter(
    lambda name: name.lower() not in ("true", "false")
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


def depth(value: Plain) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return max(map(depth, inner), default=0) + 1


@settings(deadline=None)
@given(st.dictionaries(names, values, max_size=4).filter(lambda tree: depth(tree) <= MOST_DEPTH))
def test_whatever_libconf_writes_is_read_alike(tree: dict[str, Any]) -> None:
    text = libconf.dumps(tree)
    assert lists(document(text).values()) == lists(libconf.loads(text))


@settings(deadline=None)
@given(texts)
def test_any_text_at_all_ends_in_a_document(text: str) -> None:
    read_here = document(text)
    assert read_here.broken == any("set twice" not in each.text for each in read_here.problems)


@settings(deadline=None)
@given(st.integers(0, len(FULL)))
def test_a_half_written_file_never_raises(length: int) -> None:
    read_here = document(FULL[:length])
    read_here.values()
    assert all(str(each).startswith("x:") for each in read_here.problems)


def test_places_are_remembered() -> None:
    root = document("a = 1\nb: {\n  c = [ 1,\n    2 ]\n}").root
    assert isinstance(root.value, dict)
    group = root.value["b"]
    assert isinstance(group.value, dict)
    elements = group.value["c"]
    assert str(elements.named) == "x:3:3"
    assert str(elements.mark) == "x:3:7"
    assert isinstance(elements.value, list)
    assert str(elements.value[1].mark) == "x:4:5"


@pytest.mark.parametrize(
    ("text", "line", "column", "hint"),
    [
        ("a = 5m", 1, 5, '"5m"'),
        ("a = 1.2.3.4", 1, 5, '"1.2.3.4"'),
        ("a = yes", 1, 5, "quotes"),
        ("a = 'b'", 1, 5, "double quotes"),
        ("a = ${b}", 1, 5, "no substitutions"),
        ("a.b = 1", 1, 2, "dotted"),
        ("a { b = 1 }", 1, 3, "a: {"),
        ("a 1", 1, 3, "a = ..."),
        ("a = [ 1, 2", 1, 11, '"[" was opened in x:1:5'),
        ("a = { b = 1", 1, 12, '"{" was opened in x:1:5'),
        ("a = (1]", 1, 7, '"(" was opened'),
        ("a = 1 }", 1, 7, "a setting"),
        ("/* a = 1", 1, 1, "*/"),
        ('a = "b', 1, 5, "ends with"),
        ('a = "b\nc = "d"\ne = 1', 2, 7, "missing that begins in x:1:5"),
        ('include "file"', 1, 9, "@include"),
        ('include url("http://127.0.0.1/")', 1, 9, "include"),
        ("a = 99999999999999999999", 1, 5, "too large"),
        ("a = 1e999", 1, 5, "too large"),
        ("a = " + "9" * 5000, 1, 5, "too large"),
        ("a = 1\na = 2", 2, 1, "first in x:1:1"),
        ("b: { a = 1 }\nb: { c = 2 }", 2, 1, "first in x:1:1"),
    ],
)
def test_errors_name_the_place_and_the_remedy(text: str, line: int, column: int, hint: str) -> None:
    (problem,) = document(text).problems
    assert (problem.mark.line, problem.mark.column) == (line, column)
    assert hint in str(problem)


@pytest.mark.parametrize("opening", ["a = { ", "a = [", "a = ("])
def test_depth_is_bounded(opening: str) -> None:
    brackets = opening + opening[-2:].strip() * 200_000 if opening[-1] != " " else opening * 200_000
    (problem,) = document(brackets).problems
    assert "deep" in problem.text


def test_the_deepest_nesting_is_still_read() -> None:
    text = "a = {" * MOST_DEPTH + "}" * MOST_DEPTH
    value = document(text).values()
    for _ in range(MOST_DEPTH):
        value = value["a"]
    assert value == {}


@pytest.mark.parametrize("element", ["1", "[]", "{}", "{a=1}"])
def test_the_number_of_values_is_bounded(element: str) -> None:
    (problem,) = document(f"a = [{','.join([element] * (MOST_VALUES + 1))}]").problems
    assert "values" in problem.text


# Includes


def tree(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.conf").write_text(text)
    return folder / "main.conf"


def test_an_include_stands_for_its_settings(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.conf").write_text('@include "c.conf"\ny = 2')
    (tmp_path / "sub" / "c.conf").write_text("x = 1;")
    main = tree(tmp_path, main='g: {\n  @include "sub/b.conf"\n  z = 3\n}')
    read_here = read(main)
    assert read_here.values() == {"g": {"x": 1, "y": 2, "z": 3}}
    assert [path.name for path in read_here.files] == ["main.conf", "b.conf", "c.conf"]


def test_an_include_is_what_libconf_includes(tmp_path: Path) -> None:
    main = tree(tmp_path, main='a = 1;\n@include "b.conf"\nc = 3;', b="b = ( 2, 0x2L );")
    expected = libconf.load(io.StringIO(main.read_text()), includedir=str(tmp_path))
    assert read(main).values() == lists(expected)


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"main": '@include "none.conf"'}, "No such file"),
        ({"main": '@include "main.conf"'}, "includes itself"),
        ({"main": '@include "b.conf"', "b": '\n@include "../x/main.conf"'}, "includes itself"),
        ({"main": '@include "http://127.0.0.1:1/x"'}, "only files"),
        ({"main": '@include "*.conf"'}, "No such file"),
        ({"main": '@include "."'}, "directory"),
        ({"main": '@include ""'}, "only files"),
        ({"main": 'a = 1 @include "b.conf"', "b": ""}, "alone"),
        ({"main": "@include b.conf"}, "alone"),
    ],
)
def test_bad_includes_are_told_at_the_directive(tmp_path: Path, files: dict[str, str], what: str) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    (problem,) = read(tree(folder, **files)).problems
    assert what in problem.text
    assert "@include" in problem.mark.excerpt()


def test_a_long_chain_of_includes_ends(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.conf").write_text(f'@include "{number + 1}.conf"')
    (problem,) = read(tmp_path / "0.conf").problems
    assert "more than 8 deep" in problem.text


def test_an_error_in_an_included_file_names_it(tmp_path: Path) -> None:
    main = tree(tmp_path, main='@include "b.conf"', b="\n  x = ?")
    (problem,) = read(main).problems
    assert str(problem).startswith(f"{tmp_path}/b.conf:2:7: ")


Maker = Callable[[Path], object]


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100_000_000)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: None, "No such file"),
        (Path.mkdir, "directory"),
        (os.mkfifo, "a named pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.symlink_to(path.name), "symbolic links"),
        (large, "too large"),
        (lambda path: path.write_bytes(b"\x7fELF\x02\x00\xff\xfe"), "not UTF-8 text"),
        (lambda path: path.write_bytes(b"a = 1\0"), "NUL"),
    ],
)
def test_whatever_is_no_file_of_text_is_refused(tmp_path: Path, make: Maker, what: str) -> None:
    path = tmp_path / "main.conf"
    make(path)
    with pytest.raises(ConfigError, match=what):
        read(path)


def test_all_files_together_are_bounded(tmp_path: Path) -> None:
    main = tree(tmp_path, main='@include "b.conf"\n@include "c.conf"', b="#" * 600_000, c="#" * 600_000)
    (problem,) = read(main).problems
    assert "too large" in problem.text
    assert problem.mark.line == 2


def test_windows_files_are_read() -> None:
    assert document("a = 1\r\nb = [ 2,\r\n3 ]\r\n").values() == {"a": 1, "b": [2, 3]}
