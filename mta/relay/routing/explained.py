"""Where a letter would be taken, for people: the routes and the resolver of the relay, asked once. Blocks."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from mta.config import Settings
from mta.config.units import Unfit
from mta.policy import Step
from mta.relay.routing.dns import Resolver
from mta.relay.routing.own import own
from mta.relay.routing.router import Routing
from mta.relay.routing.routes import Decision, Route, decide
from mta.relay.routing.targets import BadCredentials, Target, decide_named, read_credentials


def explain_route(domain: str, settings: Settings) -> Iterator[Step]:
    """The hosts that a letter for this domain would be taken to, or why there are none."""
    if not settings.relay.enabled:
        yield Step("letters stay in their folders", "relay.enabled")
        return
    try:
        routing = Routing.of(settings, own(settings), read_credentials(settings.relay.credentials))
    except (BadCredentials, Unfit) as error:
        yield Step(f"it cannot be sent: {error}", "relay.credentials")
        return
    resolver, random = Resolver(routing.servers, routing.timeout), Random()
    if targets := routing.targets.of(domain):
        setting = "relay.routes" if domain in routing.targets.routes else "relay.smarthost"
        yield Step(f"it is taken to {', '.join(map(_shown, targets))}", setting)
        yield from _hosts(
            decide_named(resolver.hosts([each.host for each in targets]).found, targets), setting
        )
    else:
        found = resolver.exchangers(domain, random).found
        yield from _hosts(decide(found, routing.terms, random), "dns.servers")


def _hosts(decision: Decision, setting: str) -> Iterator[Step]:
    if isinstance(decision, Route):
        hosts = (f"{hop.name} ({hop.address}, port {hop.port})" for hop in decision.hosts)
        yield Step(f"hosts that are tried: {', '.join(hosts)}", setting)
    else:
        yield Step(f"no host for now: {decision.reason.text}; {decision.detail}", setting)


def _shown(target: Target) -> str:
    return f"{target.host}:{target.port}"
