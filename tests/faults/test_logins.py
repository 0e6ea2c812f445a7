"""Storms of wrong logins: others do not wait for them, and nobody learns from them who has an account.

Both tests print what they measured. What they assert is much weaker, so that a busy machine fails neither;
but hashing in the loop does, or no hash for an unknown user."""

from __future__ import annotations

import math
import socket
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from statistics import median, quantiles
from typing import cast

import pytest

from mta.log.log import Log, open_pipe
from mta.loop import Loop
from mta.users import passwords
from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.directory import Directory
from mta.users.guard import Guard, Refused, Verdict
from mta.users.passwords import make_secrets
from mta.users.people import Newcomer
from tests.faults.rig import LONG
from tests.instance import PATIENCE, Instance

STORM = 100
GUESSES = 500 if LONG else 50
"""Of each kind."""


def one_hash() -> float:
    """Seconds that a hash takes here and now."""
    began = time.perf_counter()
    for _ in range(5):
        passwords.verify(passwords.NOBODYS, "guess")
    return (time.perf_counter() - began) / 5


# others do not wait


class Caller:
    """A client of submission, from an address of its own."""

    def __init__(self, port: int, number: int) -> None:
        source = (f"127.0.{1 + number // 200}.{1 + number % 200}", 0)
        self._sock = socket.create_connection(("127.0.0.1", port), PATIENCE, source)
        self._replies = self._sock.makefile("rb")
        self.hear()
        self.say(b"EHLO c.example")
        while self.hear()[3:4] == b"-":
            pass

    def say(self, line: bytes) -> None:
        self._sock.sendall(line + b"\r\n")

    def hear(self) -> bytes:
        return self._replies.readline()

    def ask(self) -> float:
        """Seconds that a NOOP takes."""
        began = time.perf_counter()
        self.say(b"NOOP")
        assert self.hear().startswith(b"250")
        return time.perf_counter() - began

    def close(self) -> None:
        self._replies.close()
        self._sock.close()


def asking(caller: Caller, seconds: float) -> list[float]:
    """What NOOPs take meanwhile."""
    end = time.perf_counter() + seconds
    found = [caller.ask()]
    while time.perf_counter() < end:
        found.append(caller.ask())
    return found


def p99(samples: Sequence[float]) -> float:
    return quantiles(samples, n=100)[98]


def test_a_storm_of_guesses_delays_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hashing = one_hash()
    words = ["--set", 'submission.listen=["127.0.0.1:0"]']
    with Instance(tmp_path, words).running() as server, ExitStack() as stack:
        port = server.ports["submission"]
        callers = [Caller(port, number) for number in range(STORM + 1)]
        for each in callers:
            stack.callback(each.close)
        other, *storm = callers
        quiet = asking(other, 0.5)
        for number, each in enumerate(storm):
            each.say(b"AUTH PLAIN " + b64encode(b"\0user%d\0guess" % number))
        during = asking(other, STORM * hashing / 2)
        assert all(each.hear().startswith(b"535") for each in storm)
    with capsys.disabled():
        print(
            f"\n{STORM} wrong logins at once, a hash takes {hashing * 1000:.1f} ms; NOOP of another client:"
            f" median {median(during) * 1000:.2f} ms, p99 {p99(during) * 1000:.2f} ms,"
            f" longest {max(during) * 1000:.2f} ms ({len(during)} times);"
            f" before: median {median(quiet) * 1000:.2f} ms, p99 {p99(quiet) * 1000:.2f} ms"
        )
    assert median(during) < hashing
    assert p99(during) < STORM * hashing / 4


# nobody learns


class Front:
    """A guard that keeps nothing back, so that what its work takes can be seen."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        self.accounts = Accounts(Database(f"sqlite:///{folder}/users.db"))
        self._pipe = open_pipe()
        log = Log(self._pipe[1], "receiver")
        self.guard = Guard(self.loop, self.accounts, cast(Directory, None), log, delays=(0.0,))
        self.guard.configure(["example.org"], scram=False)

    def time(self, user: str, number: int) -> float:
        """Seconds until a wrong password of this user is refused."""
        told: list[Verdict] = []
        client = ip_address(0x7F010000 + number)
        began = time.perf_counter()
        self.guard.check(user, "guess", client, told.append)
        while not told:
            self.loop.turn(None)
        assert isinstance(told[0], Refused)
        return time.perf_counter() - began


def mann_whitney(left: Sequence[float], right: Sequence[float]) -> float:
    """How likely two samples differ so much by chance (two-sided, by the normal approximation)."""
    ranked = sorted([(value, 0) for value in left] + [(value, 1) for value in right])
    ranks = sum(rank for rank, (_, side) in enumerate(ranked, 1) if side == 0)
    n, m = len(left), len(right)
    u = ranks - n * (n + 1) / 2
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2))


def pairs(front: Front) -> Iterator[tuple[float, float]]:
    for number in range(GUESSES):
        yield front.time(f"known{number}", 2 * number), front.time(f"unknown{number}", 2 * number + 1)


def test_time_does_not_tell_who_has_an_account(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    front = Front(tmp_path)
    secrets = make_secrets("sesame", scram=False)
    names = (f"known{number}" for number in range(GUESSES))
    front.accounts.add_all([Newcomer(name, "example.org", secrets) for name in names])
    hashing = one_hash()
    front.time("known0", GUESSES * 2)  # whatever is made at first use
    known, unknown = zip(*pairs(front), strict=True)
    front.guard.close()
    difference = abs(median(known) - median(unknown))
    with capsys.disabled():
        print(
            f"\n{GUESSES} wrong passwords of known users: median {median(known) * 1000:.3f} ms;"
            f" of unknown ones: {median(unknown) * 1000:.3f} ms; difference {difference * 1000:.3f} ms,"
            f" p = {mann_whitney(known, unknown):.2f} (Mann-Whitney)"
        )
    assert difference < hashing / 4
