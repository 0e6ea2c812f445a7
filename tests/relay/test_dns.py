"""What the DNS may answer, asked over real UDP and TCP of a name server with bad habits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from random import Random

import dns.rcode
import pytest

from mta.relay.outcome import Never, Reason, TryLater
from mta.relay.routing.dns import Resolver
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
)
from tests.relay.nameserver import (
    Habit,
    NameServer,
    Zone,
    empty,
    nobody,
    refuse,
    silence,
    truncated,
    wrong_id,
    wrong_question,
)

US = "mx.example.org"
PUBLIC, PUBLIC_SIX = "8.8.8.8", "2606:4700::1"
TERMS = Terms(Own(frozenset({US})))
PATIENCE = 10.0
IMPATIENCE = 0.2
"""Seconds for questions that nobody answers."""

ZONE: Zone = {
    "plain.example": {"MX": ["10 mx1.example.", "20 mx2.example."], "A": ["8.8.4.4"]},
    "mx1.example": {"A": [PUBLIC], "AAAA": [PUBLIC_SIX]},
    "mx2.example": {"A": ["8.8.8.9"]},
    "implicit.example": {"A": [PUBLIC], "AAAA": [PUBLIC_SIX]},
    "nothing.example": {"TXT": ["x"]},
    "null.example": {"MX": ["0 ."]},
    "null-and-more.example": {"MX": ["0 .", "10 mx1.example."], "A": [PUBLIC]},
    "alias.example": {"CNAME": ["plain.example."]},
    "alias-to-host.example": {"CNAME": ["implicit.example."]},
    "mx-alias.example": {"MX": ["10 alias-to-host.example."]},
    "mx-no-name.example": {"MX": ["10 missing.example."], "A": [PUBLIC]},
    "mx-no-address.example": {"MX": ["10 nothing.example."], "A": [PUBLIC]},
    "mx-number.example": {"MX": ["10 8.8.8.8."], "A": [PUBLIC]},
    "mx-nul.example": {"MX": ["10 \\000."], "A": [PUBLIC]},
    "mx-long.example": {"MX": [f"10 {'.'.join(['x' * 61] * 4)}."], "A": [PUBLIC]},
    "mx-odd-and-good.example": {"MX": ["10 \\000.", "20 8.8.8.8.", "30 mx1.example."]},
    "us.example": {"MX": [f"10 {US}."], "A": [PUBLIC]},
    "backup.example": {"MX": ["10 mx2.example.", f"20 {US}.", "20 mx1.example."]},
    US: {"A": [PUBLIC]},
    "loopback.example": {"MX": ["10 localhost."]},
    "localhost": {"A": ["127.0.0.1"], "AAAA": ["::1"]},
    "many-mx.example": {"MX": [f"10 h{i}.example." for i in range(2000)]},
    **{f"h{i}.example": {"A": [f"8.{i // 250}.{i % 250}.1"]} for i in range(2000)},
    "ten-mx.example": {"MX": [f"10 h{i}.example." for i in range(10)]},
    "many-a.example": {"MX": ["10 crowd.example."]},
    "enough.example": {"MX": ["10 crowd.example.", "20 mx1.example."]},
    "crowd.example": {"A": [f"8.8.{i // 250}.{i % 250}" for i in range(500)]},
    "long-texts.example": {"MX": [f"{i} {i:063d}.{'y' * 60}.example." for i in range(400)]},
    **{f"chain{i}.example": {"CNAME": [f"chain{i + 1}.example."]} for i in range(20)},
    "chain20.example": {"MX": ["10 mx1.example."]},
    "loop1.example": {"CNAME": ["loop2.example."]},
    "loop2.example": {"CNAME": ["loop1.example."]},
    "half.example": {"MX": ["10 half-mx.example."]},
    "half-mx.example": {"A": [PUBLIC]},
    "www.dname.example": {"CNAME": ["plain.example."]},
    "upper.example": {"MX": ["10 MX1.Example."]},
}


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer(ZONE) as server:
        yield server


def resolver(server: NameServer, timeout: float = PATIENCE) -> Resolver:
    return Resolver((server.address,), timeout)


def find(server: NameServer, domain: str, timeout: float = PATIENCE, terms: Terms = TERMS) -> Decision:
    random = Random(1)
    return decide(resolver(server, timeout).exchangers(domain, random).found, terms, random)


def addresses(decision: Decision) -> list[str]:
    assert isinstance(decision, Route)
    return [str(hop.address) for hop in decision.hosts]


def verdict(decision: Decision) -> tuple[type, str, Reason]:
    assert not isinstance(decision, Route)
    return type(decision), decision.status, decision.reason


NO_HOST = (Never, "5.4.4", Reason.NO_EXCHANGER)
SILENT = (TryLater, "4.4.3", Reason.DNS_SILENT)

FAILURES = {
    "null.example": (Never, "5.1.10", Reason.NULL_MX),
    "null-and-more.example": (Never, "5.1.10", Reason.NULL_MX),
    "missing.example": (Never, "5.1.2", Reason.NO_SUCH_DOMAIN),
    "nothing.example": (Never, "5.1.2", Reason.NO_EXCHANGER),
    "mx-no-name.example": NO_HOST,
    "mx-no-address.example": NO_HOST,
    "mx-number.example": NO_HOST,
    "mx-nul.example": NO_HOST,
    "mx-long.example": NO_HOST,
    "us.example": (Never, "5.4.6", Reason.LOOPS_BACK),
    "loopback.example": (Never, "5.4.4", Reason.PRIVATE_TARGET),
    "chain0.example": SILENT,
    "loop1.example": SILENT,
}


@pytest.mark.parametrize("domain", FAILURES)
def test_no_route(server: NameServer, domain: str) -> None:
    assert verdict(find(server, domain)) == FAILURES[domain]


ROUTES = {
    "plain.example": [PUBLIC_SIX, PUBLIC, "8.8.8.9"],
    "implicit.example": [PUBLIC_SIX, PUBLIC],
    "alias.example": [PUBLIC_SIX, PUBLIC, "8.8.8.9"],
    "alias-to-host.example": [PUBLIC_SIX, PUBLIC],
    "mx-alias.example": [PUBLIC_SIX, PUBLIC],
    "mx-odd-and-good.example": [PUBLIC_SIX, PUBLIC],
    "backup.example": ["8.8.8.9"],
    "www.dname.example": [PUBLIC_SIX, PUBLIC, "8.8.8.9"],
    "upper.example": [PUBLIC_SIX, PUBLIC],
    "chain5.example": [PUBLIC_SIX, PUBLIC],
}


@pytest.mark.parametrize("domain", ROUTES)
def test_route(server: NameServer, domain: str) -> None:
    assert addresses(find(server, domain)) == ROUTES[domain]


def test_no_address_of_a_domain_that_has_exchangers_is_asked_for(server: NameServer) -> None:
    """RFC 5321 5.1: MUST NOT."""
    find(server, "mx-no-name.example")
    assert ("mx-no-name.example", "A") not in server.asked
    assert ("mx-no-name.example", "AAAA") not in server.asked


def test_a_name_that_is_no_host_is_not_asked_for(server: NameServer) -> None:
    find(server, "mx-odd-and-good.example")
    assert {name for name, _ in server.asked} == {"mx-odd-and-good.example", "mx1.example"}


def test_the_operator_may_allow_loopback(server: NameServer) -> None:
    terms = Terms(Own(frozenset({US})), 2525, (ip_network("127.0.0.0/8"),))
    assert addresses(find(server, "loopback.example", terms=terms)) == ["127.0.0.1"]


# --- no answer that could be used


NO_ANSWERS: dict[str, Habit] = {
    "SERVFAIL": refuse(dns.rcode.SERVFAIL),
    "REFUSED": refuse(dns.rcode.REFUSED),
    "FORMERR": refuse(dns.rcode.FORMERR),
    "NOTIMP": refuse(dns.rcode.NOTIMP),
    "time-out": silence,
    "empty packet": empty,
    "wrong id": wrong_id,
    "wrong question": wrong_question,
}


@pytest.mark.parametrize("habit", NO_ANSWERS)
def test_no_usable_answer_for_the_domain(server: NameServer, habit: str) -> None:
    server.habits["plain.example"] = NO_ANSWERS[habit]
    assert verdict(find(server, "plain.example", IMPATIENCE)) == SILENT


@pytest.mark.parametrize("habit", NO_ANSWERS)
def test_no_usable_answer_for_the_only_host(server: NameServer, habit: str) -> None:
    server.habits["half-mx.example"] = NO_ANSWERS[habit]
    assert verdict(find(server, "half.example", IMPATIENCE)) == SILENT


def test_no_usable_answer_for_one_host_of_two(server: NameServer) -> None:
    server.habits["mx1.example"] = refuse(dns.rcode.SERVFAIL)
    assert addresses(find(server, "plain.example")) == ["8.8.8.9"]


def test_no_usable_answer_for_a_domain_without_mx(server: NameServer) -> None:
    """The MX question is answered, the address is not: nobody may take that for "no address"."""
    found = Resolver((server.address,), IMPATIENCE)
    server.habits["implicit.example"] = lambda question: (
        None
        if "MX" not in str(question.question[0])
        else server._look_up(question, "nothing.example", "MX").to_wire()
    )
    assert isinstance(
        decide(found.exchangers("implicit.example", Random(1)).found, TERMS, Random(1)), TryLater
    )


def test_nobody_is_there() -> None:
    """The port is unreachable, which ICMP tells."""
    with nobody() as address:
        found = Resolver((address,), IMPATIENCE).exchangers("plain.example", Random(1)).found
    assert isinstance(found, Silence)


def test_truncated_and_refused_over_tcp() -> None:
    with NameServer(ZONE, tcp=False) as server:
        server.habits["plain.example"] = truncated
        assert verdict(find(server, "plain.example", IMPATIENCE)) == SILENT


def test_the_second_server_answers_when_the_first_does_not(server: NameServer) -> None:
    """And is the first from then on: the time for all hosts is not enough for many time-outs."""
    with NameServer(ZONE) as mute:
        mute.habits = dict.fromkeys(ZONE, silence)
        both = Resolver((mute.address, server.address), 1.0)
        assert isinstance(both.exchangers("plain.example", Random(1)).found, Exchangers)
        asked = sum(mute.asked.values())
        assert isinstance(both.exchangers("plain.example", Random(1)).found, Exchangers)
        assert (asked, sum(mute.asked.values())) == (1, 1)


# --- bounds


def test_two_thousand_exchangers(server: NameServer) -> None:
    assert len(addresses(find(server, "many-mx.example"))) == MOST_ADDRESSES
    assert sum(server.asked.values()) <= 2 + 2 * 10  # by UDP and TCP, then ten hosts


def test_five_hundred_addresses_of_one_exchanger(server: NameServer) -> None:
    assert len(addresses(find(server, "many-a.example"))) == MOST_ADDRESSES


def test_no_more_hosts_are_asked_for_than_an_attempt_needs(server: NameServer) -> None:
    find(server, "enough.example")
    assert ("crowd.example", "A") in server.asked
    assert ("mx1.example", "A") not in server.asked


def test_an_answer_of_many_kilobytes(server: NameServer) -> None:
    assert verdict(find(server, "long-texts.example")) == NO_HOST
    assert sum(server.asked.values()) <= 2 + 2 * 10


def test_exchangers_that_do_not_answer_are_given_up_together(server: NameServer) -> None:
    """Ten hosts of two questions each, and time for three questions."""
    for i in range(10):
        server.habits[f"h{i}.example"] = silence
    found = resolver(server, 0.5).exchangers("ten-mx.example", Random(1)).found
    assert isinstance(found, Exchangers)
    assert "takes too long" in found.hosts[-1].silence
    assert len({name for name, kind in server.asked if kind == "AAAA"}) <= 3


@pytest.mark.parametrize(("ttl", "lasts"), [(0, 0), (30, 30), (2**31 - 1, 3600)])
def test_answers_hold_for_their_ttl_within_bounds(server: NameServer, ttl: int, lasts: float) -> None:
    """Of an address in one family only, too."""
    server.ttl = ttl
    for domain in ("upper.example", "implicit.example", "many-a.example"):
        assert resolver(server).exchangers(domain, Random(1)).ttl == lasts


@pytest.mark.parametrize("domain", ["missing.example", "nothing.example"])
def test_what_is_missing_is_remembered_briefly(server: NameServer, domain: str) -> None:
    lookup = resolver(server).exchangers(domain, Random(1))
    assert isinstance(lookup.found, Missing)
    assert lookup.ttl == 60


# --- hosts that the operator named


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mx1.example", {PUBLIC, PUBLIC_SIX}),
        ("10.0.0.1", {"10.0.0.1"}),
        ("fd00::1", {"fd00::1"}),
        ("plain.example", {"8.8.4.4"}),
    ],
)
def test_a_named_host_is_a_host_and_no_domain(server: NameServer, name: str, expected: set[str]) -> None:
    found = resolver(server).hosts([name]).found
    assert found == Exchangers((Host(0, name, tuple(found.hosts[0].addresses)),))  # type: ignore[union-attr]
    assert isinstance(found, Exchangers)
    assert set(map(str, found.hosts[0].addresses)) == expected


def test_a_named_host_may_stand_in_the_host_table(server: NameServer) -> None:
    found = resolver(server).hosts(["localhost"]).found
    assert isinstance(found, Exchangers)
    assert ip_address("127.0.0.1") in found.hosts[0].addresses
    assert not server.asked


def test_a_name_server_must_be_an_address() -> None:
    with pytest.raises(ValueError, match="port"):
        Resolver(("ns.example.org",), PATIENCE)


def test_questions_can_be_asked_from_several_threads(server: NameServer) -> None:
    shared, found = resolver(server), []
    threads = [
        threading.Thread(target=lambda: found.append(shared.exchangers("plain.example", Random(1)).found))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(isinstance(one, Exchangers) and len(one.hosts) == 2 for one in found)
