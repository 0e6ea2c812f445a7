"""The metrics process of a running server: its pages, its rights, and clients that mean it no good."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mta.metrics.health import WATCHED
from tests.instance import Instance, eventually, mta


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    folder: Path = tmp_path_factory.mktemp("server")
    with Instance(folder, ("--set", "metrics.listen=127.0.0.1:0")).running() as instance:
        yield instance


def get(server: Instance, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.ports['metrics']}{path}", timeout=20) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def sample(server: Instance, name: str, **labels: str) -> float:
    status, page = get(server, "/metrics")
    assert status == 200
    (value,) = (
        each.value
        for family in text_string_to_metric_families(page)
        for each in family.samples
        if (each.name, each.labels) == (name, labels)
    )
    return value


def connected(server: Instance) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.ports["metrics"]), 20)


def process(server: Instance, role: str) -> int:
    answer = mta("-f", str(server.configuration), "config", "--json").stdout
    return int(json.loads(answer)["processes"][role])


def test_a_scrape_sees_what_the_receiver_counts(server: Instance) -> None:
    before = sample(server, "mta_connections_total", service="smtp")
    with socket.create_connection(("127.0.0.1", server.port), 20) as client:
        assert client.recv(1000).startswith(b"220 ")
        assert sample(server, "mta_connections_total", service="smtp") == before + 1
        assert sample(server, "mta_connections_current", service="smtp") == 1


def test_other_pages_are_404(server: Instance) -> None:
    assert get(server, "/")[0] == get(server, "/metrics/../etc")[0] == 404


def test_a_process_that_hangs_is_named_until_it_turns_again(server: Instance) -> None:
    assert eventually(lambda: get(server, "/health")[0] == 200)
    relay = process(server, "relay")
    os.kill(relay, signal.SIGSTOP)
    try:
        assert eventually(lambda: get(server, "/health")[0] == 503)
        assert json.loads(get(server, "/health")[1])["hanging"] == ["relay"]
    finally:
        os.kill(relay, signal.SIGCONT)
    assert eventually(lambda: get(server, "/health")[0] == 200)
    assert set(json.loads(get(server, "/health")[1])["seconds_since_turn"]) == set(WATCHED)


@pytest.mark.parametrize(
    "octets", [b"POST /metrics HTTP/1.1\r\n\r\n" + b"x" * 100_000, b"x" * 100_000, b"\r\n" * 9]
)
def test_hostile_octets_get_a_refusal_and_the_end(server: Instance, octets: bytes) -> None:
    with connected(server) as line:
        line.sendall(octets)
        assert line.recv(100).startswith(b"HTTP/1.1 4")
    assert get(server, "/health")[0] == 200
    assert server.records("fault") == []


def test_many_silent_clients_leave_room_for_others_elsewhere_only(server: Instance) -> None:
    """One address has so many connections; what is more is closed at once, and mail is not concerned."""
    silent = [connected(server) for _ in range(20)]
    try:
        with connected(server) as more:
            assert more.recv(1) == b""
        with socket.create_connection(("127.0.0.1", server.port), 20) as client:
            assert client.recv(1000).startswith(b"220 ")
    finally:
        for each in silent:
            each.close()
    assert eventually(lambda: _has_room(server))


def _has_room(server: Instance) -> bool:
    try:
        return get(server, "/health")[0] == 200
    except OSError:
        return False


def test_it_holds_the_counters_the_log_and_its_listener_and_nothing_else(server: Instance) -> None:
    pid = process(server, "metrics")
    links = sorted(os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if int(each.name) > 2)
    assert {link for link in links if link.startswith("/")} == {"/memfd:mta-counters (deleted)"}
    # Two of the loop, the log, the channel and the listener.
    kinds = [link.partition(":")[0] for link in links if not link.startswith("/")]
    assert kinds == ["anon_inode", "anon_inode", "pipe", "socket", "socket"]
