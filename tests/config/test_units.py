"""Durations and sizes: what people write, and back again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.problems import mask
from mta.config.units import (
    Unfit,
    parse_duration,
    parse_endpoint,
    parse_nameserver,
    parse_relay_url,
    parse_size,
    show_duration,
    show_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("0s", 0), ("250ms", 0.25), ("1.5h", 5400), ("5d", 432_000), ("5 m", 300)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("50MB", 50_000_000),
        ("1MiB", 1_048_576),
        ("64 KiB", 65536),
        ("1kB", 1000),
        ("1KB", 1000),
        ("1.5GB", 15 * 10**8),
    ],
)
def test_sizes(text: str, octets: int) -> None:
    assert parse_size(text) == octets


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5M", "5mm", "1e3s", "\u0665m", "5m ", "1_0s", "0x5m", "9" * 99 + "s"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@settings(deadline=None)
@given(st.integers(0, 10**11))
def test_durations_go_round(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(show_duration(seconds)) == seconds


@settings(deadline=None)
@given(st.integers(0, 10**14))
def test_sizes_go_round(octets: int) -> None:
    assert parse_size(show_size(octets)) == octets


@pytest.mark.parametrize(
    ("octets", "text"), [(0, "0B"), (65536, "64KiB"), (64_000_000, "64MB"), (1001, "1001B")]
)
def test_sizes_are_shown_short(octets: int, text: str) -> None:
    assert show_size(octets) == text


@pytest.mark.parametrize("text", ["127.0.0.1:0", "[::1]:25", "0.0.0.0:65535", "[fe80::1%eth0]:25"])
def test_endpoints_go_round(text: str) -> None:
    assert str(parse_endpoint(text)) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("smtp://u:p@h:25", "smtp://u:***@h:25"),
        ("smtp://u:p@[::1]:25 and smtp://v:q@h", "smtp://u:***@[::1]:25 and smtp://v:***@h"),
        ("smtp://u@h:25", "smtp://u@h:25"),
        ("smtp://[::1]:25", "smtp://[::1]:25"),
        ("smtp://h:25?tls=require", "smtp://h:25?tls=require"),
        ("listen = 127.0.0.1:25 # a: b@c", "listen = 127.0.0.1:25 # a: b@c"),
    ],
)
def test_only_passwords_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    ("text", "value"),
    [("192.0.2.53", "192.0.2.53"), ("127.0.0.1:5353", "127.0.0.1:5353"), ("2001:DB8::53", "2001:db8::53"),
     ("[::1]:5353", "[::1]:5353")],
)  # fmt: skip
def test_a_name_server_may_have_a_port(text: str, value: str) -> None:
    assert parse_nameserver(text) == value


@pytest.mark.parametrize("text", ["dns.example.org", "127.0.0.1:x", "[::1]", "::1:99999999", ""])
def test_what_is_no_name_server_is_said(text: str) -> None:
    with pytest.raises(Unfit):
        parse_nameserver(text)


@pytest.mark.parametrize("query", ["tls=maybe", "tls", "x=1", "tls=none&tls=require"])
def test_a_route_has_one_option_and_its_values_are_known(query: str) -> None:
    assert parse_relay_url("smtp://host?tls=require")
    with pytest.raises(Unfit):
        parse_relay_url(f"smtp://host?{query}")
