"""The guard: whom it lets in, what others learn from it, and how long it takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import pytest

from mta.config.units import IPAddress
from mta.counters import Counters
from mta.log.log import Log
from mta.loop import Loop
from mta.protocol.scram import Verifier
from mta.users import guard as guards
from mta.users import passwords, penalties, scram
from mta.users.account import Ban
from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.directory import Directory
from mta.users.errors import DatabaseDown
from mta.users.guard import Busy, Down, Granted, Guard, Refused, Verdict
from mta.users.passwords import Secrets, Verified, make_secrets
from mta.users.penalties import DELAYS, Failures, Penalties

PATIENCE = 20.0
"""Seconds after which a test gives up; nothing is measured by it."""

HERE, ELSEWHERE = ip_address("192.0.2.1"), ip_address("198.51.100.7")
WRONG_PASSWORD = Refused("wrong password")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bans:
    """As much of a directory as the guard asks of one."""

    users: set[str] = field(default_factory=set)
    addresses: set[IPAddress] = field(default_factory=set)

    def is_banned_user(self, user: str) -> bool:
        return user in self.users

    def ban_of(self, address: IPAddress) -> Ban | None:
        return Ban(str(address), None) if address in self.addresses else None


class Post:
    """A guard at work: its accounts, its loop, and the verdicts so far."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.loop = Loop(self.clock)
        self.accounts = Accounts(Database(f"sqlite:///{folder}/users.db"))
        self.bans = Bans()
        self._pipe = os.pipe2(os.O_NONBLOCK)
        self._counters = Counters.create()
        log = Log(self._pipe[1], "receiver", self._counters.row("receiver"))
        self.loop.at_end_of_turn(log.flush)
        self.guard = Guard(self.loop, self.accounts, cast(Directory, self.bans), log)
        self.guard.configure(["example.org", "example.net"], scram=False)
        self.told: list[Verdict] = []

    def ask(self, user: str, password: str, client: IPAddress = HERE) -> None:
        self.guard.check(user, password, client, self.told.append)

    def verdict(self, user: str, password: str, client: IPAddress = HERE) -> Verdict:
        """What is said in the end, however long that takes by the clock."""
        count = len(self.told)
        self.ask(user, password, client)
        assert len(self.told) == count, "told before it returned"
        self.until(lambda: self.settled() or len(self.told) > count)
        if len(self.told) == count:
            self.clock.now += DELAYS[-1]
            self.until(lambda: len(self.told) > count)
        return self.told[-1]

    def settled(self) -> bool:
        """The threads have nothing more to do."""
        return self.guard._waiting == 0

    def until(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < end, "it never comes"
            self.loop.turn(5)

    def records(self) -> str:
        try:
            return os.read(self._pipe[0], 1 << 16).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        self.guard.close()
        self.loop.close()
        for fd in (*self._pipe, self._counters.fd):
            os.close(fd)


SESAME = make_secrets("sesame", scram=False)


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    """alice@example.org may log in with `sesame`."""
    made = Post(tmp_path)
    made.accounts.add("alice", "example.org", SESAME)
    yield made
    made.close()


# who may log in


@pytest.mark.parametrize("user", ["alice", "Alice", "alice@example.org", "ALICE@Example.ORG"])
def test_who_knows_the_password(post: Post, user: str) -> None:
    verdict = post.verdict(user, "sesame")
    assert isinstance(verdict, Granted)
    assert verdict.account.address == "alice@example.org"


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ("alice", "wrong password"),
        ("nobody", "no such user"),
        ("alice@example.net", "no such user"),
        ("alice@elsewhere.example", "no such user"),
        ("alice@", "no such user"),
        ("@example.org", "no such user"),
        ("", "no such user"),
        ("\u212aalice", "no such user"),
        ("alice\0", "no such user"),
        ("a" * 5000, "no such user"),
    ],
)
def test_who_does_not(post: Post, user: str, why: str) -> None:
    assert post.verdict(user, "sesam") == Refused(why)


def test_a_domain_that_is_ours_no_more(post: Post) -> None:
    post.guard.configure(["example.net"], scram=False)
    assert post.verdict("alice@example.org", "sesame") == Refused("no such user")


def test_a_disabled_account_is_refused(post: Post) -> None:
    alice = post.accounts.find("alice", "example.org")
    assert alice is not None
    post.accounts.set_enabled(alice.id, False)
    assert post.verdict("alice", "sesame") == Refused("disabled")
    assert post.verdict("alice", "wrong") == WRONG_PASSWORD


