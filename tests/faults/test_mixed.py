"""Everything at once: mail of all kinds, names that do not resolve, hosts that break off at any stage, and
a relay that is killed again and again. In the end each recipient of an accepted message has it, or waits, or
was given up and is reported: one of these, once, but for what may have happened twice, which the log knows.
Who is to hear of success here hears of it, once.

It is done in rounds, each with a world of its own: FAULTS_SECONDS in the environment says for how long a new
one is begun, FAULTS_SEED repeats the choices (though not the moments) of one that failed.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count, pairwise
from pathlib import Path
from random import Random

from dns.rcode import SERVFAIL

from mta.relay.outcome import Reason
from mta.store import OpenLetter, State, Store
from tests.faults.rig import LONG, Mail, Server, Tree, comes_true, running, send
from tests.faults.sink import Does, Saying, Sink, Time, unexcused
from tests.instance import PATIENCE
from tests.relay.nameserver import NameServer, refuse, silence

SECONDS = float(os.environ.get("FAULTS_SECONDS", 600 if LONG else 1))
SEED = int(os.environ.get("FAULTS_SEED", time.time()))

ROUND = 5.0
"""Seconds in which mail comes in."""

EXCHANGER = {"MX": ["10 mx.example."]}
ZONE = {
    "mx.example": {"A": ["127.0.0.1"]},
    **{f"{name}.example": EXCHANGER for name in ("one", "two", "three", "home", "dim", "dark")},
    "broken.example": EXCHANGER,
    "silent.example": EXCHANGER,
}
SHAKY = ("dim.example", "dark.example")
"""Now the name server knows them, and now it does not."""
DOWN = {"broken.example": refuse(SERVFAIL), "silent.example": silence}
"""Never does it know these."""
MISSING = "missing.example"
REMOTE = ("one.example", "two.example", "three.example", *SHAKY, *DOWN, MISSING)
SENDERS = ("{}@example.org", "{}@home.example", "")

LATER = b"451 4.3.0 later\r\n"
HICCUPS: dict[str, Sequence[Saying]] = {
    "greeting": (b"450 4.3.2 not now\r\n", Does.CLOSE, Does.RESET),
    "EHLO": (Does.CLOSE,),
    "MAIL": (LATER, LATER, LATER, Does.CLOSE, Does.CLOSE, Does.RESET, b"421 4.3.2 closing\r\n"),
    "RCPT": (LATER, Does.RESET),
    "DATA": (LATER, Does.CLOSE),
    "END": (LATER, Does.TAKE_AND_CLOSE, Does.TAKE_AND_CLOSE, Does.CLOSE, Does.RESET),
}


class Weather:
    """The habit of a sink: recipients named `never` are always refused; while it is `bad`, one time in
    fifteen anything may happen."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.bad = True

    def __call__(self, stage: str, address: str) -> Saying:
        if stage == "RCPT" and address.startswith("never"):
            return b"550 5.1.1 nobody of that name\r\n"
        if self.bad and stage in HICCUPS and self._random.random() < 1 / 15:
            return self._random.choice(HICCUPS[stage])
        return None


@dataclass(repr=False)
class World:
    """The server and all around it."""

    server: Server
    sink: Sink
    names: NameServer
    weather: Weather
    random: Random
    mails: list[Mail] = field(default_factory=list)
    kills: int = 0

    def hand_in(self) -> None:
        """A message from somebody to some, none of whom any other message has to do with."""
        number, random = len(self.mails), self.random
        domains = random.sample(REMOTE, random.choice((0, 1, 1, 1, 2)))
        recipients = [f"{random.choice(('some', 'some', 'never'))}{number}-{n}@{domain}"
                      for domain in domains for n in range(random.choice((1, 1, 3)))]  # fmt: skip
        local = f"local{number}@example.org"
        if not recipients or random.random() < 0.2:
            recipients.append(local)
        sender = random.choice(SENDERS).format(f"sender{number}")
        confirmed = (local,) if random.random() < 0.5 else ()
        self.mails.append(send(self.server.port, recipients, sender=sender, confirmed=confirmed))

    def change_names(self) -> None:
        """Something becomes known, or unknown."""
        habits = (None, silence, refuse(SERVFAIL))
        for domain in SHAKY:
            if (habit := self.random.choice(habits)) is not None:
                self.names.habits[domain] = habit
            else:
                self.names.habits.pop(domain, None)

    def kill(self) -> None:
        """The relay, if there is one at the moment; the next may be some seconds away."""
        try:
            relay = self.server.pid_of("relay")
        except ValueError:
            return
        process = os.pidfd_open(relay)
        signal.pidfd_send_signal(process, signal.SIGKILL)
        assert select.select([process], [], [], PATIENCE)[0]
        os.close(process)
        self.sink.end_era()
        self.kills += 1

    def calm_down(self) -> None:
        """All is well from now on, but what never was."""
        self.weather.bad = False
        for domain in SHAKY:
            self.names.habits.pop(domain, None)

    def await_rest(self) -> None:
        """Until nothing waits any more that has nothing in its way. A domain that was asked to be slow has a
        long way back, but it never stands still."""
        while left := self._stuck():
            assert comes_true(partial(self._has_fewer, len(left))), left

    def _has_fewer(self, number: int) -> bool:
        return len(self._stuck()) < number

    def _stuck(self) -> list[str]:
        return [name for name in self.server.tree.waiting() if name.partition("/")[0] not in DOWN]


