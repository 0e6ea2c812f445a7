"""`mta alias`."""

from __future__ import annotations

import pytest

from tests.cli.people import Desk


def test_an_alias_comes_and_goes(desk: Desk) -> None:
    said = desk.run("alias", "add", "Info", "Alice", "Bob.Smith@Elsewhere.EXAMPLE")
    assert said == (0, "info@example.org: alice@example.org, Bob.Smith@elsewhere.example\n", "")
    assert desk.run("alias", "add", "info@example.org", "carol@example.net", "--json").values == {
        "address": "info@example.org",
        "targets": ["alice@example.org", "Bob.Smith@elsewhere.example", "carol@example.net"],
    }
    said = desk.run("alias", "delete", "info", "Bob.Smith@elsewhere.example")
    assert said.out == "info@example.org: alice@example.org, carol@example.net\n"
    assert desk.run("alias", "delete", "info").out == "info@example.org: deleted\n"
    assert desk.run("alias", "delete", "info") == (1, "", "mta: there is no alias info@example.org\n")


def test_a_list(desk: Desk) -> None:
    desk.run("alias", "add", "*@example.net", "alice")
    desk.run("alias", "add", "info", "alice")
    assert desk.run("alias", "list").out == (
        "*@example.net: alice@example.org\ninfo@example.org: alice@example.org\n"
    )
    values = desk.run("alias", "list", "--json", "--domain", "example.net").values
    assert values == [{"address": "*@example.net", "targets": ["alice@example.org"]}]


def test_nothing_to_list(desk: Desk) -> None:
    desk.add("alice")
    assert desk.run("alias", "list").out == "there are no aliases\n"
    assert desk.run("alias", "list", "--json").values == []


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("info@elsewhere.example", "alice"),
        ("../x", "alice"),
        ("info", "a b"),
        ("info", ""),
        ("info", "alice@"),
        ("info", "alice@example.org> SIZE=1"),
        ("info", "*@example.org"),
        ("info", "alice\n"),
    ],
)
def test_what_is_refused(desk: Desk, address: str, target: str) -> None:
    said = desk.run("alias", "add", address, target)
    assert said.status == 1
    assert said.err.count("\n") == 1
    assert desk.run("alias", "list").out != "info@example.org: alice@example.org\n"


@pytest.mark.parametrize("words", ["", "add info", "delete"])
def test_wrong_usage(desk: Desk, words: str) -> None:
    assert desk.run("alias", *words.split()).status == 2
