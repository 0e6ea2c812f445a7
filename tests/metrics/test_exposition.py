"""The page of /metrics as parsers read it: every counter, with its name, its labels and its value."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import mta
from mta.counters import (
    CATALOGUE,
    COMMIT_TIME,
    CONNECTIONS_TOTAL,
    OCTETS_ACCEPTED,
    OCTETS_SENT,
    QUEUE_LETTERS,
    REJECTS,
    ROLES,
    TURNS,
    Counters,
)
from mta.metrics.exposition import Exposition
from tests.instance import ROOT


@pytest.fixture
def counters() -> Iterator[Counters]:
    made = Counters.create()
    yield made
    os.close(made.fd)


def families(counters: Counters, accept: str = "") -> dict[str, Metric]:
    answer = Exposition(counters).page(accept)
    assert answer.status == 200
    parse = parse_openmetrics if "openmetrics" in answer.kind else parse_text
    return {family.name: family for family in parse(answer.content.decode())}


def values(family: Metric) -> dict[tuple[str, ...], float]:
    """By the values of the labels; "created" and the like left out."""
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


@pytest.mark.parametrize("accept", ["", "text/plain", "application/openmetrics-text;version=1.0.0,*/*;q=0.1"])
def test_each_counter_stands_there_with_its_value(counters: Counters, accept: str) -> None:
    receiver, relay = counters.row("receiver"), counters.row("relay")
    receiver.add(CONNECTIONS_TOTAL["smtp"], 17)
    receiver.add(REJECTS["relay_denied"], 3)
    receiver.add(OCTETS_ACCEPTED, 1 << 40)
    receiver.add(COMMIT_TIME, 1_500_000)
    relay.add(OCTETS_SENT["relay"], 5)
    relay.set(QUEUE_LETTERS, 9)
    relay.add(TURNS, 4)
    found = families(counters, accept)
    assert values(found["mta_connections"])["smtp",] == 17
    assert values(found["mta_rejects"])["relay_denied",] == 3
    assert values(found["mta_accepted_bytes"]) == {(): 1 << 40}
    assert values(found["mta_commit_time_seconds"]) == {(): 1.5}
    assert values(found["mta_sent_bytes"]) == {("pop3",): 0, ("relay",): 5}
    assert values(found["mta_queue_letters"]) == {(): 9}
    assert values(found["mta_loop_turns"]) == {(role,): 4 if role == "relay" else 0 for role in ROLES}
    assert values(found["mta_build_info"]) == {(mta.__version__,): 1}


def test_every_counter_of_the_catalogue_has_a_sample_of_its_own(counters: Counters) -> None:
    samples = [sample for family in families(counters).values() for sample in family.samples]
    assert len({(sample.name, *sample.labels.values()) for sample in samples}) == len(samples)
    alone = sum(not counter.per_process for counter in CATALOGUE)
    each = len(CATALOGUE) - alone
    assert len(samples) == alone + each * len(ROLES) + 1


def test_names_follow_the_conventions(counters: Counters) -> None:
    for name, family in families(counters, "application/openmetrics-text").items():
        assert name.startswith("mta_")
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge")
        assert not name.endswith(("_total", "_octets", "_microseconds"))


def test_columns_of_one_name_stand_together_and_share_what_is_said_of_them() -> None:
    names = [counter.name for counter in CATALOGUE]
    for counter in CATALOGUE:
        same = CATALOGUE[names.index(counter.name) :][: names.count(counter.name)]
        assert {each.name for each in same} == {counter.name}
        assert len({(each.kind, each.unit, each.help, each.label) for each in same}) == 1


@pytest.mark.parametrize("accept", ["application/openmetrics-text;version=no", ";;;,", "\xff", "a" * 8000])
def test_a_strange_accept_header_gets_a_page(counters: Counters, accept: str) -> None:
    assert families(counters, accept)


def test_the_dashboard_asks_for_nothing_that_is_not_there(counters: Counters) -> None:
    page = Exposition(counters).page("").content.decode()
    there = {sample.name for family in parse_text(page) for sample in family.samples}
    asked = set(re.findall(r"\bmta_[a-z_]+", (ROOT / "etc" / "mta-grafana.json").read_text()))
    assert asked <= there
    assert len(asked) > 10
