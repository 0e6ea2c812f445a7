"""The next letter's commands behind the text of the one before, from the tree to the wire: whatever happens
in between is the fate of one letter, and the other is as it was."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.store.system import System
from tests.protocol.exchanger import Does, Exchanger
from tests.relay.office import Office, Saying, Site


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.close()


class Overhearing(Exchanger):
    """Remembers what came in each portion."""

    def hear(self, octets: bytes) -> bytes:
        self.portions = [*getattr(self, "portions", ()), octets]
        return super().hear(octets)


def send(office: Office, letters: int, **says: list[Saying]) -> Site:
    """So many letters over one connection at a time, until nothing is left to do."""
    site = office.site(**says)
    for number in range(letters):
        office.letter(f"user{number}@b.example")
    office.route("b.example", site, more=["relay.connections=1"])
    office.until(lambda: office.is_quiet and len(fates(office)) == letters)
    return site


def fates(office: Office) -> Counter[str]:
    """What became of the recipients, by recipient: how often what happened to them."""
    events = ("delivered", "deferred", "failed")
    return Counter(f"{r.event} {r.fields['recipient']}" for r in office.records() if r.event in events)


def events(office: Office) -> Counter[str]:
    return Counter(fate.partition(" ")[0] for fate in fates(office).elements())


def test_the_envelope_of_the_next_letter_comes_with_the_text(office: Office) -> None:
    site = Site(office.loop, {}, lambda: Overhearing(("PIPELINING",)))
    for number in range(3):
        office.letter(f"user{number}@b.example")
    office.route("b.example", site)
    office.until(lambda: len(site.texts) == 3 and office.is_quiet)
    [exchanger] = site.exchangers
    assert isinstance(exchanger, Overhearing)
    together = [b"\r\n.\r\nMAIL" in octets for octets in exchanger.portions]
    # Not behind the first: whether this host takes letters at all was not known yet.
    assert together == [False, False, False, False, True, False, False]
    site.close()


def test_a_connection_lost_in_between_is_the_fate_of_one_letter(office: Office) -> None:
    site = send(office, 4, END=[None, Does.CLOSE])
    assert events(office) == {"delivered": 3, "deferred": 1}
    [deferred] = office.records("deferred")
    assert deferred.fields["reason"] == "possible-duplicate"
    assert len(site.texts) == 3


def test_who_says_good_bye_in_between_has_seen_one_letter(office: Office) -> None:
    send(office, 3, END=[None, b"421 4.3.2 going down\r\n"])
    assert events(office) == {"delivered": 2, "deferred": 1}


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "END"])
def test_a_refusal_is_that_of_one_letter(office: Office, stage: str) -> None:
    says: dict[str, list[Saying]] = {stage: [None, None, b"450 4.2.0 not now\r\n"]}
    site = send(office, 4, **says)
    assert events(office) == {"delivered": 3, "deferred": 1}
    assert set(fates(office).values()) == {1}
    assert len(site.texts) == 3
    assert len(site.exchangers) == 1


class Watched(System):
    """Knows which threads read."""

    def __init__(self) -> None:
        self.readers: set[bool] = set()

    def pread(self, fd: int, octets: int, offset: int) -> bytes:
        if offset == 0 and octets < 1 << 20:
            self.readers.add(threading.current_thread() is threading.main_thread())
        return System.pread(fd, octets, offset)


@pytest.mark.parametrize(("age", "by_the_loop"), [(0, True), (60, False)])
def test_what_has_just_come_is_read_at_once_and_what_is_old_beside(
    tmp_path: Path, age: float, by_the_loop: bool
) -> None:
    system = Watched()
    office = Office(tmp_path, system=system)
    site = office.site()
    office.letter("user@b.example", age=age)
    office.route("b.example", site)
    office.until(lambda: site.texts and office.is_quiet)
    assert system.readers == {by_the_loop}
    office.close()


def test_what_is_delivered_is_a_spare_and_no_letter(office: Office) -> None:
    site = office.site()
    office.letter("user@b.example")
    office.letter("user@b.example", text=b"x" * 80_000)
    office.route("b.example", site)
    office.until(lambda: len(site.texts) == 2 and office.is_quiet)
    assert office.names("b.example") == []
    assert len(office.names(".spare")) == 1
