"""The router: asked for a domain, answers with its route, from memory or from helper threads.

A route that the operator named comes first, then the smarthost, then the DNS. What was found is remembered
for as long as its records hold, within bounds, and decided upon anew for every attempt, as equal exchangers
are to take turns. One question for one name is asked at a time, whoever else wants to know it meanwhile.

Hosts that the operator named but that have no address are tried later, never given up for: that is a
mistake here, and no fault of the letters.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final, NamedTuple

from mta.config import Settings
from mta.relay.routing.dns import Lookup, Resolver
from mta.relay.routing.lookups import Lookups, Post
from mta.relay.routing.routes import Decision, Found, Own, Terms, decide, is_silent
from mta.relay.routing.targets import Credentials, Target, Targets, decide_named, parse_targets

Done = Callable[[Decision], None]

_MOST_REMEMBERED: Final = 10_000
"""Domains whose exchangers are remembered."""


@dataclass(frozen=True, slots=True)
class Routing:
    """What the configuration says about where mail goes."""

    targets: Targets
    terms: Terms
    servers: tuple[str, ...] = ()
    timeout: float = 10.0

    @classmethod
    def of(cls, settings: Settings, own: Own, credentials: Credentials) -> Routing:
        """Raises Unfit when a route's options are not known."""
        relay = settings.relay
        return cls(
            parse_targets(relay.routes, relay.smarthost, credentials),
            Terms(own, relay.port, tuple(relay.private_targets)),
            tuple(settings.dns.servers),
            settings.dns.timeout,
        )


class _Known(NamedTuple):
    found: Found
    until: float
    """Monotonic seconds."""


class Router:
    """Routes for domains. For the loop's thread only."""

    def __init__(self, routing: Routing, post: Post, clock: Callable[[], float], random: Random) -> None:
        """`clock` tells monotonic seconds."""
        self._routing = routing
        self._resolver = Resolver(routing.servers, routing.timeout)
        self._lookups = Lookups(post)
        self._clock = clock
        self._random = random
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asked: dict[str, list[Callable[[Found], None]]] = {}

    def configure(self, routing: Routing) -> None:
        """Follow these rules from now on."""
        self._routing = routing
        self._resolver = Resolver(routing.servers, routing.timeout)
        self._known.clear()

    def find(self, domain: str, done: Done, via: tuple[Target, ...] = ()) -> None:
        """Call `done` with the route of a domain's mail: before this returns, if it is known.

        `via`: the hosts to which the operator has rerouted it."""
        targets = via or self._routing.targets.of(domain)
        if targets:
            self._find_hosts(targets, done)
        else:
            self._find_exchangers(domain, done)

    def forget(self, domain: str) -> None:
        """Ask anew when its exchangers are wanted next: the operator says that something has changed."""
        self._known.pop(domain, None)

    def close(self) -> None:
        """Nobody is called any more."""
        self._lookups.close()

    def _find_exchangers(self, domain: str, done: Done) -> None:
        terms, random = self._routing.terms, self._random
        look_up = partial(self._resolver.exchangers, domain, random)
        self._look_up(domain, look_up, lambda found: done(decide(found, terms, random)))

    def _find_hosts(self, targets: tuple[Target, ...], done: Done) -> None:
        names = tuple(target.host for target in targets)
        # The leading @ keeps them apart from domains.
        self._look_up(
            "@" + " ".join(names),
            partial(self._resolver.hosts, names),
            lambda found: done(decide_named(found, targets)),
        )

    def _look_up(self, key: str, look_up: Callable[[], Lookup], tell: Callable[[Found], None]) -> None:
        known = self._known.get(key)
        if known is not None and self._clock() < known.until:
            tell(known.found)
        elif key in self._asked:
            self._asked[key].append(tell)
        else:
            self._asked[key] = [tell]
            repeated = known is not None and is_silent(known.found)
            self._lookups.run(look_up, partial(self._answered, key, self._resolver), repeated=repeated)

    def _answered(self, key: str, resolver: Resolver, lookup: Lookup) -> None:
        if resolver is self._resolver:  # what other servers said is not what these would say
            self._remember(key, lookup)
        for tell in self._asked.pop(key):
            tell(lookup.found)

    def _remember(self, key: str, lookup: Lookup) -> None:
        """Silence is remembered too, though never believed again: it says in which line to wait."""
        lasts = 0.0 if is_silent(lookup.found) else lookup.ttl
        self._known[key] = _Known(lookup.found, self._clock() + lasts)
        self._known.move_to_end(key)
        if len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)
