"""The relay among others: a name server that is real, another server of ours, and Postfix's smtp-sink."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.instance import CONFIGURATION, Instance, eventually, mta
from tests.peers.neighbours import dnsmasq, free_port, smtp_sink

MESSAGE = b"Subject: tidings\r\n\r\nFrom here to there.\r\n"

RECORDS = (
    "--mx-host=b.example,mx.b.example,10",
    "--host-record=mx.b.example,127.0.0.1",
    "--mx-host=ours.example,mx.a.example,10",
    "--host-record=mx.a.example,127.0.0.1",
)


def site(folder: Path, domain: str, port: int, *relay: str) -> Instance:
    """A server for this domain at this port, not running yet; `relay` says how it sends mail on."""
    text = CONFIGURATION.replace('"mx.example.org"', f'"mx.{domain}"').replace("example.org", domain)
    text = text.replace("relay: { enabled = false }", f"relay: {{ {', '.join(relay)} }}")
    return Instance(folder / domain, ("--set", f'smtp.listen=["127.0.0.1:{port}"]'), text)


def send(server: Instance, recipient: str, sender: str, message: bytes = MESSAGE) -> None:
    with smtplib.SMTP("127.0.0.1", server.port) as client:
        client.sendmail(sender, [recipient], message)


def queue(server: Instance, *words: str) -> str:
    """What `mta queue` prints."""
    return mta("-f", str(server.configuration), "queue", *words).stdout


# two servers and a name server


@pytest.fixture
def port() -> int:
    """Of the server of b.example, and so of all that DNS tells of."""
    return free_port()


@pytest.fixture
def b(tmp_path: Path, port: int) -> Instance:
    """The server of b.example, not running yet."""
    return site(tmp_path, "b.example", port, "enabled = false")


@pytest.fixture
def a(tmp_path: Path, port: int) -> Iterator[Instance]:
    """A running server that finds others by DNS, and tries again after an hour."""
    relay = [f"port = {port}", 'private_targets = [ "127.0.0.0/8" ]', 'retry = [ "1h" ]']
    with dnsmasq(*RECORDS) as address:
        server = site(tmp_path, "a.example", 0, *relay)
        with server.configuration.open("a") as text:
            text.write(f'dns: {{ servers = [ "{address}" ] }}\n')
        with server.running():
            yield server


def test_a_message_finds_its_way_by_dns(a: Instance, b: Instance) -> None:
    with b.running():
        send(a, "user@b.example", "alice@a.example")
        delivered = a.await_record("delivered", recipient="user@b.example")
        [arrived] = b.messages("user")
    assert delivered.text("host") == "mx.b.example"
    assert arrived.endswith(b"\n\nFrom here to there.\n")
    assert eventually(lambda: a.letters("b.example") == [])


def test_a_letter_waits_for_a_server_that_is_down(a: Instance, b: Instance) -> None:
    send(a, "user@b.example", "alice@a.example")
    a.await_record("deferred", recipient="user@b.example")
    assert "their host refuses connections" in queue(a, "why")
    with b.running():
        assert queue(a, "retry", "b.example") == "1 letter due now\n"
        a.await_record("delivered", recipient="user@b.example")
        assert len(b.messages("user")) == 1
    assert "the queue is empty" in queue(a, "why")


@pytest.mark.parametrize(
    ("domain", "status"),
    [("missing.example", b"5.1.2"), ("ours.example", b"5.4.6")],
    ids=["no domain", "loop"],
)
def test_what_dns_knows_at_once_is_told_at_once(a: Instance, domain: str, status: bytes) -> None:
    send(a, f"user@{domain}", "alice@a.example")
    a.await_record("reported", recipient="alice@a.example")
    [report] = a.await_messages("alice")
    assert b"Status: " + status in report


# a loop of two


def test_a_loop_ends_with_one_report(tmp_path: Path) -> None:
    """Both send mail for loop.example to the other one; this message has come a long way already."""
    ports = {"a.example": free_port(), "b.example": free_port()}
    a = site(tmp_path, "a.example", ports["a.example"], routes(ports["b.example"], "loop.example"))
    b = site(
        tmp_path, "b.example", ports["b.example"], routes(ports["a.example"], "loop.example", "a.example")
    )
    with a.running(), b.running():
        send(a, "user@loop.example", "alice@a.example", b"Received: from afar\r\n" * 85 + MESSAGE)
        [report] = a.await_messages("alice")
    [failed] = a.records("failed") + b.records("failed")
    assert failed.text("reply").startswith("554 5.4.6 ")
    assert b"\nStatus: 5.4.6\n" in report
    assert len(a.records("delivered") + b.records("delivered")) > 10
    assert a.messages("alice") == [report]


def routes(port: int, *domains: str) -> str:
    """That mail for these goes to this port, as the configuration has it."""
    targets = ", ".join(f'"{domain} smtp://127.0.0.1:{port}"' for domain in domains)
    return f"routes = [ {targets} ]"


# Postfix's smtp-sink

DEFERRED, FAILED = "deferred", "failed"


class Fault(NamedTuple):
    """An option of smtp-sink, and what comes of a letter."""

    domain: str
    """Of the letter that meets it."""
    option: str
    event: str
    reason: str


FAULTS = (
    Fault("soft-connect", "-rconnect", DEFERRED, "host-refused"),
    Fault("soft-mail", "-rmail", DEFERRED, "deferred"),
    Fault("soft-rcpt", "-rrcpt", DEFERRED, "deferred"),
    Fault("soft-data", "-rdata", DEFERRED, "deferred"),
    Fault("soft-end", "-r.", DEFERRED, "deferred"),
    Fault("hard-mail", "-fmail", FAILED, "sender-refused"),
    Fault("hard-rcpt", "-frcpt", FAILED, "refused"),
    Fault("hard-data", "-fdata", FAILED, "refused"),
    Fault("hard-end", "-f.", FAILED, "refused"),
    Fault("hard-at-once", "-A0", FAILED, "refused"),
    Fault("lost-connect", "-qconnect", DEFERRED, "connection-lost"),
    Fault("lost-ehlo", "-qehlo", DEFERRED, "connection-lost"),
    Fault("lost-mail", "-qmail", DEFERRED, "connection-lost"),
    Fault("lost-rcpt", "-qrcpt", DEFERRED, "connection-lost"),
    Fault("lost-data", "-qdata", DEFERRED, "connection-lost"),
    Fault("lost-end", "-q.", DEFERRED, "possible-duplicate"),
    Fault("closing-connect", "-Qconnect", DEFERRED, "throttled"),
    Fault("closing-mail", "-Qmail", DEFERRED, "throttled"),
    Fault("closing-rcpt", "-Qrcpt", DEFERRED, "throttled"),
    Fault("closing-data", "-Qdata", DEFERRED, "throttled"),
    Fault("closing-end", "-Q.", DEFERRED, "throttled"),
    Fault("slow", "-Wdata:1", "delivered", ""),
    Fault("none", "-v", "delivered", ""),
    Fault("no-ehlo", "-fehlo", "delivered", ""),
)


@pytest.fixture(scope="module")
def among_sinks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A running server with a route to a sink for each fault."""
    with ExitStack() as stack:
        ports = {each.domain: stack.enter_context(smtp_sink(each.option)) for each in FAULTS}
        targets = ", ".join(f'"{name}.example smtp://127.0.0.1:{port}"' for name, port in ports.items())
        server = site(tmp_path_factory.mktemp("sinks"), "a.example", 0, f"routes = [ {targets} ]")
        stack.enter_context(server.running())
        yield server


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.domain)
def test_a_sink_with_a_fault(among_sinks: Instance, fault: Fault) -> None:
    """What is put off waits, with a status; what is refused is given up, and its sender told."""
    server, domain = among_sinks, f"{fault.domain}.example"
    send(server, f"user@{domain}", f"{fault.domain}@a.example")
    record = server.await_record(fault.event, recipient=f"user@{domain}")
    assert record.fields.get("reason", "") == fault.reason
    waits = {"deferred": 2, "failed": 0, "delivered": 0}[fault.event]
    assert eventually(lambda: len(server.letters(domain)) == waits)
    if fault.event == FAILED:
        assert len(server.letters(f"{domain}/error")) == 2
        assert len(server.await_messages(fault.domain)) == 1
    else:
        assert server.messages(fault.domain) == []