def test_who_is_banned_is_refused(post: Post) -> None:
    post.bans.users.add("alice@example.org")
    assert post.verdict("alice", "sesame") == Refused("banned")
    post.bans = Bans()
    post.guard._directory = cast(Directory, post.bans)
    post.bans.addresses.add(HERE)
    assert post.verdict("alice", "sesame") == Refused("banned")
    assert isinstance(post.verdict("alice", "sesame", ELSEWHERE), Granted)


# hashes


def test_a_hash_of_another_kind_is_renewed(post: Post) -> None:
    post.accounts.add("bob", "example.org", Secrets("{PLAIN}sesame"))
    assert isinstance(post.verdict("bob", "sesame"), Granted)
    found = post.accounts.secrets_of("bob", "example.org")
    assert found is not None
    assert found[1].hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert isinstance(post.verdict("bob", "sesame"), Granted)


def test_a_wrong_password_renews_nothing(post: Post) -> None:
    post.accounts.add("bob", "example.org", Secrets("{PLAIN}sesame"))
    assert post.verdict("bob", "wrong") == WRONG_PASSWORD
    assert post.accounts.secrets_of("bob", "example.org") == (
        post.accounts.find("bob", "example.org"),
        Secrets("{PLAIN}sesame"),
    )


def test_a_password_that_is_changed_meanwhile_stays_changed(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = post.accounts.add("bob", "example.org", Secrets("{PLAIN}sesame"))
    make = passwords.make_secrets

    def changing(password: str, *, scram: bool) -> Secrets:
        post.accounts.set_secrets(bob.id, Secrets("{PLAIN}another"))
        return make(password, scram=scram)

    monkeypatch.setattr(passwords, "make_secrets", changing)
    assert isinstance(post.verdict("bob", "sesame"), Granted)
    found = post.accounts.secrets_of("bob", "example.org")
    assert found is not None
    assert found[1] == Secrets("{PLAIN}another")


def test_that_it_cannot_be_renewed_keeps_nobody_out(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_args: object) -> None:
        raise DatabaseDown("read-only")

    post.accounts.add("bob", "example.org", Secrets("{PLAIN}sesame"))
    monkeypatch.setattr(post.accounts, "renew_secrets", down)
    assert isinstance(post.verdict("bob", "sesame"), Granted)
    post.loop.turn()
    records = post.records()
    assert "read-only" in records
    assert "bob@example.org" in records
    assert "sesame" not in records


def test_verifiers_come_and_go_with_their_setting(post: Post) -> None:
    def kept() -> str:
        found = post.accounts.secrets_of("alice", "example.org")
        assert found is not None
        return found[1].scram

    post.guard.configure(["example.org"], scram=True)
    post.verdict("alice", "sesame")
    assert scram.parse(kept()) is not None
    post.guard.configure(["example.org"], scram=False)
    post.verdict("alice", "sesame")
    assert kept() == ""


# SCRAM


def verifier(post: Post, user: str) -> Verifier:
    found: list[Verifier | Busy | Down] = []
    post.guard.verifier(user, HERE, found.append)
    assert found == []
    post.until(lambda: bool(found))
    assert isinstance(found[0], Verifier)
    return found[0]


def test_the_verifier_of_a_user(post: Post) -> None:
    secrets = make_secrets("sesame", scram=True)
    post.accounts.add("bob", "example.org", secrets)
    assert verifier(post, "bob") == scram.parse(secrets.scram)


@pytest.mark.parametrize("user", ["nobody", "alice", "x@elsewhere.example"])
def test_one_is_invented_for_who_has_none(post: Post, user: str) -> None:
    first, second = verifier(post, user), verifier(post, user)
    assert (first.salt, first.iterations) == (second.salt, second.iterations)
    assert first.iterations == scram.ITERATIONS


def test_the_invented_one_survives_a_restart(post: Post, tmp_path: Path) -> None:
    salt = verifier(post, "nobody").salt
    other = Post(tmp_path)
    assert verifier(other, "nobody").salt == salt
    other.close()


@pytest.mark.parametrize(
    ("user", "proven", "verdict"),
    [("alice", False, WRONG_PASSWORD), ("nobody", True, Refused("no such user"))],
)
def test_a_proof_is_judged_like_a_password(post: Post, user: str, proven: bool, verdict: Verdict) -> None:
    post.guard.admit(user, HERE, proven, post.told.append)
    post.until(post.settled)
    assert post.told == []
    post.clock.now += DELAYS[0]
    post.until(lambda: post.told == [verdict])


def test_a_proof_of_an_account_lets_in(post: Post) -> None:
    post.guard.admit("alice", HERE, True, post.told.append)
    post.until(lambda: bool(post.told))
    assert isinstance(post.told[0], Granted)


# what does not work


def test_no_database_is_no_refusal(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_args: object) -> None:
        raise DatabaseDown("gone")

    monkeypatch.setattr(post.accounts, "secrets_of", down)
    assert post.verdict("alice", "sesame") == Down("gone")
    found: list[Verdict | Verifier] = []
    post.guard.verifier("alice", HERE, found.append)
    post.guard.admit("alice", HERE, True, found.append)
    post.until(lambda: found == [Down("gone")] * 2)


def test_only_so_many_wait(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "verify", lambda _hash, _password: Verified(ok=True))
    for number in range(guards.MOST_WAITING + 5):
        post.ask("alice", "sesame", ip_address(f"192.0.2.{number % 250}"))
    assert post.told == []
    post.until(lambda: len(post.told) >= 5)
    post.until(lambda: len(post.told) == guards.MOST_WAITING + 5)
    assert post.told.count(Busy()) == 5
    assert isinstance(post.verdict("alice", "sesame"), Granted)


# time


def test_each_failure_takes_longer_than_the_one_before(post: Post) -> None:
    for delay in (2.0, 4.0, 8.0, 15.0, 15.0):
        count = len(post.told)
        post.ask("alice", "wrong")
        post.until(post.settled)
        post.clock.now += delay - 0.1
        post.loop.turn()
        assert len(post.told) == count
        post.clock.now += 0.2
        post.loop.turn()
        assert post.told[count:] == [WRONG_PASSWORD]


def test_a_refusal_comes_by_the_time_of_its_question(post: Post) -> None:
    """What the threads took for it makes no difference."""
    post.ask("alice", "wrong")
    post.clock.now += DELAYS[0] + 1
    post.until(lambda: post.told == [WRONG_PASSWORD])


def test_who_knows_the_password_waits_for_nobody(post: Post) -> None:
    for _ in range(4):
        post.verdict("alice", "wrong")
    for client in (ELSEWHERE, HERE):
        count = len(post.told)
        post.ask("alice", "sesame", client)
        post.until(lambda count=count: len(post.told) > count)  # type: ignore[misc]
        assert isinstance(post.told[-1], Granted)


def test_an_account_fails_from_many_addresses(post: Post) -> None:
    for number in range(3):
        post.verdict("alice", "wrong", ip_address(f"192.0.2.{number}"))
    count = len(post.told)
    post.ask("alice", "wrong", ELSEWHERE)
    post.until(post.settled)
    post.clock.now += DELAYS[3] - 0.1
    post.loop.turn()
    assert len(post.told) == count


def test_an_address_that_fails_may_not_ask_as_much_as_it_likes(post: Post) -> None:
    post.verdict("alice", "wrong")
    count = len(post.told)
    for number in range(penalties.MOST_UNDER_WAY + 3):
        post.ask(f"user{number}", "wrong")
    post.loop.turn()
    assert post.told[count:] == [Busy()] * 3
    assert isinstance(post.verdict("alice", "sesame", ELSEWHERE), Granted)


def test_at_the_end_nothing_is_kept_back(post: Post) -> None:
    post.ask("alice", "wrong")
    post.until(post.settled)
    assert post.told == []
    post.guard.hurry()
    assert post.told == [WRONG_PASSWORD]
    post.ask("alice", "wrong")
    post.until(lambda: len(post.told) == 2)


# penalties


def test_failures_are_forgotten_after_a_while() -> None:
    failures = Failures(10)
    assert [failures.add("x", now) for now in (0.0, 599.0, 1198.0)] == [1, 2, 3]
    assert failures.count("x", 1797.0) == 3
    assert failures.count("x", 1798.0) == 0
    assert failures.add("x", 1798.0) == 1


def test_only_so_many_are_remembered() -> None:
    failures = Failures(3)
    for who in ("a", "b", "a", "c", "d"):
        failures.add(who, 0.0)
    assert [failures.count(who, 0.0) for who in "abcd"] == [2, 0, 1, 1]


def test_a_network_of_one_customer_is_one_source() -> None:
    one, same, other = (
        penalties.source_of(ip_address(text))
        for text in ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1")
    )
    assert one == same != other
    assert penalties.source_of(HERE) != penalties.source_of(ELSEWHERE)


def test_when_too_many_wait_the_first_is_let_go() -> None:
    loop = Loop(Clock())
    kept = Penalties(loop)
    gone: list[int] = []
    for number in range(penalties.MOST_KEPT_BACK + 2):
        client = ip_address(0x0A000000 + number)
        kept.refuse(client, number, 1000.0, lambda number=number: gone.append(number))  # type: ignore[misc]
    assert gone == [0, 1]
    kept.hurry()
    assert len(gone) == penalties.MOST_KEPT_BACK + 2
    loop.close()