@contextmanager
def world(folder: Path, random: Random) -> Iterator[World]:
    weather = Weather(random)
    with Sink(weather) as sink, NameServer(ZONE) as names:
        names.ttl = 1
        names.habits.update(DOWN)
        with running(folder, *_settings(sink.port, names.address)) as server:
            yield World(server, sink, names, weather, random)


def _settings(port: int, names: str) -> Iterator[str]:
    relay = {
        "enabled": True,
        "port": port,
        "private_targets": ["127.0.0.0/8"],
        "retry": ["1s"],
        "connections": 3,
    }
    dns = {"servers": [names], "timeout": "300ms"}
    for group, values in (("relay", relay), ("dns", dns)):
        for key, value in values.items():
            yield from ("--set", f"{group}.{key}={json.dumps(value)}")


class Stock:
    """What is in the tree once the server has stopped, by address."""

    def __init__(self, tree: Tree, sink: Sink) -> None:
        self.waiting: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.reported: Counter[str] = Counter()
        """Reports that somebody cannot be reached, whether their readers have them already or not."""
        self._reports: dict[bytes, bytes] = {}
        """Texts by their identifiers: one that was sent twice, for a reason, is one."""
        for octets in chain(
            tree.all_reports(), (taken.text for taken in sink.messages() if not taken.sender)
        ):
            self._add_report(octets)
        self._read(tree.root)
        for octets in self._reports.values():
            self.reported.update(
                each.decode() for each in re.findall(rb"Final-Recipient: rfc822; (\S+)", octets)
            )

    def _read(self, root: Path) -> None:
        store = Store(root, host="mx.example.org", writer="relay")
        queue = store.queue
        queued = [entry for found in queue.scan() for entry in found]
        kept = [entry for domain in queue.domains() for found in queue.kept(domain) for entry in found]
        for entries, opened in ((queued, queue.open), (kept, queue.open_kept)):
            for entry in entries:
                [letter] = opened([entry])
                assert isinstance(letter, OpenLetter), letter
                with letter:
                    self._add(letter)
        store.close()

    def _add(self, letter: OpenLetter) -> None:
        assert letter.trouble == ""
        self.waiting.update(each.address for each in letter.waiting)
        standings = letter.status.recipients.items()
        self.failed.update(address for address, standing in standings if standing.state is State.FAILED)
        if not letter.envelope.sender:
            self._add_report(letter.read(0, letter.length))

    def _add_report(self, octets: bytes) -> None:
        if b"multipart/report" in octets:
            match = re.search(rb"^Message-ID: (\S+)", octets, re.MULTILINE)
            assert match is not None
            self._reports[match[1]] = octets


def check(mail: Mail, recipient: str, stock: Stock, sink: Sink, doubts: Counter[str]) -> str:
    """In which state a recipient is. AssertionError when it is none, or two without a reason, or when it was
    delivered twice and nobody knows. `doubts`: how often the log has a possible duplicate for it."""
    times = sink.times(b"", recipient)
    assert not unexcused(times), times
    unclear = [before for before, after in pairwise(times) if before.era == after.era]
    assert len(unclear) <= doubts[recipient], times
    failed, waiting, reports = stock.failed[recipient], stock.waiting[recipient], stock.reported[recipient]
    assert failed + waiting <= 1
    assert reports == (failed and mail.sender != "")
    if not (failed or waiting):
        assert times, "lost"
        return "delivered"
    # It may have been delivered nevertheless, if nobody here could know.
    assert not times or times[-1].excuses(Time(sink.era, answered=True, is_last=True)), times
    return "failed" if failed else "waiting"


def test_mixed_mail(tmp_path: Path) -> None:
    end = time.monotonic() + SECONDS
    for number in count():
        play(tmp_path / str(number), SEED + number)
        if time.monotonic() > end:
            break


def play(folder: Path, seed: int) -> None:
    """One round."""
    folder.mkdir()
    with world(folder, Random(seed)) as around:
        live_through(around)
        around.calm_down()
        around.await_rest()
        assert around.server.stop() == 0
        states = Counter(take_stock(around))
        print(f"FAULTS_SEED={seed}: {len(around.mails)} messages, {around.kills} kills, {dict(states)}")
    assert around.kills > 0
    assert set(states) == {"delivered", "waiting", "failed"}


def live_through(around: World) -> None:
    """Mail comes in, and now and then something changes. The relay is killed once at least."""
    end = time.monotonic() + ROUND
    while time.monotonic() < end:
        around.hand_in()
        if around.random.random() < 1 / 20:
            around.change_names()
        late = not around.kills and time.monotonic() > end - ROUND / 2
        if around.random.random() < 1 / 40 or late:
            around.kill()
    assert all(mail.accepted for mail in around.mails)


def take_stock(around: World) -> Iterator[str]:
    """The states of all who are not at home."""
    tree, sink = around.server.tree, around.sink
    stock = Stock(tree, sink)
    deferred = around.server.records("deferred")
    doubts = Counter(
        each.text("recipient") for each in deferred if each.text("reason") == Reason.POSSIBLE_DUPLICATE.word
    )
    for mail in around.mails:
        for recipient in mail.recipients:
            local, _, domain = recipient.partition("@")
            if domain == "example.org":
                assert len(tree.messages(local)) == 1
                assert stock.waiting[recipient] == 0
                assert stock.reported[recipient] == (recipient in mail.confirmed and mail.sender != "")
            else:
                yield check(mail, recipient, stock, sink, doubts)
