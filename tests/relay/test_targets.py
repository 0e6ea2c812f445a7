"""Hosts that the operator names, and the passwords for them."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from mta.config.units import Unfit
from mta.protocol.client.login import Login
from mta.relay.routing.own import interface_addresses
from mta.relay.routing.routes import Tls
from mta.relay.routing.targets import (
    BadCredentials,
    Credentials,
    Target,
    parse_credentials,
    parse_target,
    parse_targets,
    read_credentials,
)

LOGIN = Login("user", "secret word")
CREDENTIALS = parse_credentials(
    ["# the provider", "", "Smart.Example user secret word", "smart.example other x", "127.0.0.1 user y"],
    "file",
)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("smtp://a.example", Target("a.example", 25, None)),
        ("smtp://A.Example:2525", Target("a.example", 2525, None)),
        ("smtps://a.example", Target("a.example", 465, "implicit")),
        ("smtps://u@a.example:466", Target("a.example", 466, "implicit", "u")),
        ("smtp://u%40b:p%3Aw@a.example", Target("a.example", 25, None, "u@b", Login("u@b", "p:w"))),
        ("smtp://[2001:db8::1]:26?tls=require", Target("2001:db8::1", 26, "require")),
        ("smtp://192.0.2.1?tls=none", Target("192.0.2.1", 25, "none")),
        ("smtp://a.example?tls=opportunistic", Target("a.example", 25, "opportunistic")),
    ],
)
def test_a_target(url: str, target: Target) -> None:
    assert parse_target(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "smtp://",
        "http://a.example",
        "smtp://a.example?tls=yes",
        "smtp://a.example?tls=implicit",
        "smtp://a.example?tls=",
        "smtp://a.example?tsl=require",
        "smtps://a.example?tls=none",
    ],
)
def test_no_target(url: str) -> None:
    with pytest.raises(Unfit):
        parse_target(url)


@pytest.mark.parametrize(
    ("url", "address", "tls"),
    [
        ("smtp://a.example", "192.0.2.1", "opportunistic"),
        ("smtp://smart.example", "192.0.2.1", "require"),
        ("smtp://smart.example?tls=opportunistic", "192.0.2.1", "opportunistic"),
        ("smtps://smart.example", "192.0.2.1", "implicit"),
        ("smtp://127.0.0.1", "127.0.0.1", "opportunistic"),
    ],
)
def test_a_login_asks_for_tls(url: str, address: str, tls: Tls) -> None:
    assert CREDENTIALS.complete(parse_target(url)).hop(ip_address(address)).tls == tls


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("smtp://smart.example", LOGIN),
        ("smtp://user@smart.example", LOGIN),
        ("smtp://other@smart.example", Login("other", "x")),
        ("smtp://nobody@smart.example", None),
        ("smtp://user:z@smart.example", Login("user", "z")),
        ("smtp://elsewhere.example", None),
    ],
)
def test_the_login_for_a_host(url: str, login: Login | None) -> None:
    assert CREDENTIALS.complete(parse_target(url)).login == login


def test_targets_of_domains() -> None:
    targets = parse_targets(
        ["one.example smtp://a.example", "two.example smtp://b.example", "one.example smtp://c.example"],
        "smtp://smart.example",
        CREDENTIALS,
    )
    assert [target.host for target in targets.of("one.example")] == ["a.example", "c.example"]
    assert [target.host for target in targets.of("sub.one.example")] == ["smart.example"]
    assert targets.of("three.example")[0].login == LOGIN
    assert parse_targets([], "", Credentials()).of("one.example") == ()


def test_no_password_is_shown() -> None:
    assert "secret" not in repr(CREDENTIALS)
    assert "secret" not in repr(CREDENTIALS.complete(parse_target("smtp://smart.example")))


# --- the file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "credentials"
    path.touch(mode=0o600)
    return path


def test_a_file_is_read(file: Path) -> None:
    file.write_text("smart.example user secret word\n")
    assert read_credentials(file).logins == {"smart.example": (LOGIN,)}
    assert read_credentials(None).logins == {}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_nobody_else_may_read_it(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(BadCredentials, match="0600"):
        read_credentials(file)


@pytest.mark.parametrize("line", ["smart.example", "smart.example secret", "smart.example user se\0cret"])
def test_a_bad_line_is_named_and_not_shown(file: Path, line: str) -> None:
    file.write_text(f"# first\n{line}\n")
    with pytest.raises(BadCredentials, match=r"credentials:2: ") as caught:
        read_credentials(file)
    assert "secret" not in str(caught.value)


def test_a_file_that_cannot_be_read(file: Path, tmp_path: Path) -> None:
    with pytest.raises(BadCredentials, match="No such file"):
        read_credentials(tmp_path / "missing")
    with pytest.raises(BadCredentials, match=r"not a regular file|directory"):
        read_credentials(tmp_path)
    file.write_bytes(b"smart.example user \xff\n")
    with pytest.raises(BadCredentials, match="UTF-8"):
        read_credentials(file)


# --- this machine


def test_the_loopback_address_is_an_address_of_this_machine() -> None:
    assert ip_address("127.0.0.1") in set(interface_addresses())


def test_addresses_as_the_kernel_tells_them(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(
        "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n"
        "           |-- 192.0.2.5\n              /32 host LOCAL\n"
        "           |-- 192.0.2.255\n              /32 link BROADCAST\n"
        "Local:\n           |-- 192.0.2.5\n              /32 host LOCAL\n"
    )
    (tmp_path / "if_inet6").write_text("20010db8000000000000000000000005 02 40 00 80     eth0\n")
    assert set(interface_addresses(tmp_path)) == {ip_address("192.0.2.5"), ip_address("2001:db8::5")}


def test_a_kernel_without_ipv6(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text("")
    assert list(interface_addresses(tmp_path)) == []
