"""The router: routes from memory, from the DNS, from the operator; and the loop never waits for any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

import dns.rcode
import pytest

from mta.loop import Loop
from mta.protocol.client.login import Login
from mta.relay.outcome import Never, Reason, TryLater
from mta.relay.routing.router import Router, Routing
from mta.relay.routing.routes import Decision, Own, Route, Terms
from mta.relay.routing.targets import Credentials, Targets, parse_target, parse_targets
from tests.relay.nameserver import NameServer, Zone, refuse

ZONE: Zone = {
    "one.example": {"MX": ["10 mx.example."]},
    "two.example": {"MX": ["10 mx.example."]},
    "mx.example": {"A": ["8.8.8.8"]},
    "smart.example": {"A": ["10.0.0.25"], "MX": ["10 mx.example."]},
    "second.example": {"A": ["10.0.0.26"]},
}
NOWHERE = Targets({})


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer(ZONE) as server:
        yield server


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def routing(server: NameServer) -> Routing:
    return Routing(NOWHERE, Terms(Own(frozenset({"us.example"}))), (server.address,), 10.0)


@pytest.fixture
def router(routing: Routing, loop: Loop, clock: Clock) -> Iterator[Router]:
    router = Router(routing, loop.post, clock, Random(1))
    yield router
    router.close()


Find = Callable[..., Decision]


@pytest.fixture
def find(router: Router, loop: Loop) -> Find:
    def find(domain: str, via: str = "") -> Decision:
        decisions: list[Decision] = []
        router.find(domain, decisions.append, (parse_target(via),) if via else ())
        while not decisions:
            loop.turn(10_000)
        return decisions[0]

    return find


def addresses(decision: Decision) -> list[str]:
    assert isinstance(decision, Route)
    return [str(hop.address) for hop in decision.hosts]


def named(*routes: str, smarthost: str = "", credentials: Credentials | None = None) -> Targets:
    return parse_targets(routes, smarthost, credentials or Credentials())


# --- memory


def test_a_domain_is_asked_for_once_while_its_answer_holds(
    find: Find, server: NameServer, clock: Clock
) -> None:
    find("one.example")
    clock.now += 299
    assert addresses(find("one.example")) == ["8.8.8.8"]
    assert server.asked["one.example", "MX"] == 1
    clock.now += 1
    find("one.example")
    assert server.asked["one.example", "MX"] == 2


def test_what_is_known_is_told_at_once(find: Find, router: Router) -> None:
    find("one.example")
    told: list[Decision] = []
    router.find("one.example", told.append)
    assert len(told) == 1


def test_a_name_that_does_not_exist_is_remembered_for_a_minute(
    find: Find, server: NameServer, clock: Clock
) -> None:
    assert isinstance(find("missing.example"), Never)
    clock.now += 59
    assert isinstance(find("missing.example"), Never)
    assert server.asked["missing.example", "MX"] == 1
    clock.now += 1
    find("missing.example")
    assert server.asked["missing.example", "MX"] == 2


def test_silence_is_not_remembered(find: Find, server: NameServer) -> None:
    server.habits["one.example"] = refuse(dns.rcode.SERVFAIL)
    assert isinstance(find("one.example"), TryLater)
    del server.habits["one.example"]
    assert isinstance(find("one.example"), Route)


def test_the_operator_may_have_it_asked_anew(find: Find, router: Router, server: NameServer) -> None:
    find("one.example")
    router.forget("one.example")
    router.forget("unknown.example")
    find("one.example")
    assert server.asked["one.example", "MX"] == 2


def test_memory_is_bounded(
    find: Find, router: Router, server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mta.relay.routing.router._MOST_REMEMBERED", 2)
    for domain in ("one.example", "two.example", "missing.example", "one.example"):
        find(domain)
    assert server.asked["one.example", "MX"] == 2
    assert len(router._known) == 2


def test_other_servers_know_other_things(
    find: Find, router: Router, routing: Routing, server: NameServer
) -> None:
    find("one.example")
    with NameServer({"one.example": {"A": ["8.8.4.4"]}}) as other:
        router.configure(replace(routing, servers=(other.address,)))
        assert addresses(find("one.example")) == ["8.8.4.4"]


def test_an_answer_of_servers_that_were_replaced_is_not_remembered(
    find: Find, router: Router, routing: Routing, loop: Loop, server: NameServer
) -> None:
    told: list[Decision] = []
    server.open.clear()
    router.find("one.example", told.append)
    with NameServer({"one.example": {"A": ["8.8.4.4"]}}) as other:
        router.configure(replace(routing, servers=(other.address,)))
        server.open.set()
        while not told:
            loop.turn(10_000)
        assert addresses(find("one.example")) == ["8.8.4.4"]


# --- waiting


def test_the_loop_does_not_wait_for_the_dns(router: Router, loop: Loop, server: NameServer) -> None:
    server.open.clear()
    told: list[Decision] = []
    router.find("one.example", told.append)
    for _ in range(100):
        loop.turn(0)
    assert told == []
    server.open.set()
    while not told:
        loop.turn(10_000)


def test_many_who_want_to_know_ask_once(router: Router, loop: Loop, server: NameServer) -> None:
    server.open.clear()
    told: list[Decision] = []
    for _ in range(20):
        router.find("one.example", told.append)
    server.open.set()
    while len(told) < 20:
        loop.turn(10_000)
    assert server.asked["one.example", "MX"] == 1


def test_a_domain_that_was_silent_waits_in_the_other_line(
    find: Find, router: Router, server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[bool] = []
    run = router._lookups.run

    def note(*arguments: object, repeated: bool) -> None:
        lines.append(repeated)
        run(*arguments, repeated=repeated)  # type: ignore[arg-type]

    monkeypatch.setattr(router._lookups, "run", note)
    server.habits["one.example"] = refuse(dns.rcode.SERVFAIL)
    find("one.example")
    find("one.example")
    del server.habits["one.example"]
    find("one.example")
    router.forget("one.example")
    find("one.example")
    assert lines == [False, True, True, False]


# --- what the operator named


def test_a_route_comes_before_the_smarthost_and_the_smarthost_before_the_dns(
    find: Find, router: Router, routing: Routing
) -> None:
    targets = named("one.example smtp://second.example:2525", smarthost="smtp://smart.example")
    router.configure(replace(routing, targets=targets))
    assert addresses(find("one.example")) == ["10.0.0.26"]
    assert addresses(find("two.example")) == ["10.0.0.25"]  # private, and its own MX is not asked for
    assert addresses(find("two.example", "smtp://second.example")) == ["10.0.0.26"]


def test_a_hop_of_a_named_host(find: Find, router: Router, routing: Routing) -> None:
    login = Login("user", "secret")
    credentials = Credentials({"smart.example": (login,)})
    targets = named(smarthost="smtps://user@smart.example", credentials=credentials)
    router.configure(replace(routing, targets=targets))
    decision = find("one.example")
    assert isinstance(decision, Route)
    (hop,) = decision.hosts
    assert (hop.port, hop.name, hop.tls, hop.login) == (465, "smart.example", "implicit", login)


def test_several_routes_of_a_domain_are_tried_in_order(find: Find, router: Router, routing: Routing) -> None:
    targets = named("one.example smtp://smart.example", "one.example smtp://second.example:26?tls=require")
    router.configure(replace(routing, targets=targets))
    decision = find("one.example")
    assert addresses(decision) == ["10.0.0.25", "10.0.0.26"]
    assert isinstance(decision, Route)
    assert [(hop.port, hop.tls) for hop in decision.hosts] == [(25, "opportunistic"), (26, "require")]


@pytest.mark.parametrize(
    ("smarthost", "reason"),
    [
        ("smtp://missing.example", Reason.DNS_SILENT),
        ("smtps://user@smart.example", Reason.LOGIN_FAILED),
    ],
)
def test_a_mistake_of_the_operator_bounces_nothing(
    find: Find, router: Router, routing: Routing, smarthost: str, reason: Reason
) -> None:
    router.configure(replace(routing, targets=named(smarthost=smarthost)))
    decision = find("one.example")
    assert isinstance(decision, TryLater)
    assert decision.reason is reason
    assert ".example" in decision.detail
