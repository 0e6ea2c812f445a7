"""`mta ban`."""

from __future__ import annotations

import pytest

from tests.cli.people import Desk


def test_a_ban_comes_and_goes(desk: Desk) -> None:
    assert desk.run("ban", "add", "192.0.2.0/24") == (0, "192.0.2.0/24 is banned\n", "")
    assert desk.run("ban", "add", "Alice").out == "alice@example.org is banned\n"
    assert [each["subject"] for each in desk.run("ban", "list", "--json").values] == [
        "192.0.2.0/24",
        "alice@example.org",
    ]
    assert desk.run("ban", "delete", "alice@example.org").out == "alice@example.org is served again\n"
    assert desk.run("ban", "delete", "alice") == (1, "", "mta: alice@example.org is not banned\n")
    desk.run("ban", "delete", "192.0.2.0/24")
    assert desk.run("ban", "list").out == "nobody is banned\n"


def test_for_a_while(desk: Desk) -> None:
    assert (
        desk.run("ban", "add", "2001:DB8::1", "--for", "2d").out == "2001:db8::1 is banned for another 2 d\n"
    )
    assert desk.run("ban", "list", "--json").values[0]["until"] > 1_000_000_000


def test_a_name_is_a_user_and_not_an_address(desk: Desk) -> None:
    assert desk.run("ban", "add", "beef").out == "beef@example.org is banned\n"


@pytest.mark.parametrize("subject", ["192.0.2", "192.0.2.7/24", "192.0.2.0/33", "fe80::zz", ":::"])
def test_who_cannot_be_banned(desk: Desk, subject: str) -> None:
    said = desk.run("ban", "add", subject)
    assert (said.status, said.err.count("\n")) == (1, 1)


@pytest.mark.parametrize("words", ["", "add", "add 192.0.2.1 --for ever", "delete"])
def test_wrong_usage(desk: Desk, words: str) -> None:
    assert desk.run("ban", *words.split()).status == 2
