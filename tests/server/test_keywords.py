"""What EHLO promises on each port, in clear and under TLS: every keyword is known here, and is kept."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from mta.server.tls import server_context
from mta.users.accounts import Accounts
from mta.users.database import Database
from tests.protocol.scram_client import ScramClient
from tests.server.receiver import Client, House
from tests.server.test_login import PASSWORD, SECRETS, TlsClient, greeted

MAIL, RCPT = b"MAIL FROM:<alice@example.org>", b"RCPT TO:<user@example.org>"


@dataclass
class Visit:
    """A client of this port who has heard EHLO's keywords, by their names, and may send."""

    house: House
    client: Client
    keywords: Mapping[str, str]

    def say(self, line: bytes, reply: bytes) -> bytes:
        return self.client.say(line + b"\r\n", reply)

    def message(self, *mail: bytes) -> None:
        """A message, with these parameters."""
        self.say(b" ".join((MAIL, *mail)), b"250")
        self.say(RCPT, b"250")
        self.say(b"DATA", b"354")
        self.say(b"Subject: x\r\n\r\n\xc3\xa4\r\n.", b"250")


Exercise = Callable[[Visit], object]


def pipelining(visit: Visit) -> None:
    visit.client.send(b"\r\n".join((MAIL, RCPT, b"RSET", b"NOOP", b"")))
    for _ in range(4):
        visit.client.expect(b"250")


def size(visit: Visit) -> None:
    most = int(visit.keywords["SIZE"])
    visit.message(b"SIZE=%d" % most)
    visit.say(MAIL + b" SIZE=%d" % (most + 1), b"552")


def chunking(visit: Visit) -> None:
    visit.say(MAIL, b"250")
    visit.say(RCPT, b"250")
    visit.client.send(b"BDAT 12\r\nSubject: x\r\n")
    visit.client.expect(b"250")
    visit.client.send(b"BDAT 5 LAST\r\n\r\nx\r\n")
    visit.client.expect(b"250")


def limits(visit: Visit) -> None:
    most = int(visit.keywords["LIMITS"].removeprefix("RCPTMAX="))
    visit.say(MAIL, b"250")
    for _ in range(most):
        visit.say(RCPT, b"250")
    visit.say(RCPT, b"452")
    visit.say(b"RSET", b"250")


def dsn(visit: Visit) -> None:
    visit.say(MAIL + b" RET=HDRS ENVID=x", b"250")
    visit.say(RCPT + b" NOTIFY=FAILURE ORCPT=rfc822;x@example.org", b"250")
    visit.say(b"RSET", b"250")


def smtputf8(visit: Visit) -> None:
    visit.say(MAIL + b" SMTPUTF8", b"250")
    visit.say("RCPT TO:<us\u00e9r@example.org>".encode(), b"550 5.1.1")
    visit.say(b"RSET", b"250")


def starttls(visit: Visit) -> None:
    visit.say(b"STARTTLS", b"220")
    TlsClient(visit.house, visit.client).say(b"EHLO c.example\r\n", b"250")


def auth(visit: Visit) -> None:
    """Each mechanism by itself, in a session of its own."""
    for name in visit.keywords["AUTH"].split():
        again = enter(visit.house, visit.house._key[0], isinstance(visit.client, TlsClient))
        _MECHANISMS[name](again)
        again.say(MAIL + b" AUTH=<>", b"250")


def by_plain(visit: Visit) -> None:
    visit.say(b"AUTH PLAIN " + b64encode(b"\0alice\0" + PASSWORD.encode()), b"235")


def by_login(visit: Visit) -> None:
    visit.say(b"AUTH LOGIN", b"334")
    visit.say(b64encode(b"alice"), b"334")
    visit.say(b64encode(PASSWORD.encode()), b"235")


def by_scram(visit: Visit, binding: bytes | None = None) -> None:
    name = b"SCRAM-SHA-256" if binding is None else b"SCRAM-SHA-256-PLUS"
    client = ScramClient("alice", PASSWORD, binding=binding)
    challenge = visit.say(b"AUTH " + name + b" " + client.first, b"334 ")[4:]
    assert client.is_server(visit.say(client.final(challenge), b"334 ")[4:])
    visit.say(b"", b"235")


def by_bound_scram(visit: Visit) -> None:
    rules = visit.house.receiver._rules
    assert rules is not None
    by_scram(visit, rules.context.end_point)  # type: ignore[union-attr]


_MECHANISMS: Mapping[str, Callable[[Visit], object]] = {
    "PLAIN": by_plain,
    "LOGIN": by_login,
    "SCRAM-SHA-256": by_scram,
    "SCRAM-SHA-256-PLUS": by_bound_scram,
}

EXERCISES: Mapping[str, Exercise] = {
    "PIPELINING": pipelining,
    "ENHANCEDSTATUSCODES": lambda visit: visit.say(b"NOOP", b"250 2.0.0 "),
    "LIMITS": limits,
    "SIZE": size,
    "8BITMIME": lambda visit: visit.message(b"BODY=8BITMIME"),
    "SMTPUTF8": smtputf8,
    "DSN": dsn,
    "CHUNKING": chunking,
    "HELP": lambda visit: visit.say(b"HELP", b"214"),
    "XSTAT": lambda visit: visit.say(b"XSTAT TOTAL", b"250"),
    "STARTTLS": starttls,
    "AUTH": auth,
}
"""Every keyword we know; one that EHLO lists and that is not here fails the test."""

PORTS = [(service, tls) for service in ("smtp", "submission", "submissions") for tls in (False, True)]
PORTS.remove(("submissions", False))


def enter(house: House, service: str, tls: bool) -> Visit:
    """A client that has said EHLO."""
    client = greeted(house, service) if tls else house.client()
    heard = client.say(b"EHLO c.example\r\n", b"250").decode("ascii").split("\r\n")[1:]
    words = (line[4:].partition(" ") for line in heard)
    return Visit(house, client, {name: rest for name, _, rest in words})


@pytest.fixture
def house(tmp_path: Path, pair: tuple[bytes, bytes], request: pytest.FixtureRequest) -> Iterator[House]:
    context: ssl.SSLContext = server_context(*pair)
    Accounts(Database(f"sqlite:///{tmp_path}/users.db")).add("alice", "example.org", SECRETS)
    made = House(tmp_path, context, service=request.param)
    made.configure("users.scram=true", "smtp.login=true", "limits.recipients=10")
    yield made
    made.close()


@pytest.mark.parametrize(("house", "tls"), PORTS, indirect=["house"], ids=lambda value: str(value))
def test_every_keyword_of_ehlo(house: House, tls: bool) -> None:
    service = house._key[0]
    promised = enter(house, service, tls).keywords
    assert promised.keys() - EXERCISES.keys() == set()
    assert ("STARTTLS" in promised) == (not tls)
    assert ("SCRAM-SHA-256-PLUS" in promised["AUTH"].split()) == tls
    for keyword in promised:
        visit = enter(house, service, tls)
        if service != "smtp" and keyword not in ("AUTH", "STARTTLS"):
            by_plain(visit)
        EXERCISES[keyword](visit)
