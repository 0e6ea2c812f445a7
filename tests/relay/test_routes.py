"""The decision, from what the DNS says to where mail goes, in plain values."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, ip_address, ip_network
from random import Random

import pytest

from mta.config.units import Endpoint
from mta.relay.outcome import Never, Reason, TryLater
from mta.relay.routing.routes import (
    MOST_ADDRESSES,
    Decision,
    Exchangers,
    Host,
    Missing,
    Own,
    Route,
    Silence,
    Terms,
    decide,
    is_silent,
    may_connect,
)

US = "mx.example.org"
PUBLIC, PUBLIC_TOO, PUBLIC_SIX = "8.8.8.8", "9.9.9.9", "2606:4700::1"
OURS = "198.41.0.4"
TERMS = Terms(Own(frozenset({US}), frozenset({ip_address(OURS)}), (Endpoint("0.0.0.0", 25),)))


def host(preference: int, name: str, *addresses: str, silence: str = "") -> Host:
    return Host(preference, name, tuple(map(ip_address, addresses)), silence)


def route(*hosts: Host, terms: Terms = TERMS, seed: int = 1) -> Decision:
    return decide(Exchangers(hosts), terms, Random(seed))


def addresses(decision: Decision) -> list[str]:
    assert isinstance(decision, Route)
    return [str(hop.address) for hop in decision.hosts]


def verdict(decision: Decision) -> tuple[type, str, Reason]:
    assert not isinstance(decision, Route)
    return type(decision), decision.status, decision.reason


# --- what there is


def test_no_such_domain() -> None:
    assert verdict(decide(Missing.NAME, TERMS, Random())) == (Never, "5.1.2", Reason.NO_SUCH_DOMAIN)


def test_neither_exchanger_nor_address() -> None:
    assert verdict(decide(Missing.DATA, TERMS, Random())) == (Never, "5.1.2", Reason.NO_EXCHANGER)


def test_no_answer_is_tried_later() -> None:
    decision = decide(Silence("SERVFAIL"), TERMS, Random())
    assert verdict(decision) == (TryLater, "4.4.3", Reason.DNS_SILENT)
    assert isinstance(decision, TryLater)
    assert decision.detail == "SERVFAIL"


@pytest.mark.parametrize("others", [(), (host(10, "a.example", PUBLIC),)], ids=["alone", "beside others"])
def test_null_mx(others: tuple[Host, ...]) -> None:
    assert verdict(route(host(0, ""), *others)) == (Never, "5.1.10", Reason.NULL_MX)


def test_exchangers_by_preference() -> None:
    hosts = [host(p, f"h{p}.example", f"8.8.8.{p}") for p in (30, 10, 20)]
    assert addresses(route(*hosts)) == ["8.8.8.10", "8.8.8.20", "8.8.8.30"]


def test_a_hop_tells_where_and_to_whom() -> None:
    decision = route(host(10, "a.example", PUBLIC), terms=Terms(Own(frozenset()), port=2525))
    assert isinstance(decision, Route)
    (hop,) = decision.hosts
    assert hop == (ip_address(PUBLIC), 2525, "a.example", "opportunistic", None)


def test_both_families_take_turns() -> None:
    decision = route(host(10, "a.example", "8.8.8.1", "8.8.8.2", "2606:4700::1", "2606:4700::2"))
    assert [ip_address(a).version for a in addresses(decision)] == [6, 4, 6, 4]


def test_equals_are_shuffled() -> None:
    """Chi-square over three exchangers, 2 degrees of freedom: 13.8 is passed once in a thousand runs."""
    hosts = [host(10, f"{i}.example", f"8.8.8.{i}") for i in range(3)]
    firsts = Counter(addresses(route(*hosts, seed=seed))[0] for seed in range(1000))
    assert len(firsts) == 3
    assert sum((count - 1000 / 3) ** 2 / (1000 / 3) for count in firsts.values()) < 13.8


def test_addresses_of_one_host_are_shuffled() -> None:
    one = host(10, "a.example", *(f"8.8.8.{i}" for i in range(3)))
    assert len({tuple(addresses(route(one, seed=seed))) for seed in range(100)}) == 6


def test_an_attempt_tries_few_addresses() -> None:
    many = [host(10, f"{i}.example", *(f"8.8.{i}.{j}" for j in range(200))) for i in range(10)]
    assert len(addresses(route(*many))) == MOST_ADDRESSES


# --- hosts of no use


def test_a_host_without_address_is_skipped() -> None:
    assert addresses(route(host(10, "a.example"), host(20, "b.example", PUBLIC))) == [PUBLIC]


def test_no_exchanger_has_an_address() -> None:
    decision = route(host(10, "a.example"), host(20, "b.example"))
    assert verdict(decision) == (Never, "5.4.4", Reason.NO_EXCHANGER)


def test_an_exchanger_without_answer_may_have_one_later() -> None:
    decision = route(host(10, "a.example", silence="timeout"), host(20, "b.example"))
    assert verdict(decision) == (TryLater, "4.4.3", Reason.DNS_SILENT)


def test_an_exchanger_with_half_an_answer_is_used() -> None:
    assert addresses(route(host(10, "a.example", PUBLIC, silence="no answer for AAAA"))) == [PUBLIC]


def test_silence_is_what_an_answer_would_change() -> None:
    assert is_silent(Silence("x"))
    assert is_silent(Exchangers((host(1, "a.example", silence="x"), host(2, "b.example"))))
    assert not is_silent(Exchangers((host(1, "a.example", silence="x"), host(2, "b.example", PUBLIC))))
    assert not is_silent(Missing.NAME)


# --- ourselves


@pytest.mark.parametrize(
    "us", [host(20, US, PUBLIC_TOO), host(20, "other-name.example", OURS)], ids=["by name", "by address"]
)
def test_only_exchangers_better_than_us_remain(us: Host) -> None:
    better, equal, worse = (
        host(10, "a.example", PUBLIC),
        host(20, "b.example", "8.8.4.4"),
        host(30, "c.example", "8.8.4.5"),
    )
    assert addresses(route(worse, us, equal, better)) == [PUBLIC]


@pytest.mark.parametrize("others", [(), (host(10, "b.example", PUBLIC),)], ids=["alone", "with equals"])
def test_mail_that_comes_back_to_us(others: tuple[Host, ...]) -> None:
    assert verdict(route(host(10, US, OURS), *others)) == (Never, "5.4.6", Reason.LOOPS_BACK)


def test_the_better_one_is_silent_and_we_are_the_backup() -> None:
    decision = route(host(10, "a.example", silence="timeout"), host(20, US, OURS))
    assert verdict(decision) == (TryLater, "4.4.3", Reason.DNS_SILENT)


@pytest.mark.parametrize(
    ("listener", "address", "port", "ours"),
    [
        ("127.0.0.1:25", "127.0.0.1", 25, True),
        ("127.0.0.1:25", "127.0.0.1", 2525, False),
        ("127.0.0.1:25", "127.0.0.2", 25, False),
        ("0.0.0.0:25", "127.0.0.2", 25, True),
        ("[::]:25", "::1", 25, True),
        ("[::]:25", "127.0.0.1", 25, True),
        ("[::1]:25", "127.0.0.1", 25, False),
        ("127.0.0.1:25", "0.0.0.0", 25, True),
        ("127.0.0.1:25", "::ffff:127.0.0.1", 25, True),
        ("8.8.8.8:25", "8.8.8.8", 25, True),
        ("8.8.8.8:25", "8.8.8.8", 26, False),
        ("127.0.0.1:25", OURS, 26, True),
        ("127.0.0.1:25", f"::ffff:{OURS}", 26, True),
        ("127.0.0.1:25", PUBLIC, 25, False),
    ],
)
def test_where_we_are(listener: str, address: str, port: int, ours: bool) -> None:
    where, _, at = listener.rpartition(":")
    own = Own(frozenset(), frozenset({ip_address(OURS)}), (Endpoint(where.strip("[]"), int(at)),))
    assert own.is_at(ip_address(address), port) is ours


# --- private targets

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "0.1.2.3", "::", "169.254.1.1", "fe80::1", "10.0.0.1",
    "172.16.0.1", "192.168.1.1", "100.64.0.1", "fc00::1", "fd12::1", "224.0.0.1", "239.1.1.1", "ff02::1",
    "ff0e::1", "255.255.255.255", "240.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
    "2002:7f00:1::", "2002:a00:1::1", "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "192.0.2.1", "198.18.0.1",
    "2001:db8::1", "fec0::1", "64:ff9b:1::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_never_connected_to(address: str) -> None:
    assert not may_connect(ip_address(address), ())
    decision = route(host(10, "a.example", address), terms=Terms(Own(frozenset())))
    assert verdict(decision) == (Never, "5.4.4", Reason.PRIVATE_TARGET)


@pytest.mark.parametrize(
    "address", [PUBLIC, PUBLIC_SIX, "64:ff9b::8.8.8.8", "2002:808:808::1", "::ffff:8.8.8.8"]
)
def test_public_addresses(address: str) -> None:
    assert may_connect(ip_address(address), ())


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("127.0.0.0/8", "127.0.0.2"),
        ("127.0.0.0/8", "::ffff:127.0.0.2"),
        ("10.0.0.0/8", "10.1.2.3"),
        ("::1/128", "::1"),
        ("fd00::/8", "fd12::1"),
        ("64:ff9b::/96", "64:ff9b::10.0.0.1"),
    ],
)
def test_the_operator_may_allow_private_networks(network: str, address: str) -> None:
    assert may_connect(ip_address(address), (ip_network(network),))
    assert not may_connect(ip_address("192.168.7.7"), (ip_network(network),))


def test_public_addresses_of_a_host_with_private_ones_are_used() -> None:
    assert addresses(route(host(10, "a.example", "10.0.0.1", PUBLIC, "::1"))) == [PUBLIC]


def test_the_checked_address_is_the_one_to_connect_to() -> None:
    """Names are not looked up again (rebinding)."""
    decision = route(host(10, "a.example", PUBLIC))
    assert isinstance(decision, Route)
    assert isinstance(decision.hosts[0].address, IPv4Address)
