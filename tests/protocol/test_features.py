"""What a server offers, as written by servers of all kinds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.protocol.client.features import Features, parse_features


def test_all_of_them() -> None:
    lines = [
        "PIPELINING",
        "SIZE 52428800",
        "8BITMIME",
        "SMTPUTF8",
        "STARTTLS",
        "DSN",
        "CHUNKING",
        "AUTH PLAIN LOGIN",
        "LIMITS RCPTMAX=100 MAILMAX=50",
        "XVENDOR hello",
    ]
    assert parse_features(lines) == Features(
        pipelining=True,
        chunking=True,
        eightbit=True,
        smtputf8=True,
        dsn=True,
        starttls=True,
        size=52428800,
        auth=frozenset({"PLAIN", "LOGIN"}),
        recipient_limit=100,
        mail_limit=50,
    )


def test_case_means_nothing() -> None:
    assert parse_features(["pipelining", "auth plain"]) == parse_features(["PIPELINING", "AUTH PLAIN"])


@pytest.mark.parametrize("lines", [["AUTH PLAIN", "AUTH=LOGIN"], ["AUTH=PLAIN LOGIN"]], ids=repr)
def test_auth_as_it_was_written_once(lines: list[str]) -> None:
    assert parse_features(lines).auth == {"PLAIN", "LOGIN"}


@pytest.mark.parametrize(
    ("line", "size"),
    [("SIZE", 0), ("SIZE 0", 0), ("SIZE x", 0), ("SIZE -1", 0), ("SIZE 1_0", 0), ("SIZED", None)],
)
def test_sizes_that_are_no_limit(line: str, size: int | None) -> None:
    assert parse_features([line]).size == size


@pytest.mark.parametrize(
    "line", ["LIMITS", "LIMITS RCPTMAX", "LIMITS RCPTMAX=", "LIMITS RCPTMAX=x", "LIMITS RCPTMAX=0"]
)
def test_limits_that_are_none(line: str) -> None:
    assert parse_features([line]).recipient_limit is None


@pytest.mark.parametrize("lines", [[], [""], [" "], ["STARTTLSX"], ["X STARTTLS"]], ids=repr)
def test_nothing(lines: list[str]) -> None:
    assert parse_features(lines) == Features()


@given(st.lists(st.text(max_size=20)))
def test_any_lines_are_read(lines: list[str]) -> None:
    assert isinstance(parse_features(lines), Features)
