"""The counters in the text formats of Prometheus: its own, and OpenMetrics for who asks for it.

    mta_connections_total{service="smtp"} 17
    mta_loop_turns_total{process="receiver"} 4711

Names, labels and help are those of the catalogue; microseconds become seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

import mta
from mta.counters import CATALOGUE, ROLES, Counter, Counters
from mta.metrics.http import Answer

_OPENMETRICS: Final = "application/openmetrics-text"
_FACTORS: Final = {"microseconds": 1e-6}
_SUFFIXES: Final = {"microseconds": "_seconds"}

_openmetrics: Callable[[CollectorRegistry], bytes] = generate_openmetrics

Family = CounterMetricFamily | GaugeMetricFamily


class Exposition:
    """The page at /metrics."""

    def __init__(self, counters: Counters) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Catalogue(counters))

    def page(self, accept: str) -> Answer:
        """The values of this moment, in the format that `accept` (RFC 9110 12.5.1) asks for."""
        if _OPENMETRICS in accept:
            kind = f"{_OPENMETRICS}; version=1.0.0; charset=utf-8"
            return Answer(200, _openmetrics(self._registry), kind)
        return Answer(200, generate_latest(self._registry), "text/plain; version=0.0.4; charset=utf-8")


class _Catalogue(Collector):
    """All counters as metric families, read when asked."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def collect(self) -> Iterable[Family]:
        for _name, columns in groupby(CATALOGUE, attrgetter("name")):
            yield self._family(list(columns))
        build = GaugeMetricFamily("mta_build_info", "The program that runs.", labels=["version"])
        build.add_metric([mta.__version__], 1)
        yield build

    def _family(self, columns: list[Counter]) -> Family:
        first = columns[0]
        labels = ["process"] if first.per_process else [first.label] if first.label else []
        make = CounterMetricFamily if first.kind == "counter" else GaugeMetricFamily
        family: Family = make(f"mta_{first.name}{_SUFFIXES.get(first.unit, '')}", first.help, labels=labels)
        factor = _FACTORS.get(first.unit, 1)
        for values, number in self._samples(columns):
            family.add_metric(values, number * factor)
        return family

    def _samples(self, columns: list[Counter]) -> Iterator[tuple[list[str], int]]:
        """(label values, number) of each sample."""
        first = columns[0]
        if first.per_process:
            for role in ROLES:
                yield [role], self._counters.row(role).get(first)
        else:
            for column in columns:
                yield [column.value] if column.label else [], self._counters.total(column)
