"""Bans: who is meant, and who is under one."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from mta.users.account import Ban
from mta.users.bans import Bans, subject_of
from mta.users.errors import UnfitName

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("Alice@Example.ORG", "alice@example.org"),
    ],
)
def test_who_is_meant(text: str, subject: str) -> None:
    assert subject_of(text) == subject


@pytest.mark.parametrize(
    "text", ["", "alice", "192.0.2", "192.0.2.1/33", "fe80::1%eth0", "a@b c", "1.2.3.4\n"]
)
def test_who_cannot_be_meant(text: str) -> None:
    with pytest.raises(UnfitName):
        subject_of(text)


def test_an_address_with_the_size_of_its_network() -> None:
    with pytest.raises(UnfitName, match=r"say 192\.0\.2\.0/24, or the address alone"):
        subject_of("192.0.2.7/24")


BANS = Bans(
    Ban(subject, until)
    for subject, until in (
        ("192.0.2.1", None),
        ("198.51.100.0/24", NOW + 60),
        ("198.51.100.7", NOW - 1),
        ("2001:db8::/32", None),
        ("alice@example.org", None),
        ("bob@example.org", NOW),
    )
)


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.2", None),
        ("198.51.100.7", "198.51.100.0/24"),  # the ban of its own is over
        ("2001:db8:ffff::1", "2001:db8::/32"),
        ("2001:db9::", None),
        ("::c000:201", None),  # the number of 192.0.2.1, but another address
    ],
)
def test_addresses(address: str, subject: str | None) -> None:
    ban = BANS.of(ip_address(address), NOW)
    assert (ban and ban.subject) == subject


def test_a_ban_ends_by_itself() -> None:
    assert BANS.of(ip_address("198.51.100.1"), NOW + 59) is not None
    assert BANS.of(ip_address("198.51.100.1"), NOW + 60) is None


def test_users() -> None:
    assert BANS.of_user("alice@example.org", NOW) is not None
    assert BANS.of_user("alice@example.net", NOW) is None
    assert BANS.of_user("bob@example.org", NOW) is None
    assert BANS.of_user("bob@example.org", NOW - 1) is not None


def test_everybody() -> None:
    everybody = Bans([Ban("0.0.0.0/0", None), Ban("::/0", None)])
    assert everybody.of(ip_address("203.0.113.9"), NOW) is not None
    assert everybody.of(ip_address("::1"), NOW) is not None
