"""The relay dies before each call that it makes to the disk: nobody is lost, nobody is told twice.

A rehearsal counts the calls. Then a run is ended at its so-manieth call, and another one, in the same tree,
goes on until all is quiet.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.faults.rig import some
from tests.relay.office import Office
from tests.store.stage import Crash, CrashAt, Stage

FATES = {
    "plain@b.example": "delivered",
    "never@b.example": "failed",
    "now@b.example": "delivered",
    "later@b.example": "waiting",
    "nobody@c.example": "failed",
}
DOMAINS = ("b.example", "c.example", "d.example")


def fill(office: Office) -> None:
    """Letters of every fate. Reports to alice lie here, those to carol are sent on."""
    office.letter("plain@b.example", sender="alice@example.org")
    office.letter("never@b.example", "now@b.example", "later@b.example", sender="alice@example.org")
    office.letter("nobody@c.example", sender="carol@d.example")


def run(office: Office) -> None:
    """Until there is nothing to do for now."""
    ports = ((domain, office.picky_site(FATES).port) for domain in DOMAINS)
    routes = ", ".join(f'"{domain} smtp://127.0.0.1:{port}"' for domain, port in ports)
    office.configure(f"relay.routes=[ {routes} ]")
    office.until(lambda: office.is_quiet)


def calls_of_a_run(folder: Path) -> int:
    folder.mkdir()
    stage = Stage(folder)
    office = Office(folder, system=stage)
    fill(office)
    run(office)
    office.close()
    return len(stage.calls)


def run_until(at: int, folder: Path) -> Office:
    """A run that ends before this call."""
    folder.mkdir()
    stage = Stage(folder)
    office = Office(folder, system=stage)
    fill(office)
    stage.begin(CrashAt(at))
    with suppress(Crash):
        run(office)
    office.die()
    return office


def run_again(folder: Path) -> Office:
    """The next process, with all retries made at once."""
    office = Office(folder)
    run(office)
    for domain in DOMAINS:
        office.relay.schedule.retry(domain, office.relay._clock())
    office.until(lambda: office.is_quiet)
    office.close()
    return office


def test_killed_at_any_call(tmp_path: Path) -> None:
    calls = calls_of_a_run(tmp_path / "rehearsal")
    assert calls > 50
    for at in some(range(1, calls + 1), 60):
        before = run_until(at, tmp_path / str(at))
        after = run_again(tmp_path / str(at))
        check(before, after)


def check(before: Office, after: Office) -> None:
    accepted = Counter(before.accepted + after.accepted)
    repeated = [address for address, fate in FATES.items() if accepted[address] > (fate == "delivered")]
    assert all(accepted[address] for address, fate in FATES.items() if fate == "delivered")
    assert len(repeated) <= 1, "one connection to b.example was open"
    # A report that is sent on may be repeated as any letter may, but it is the same one.
    assert len([report for report in after.mailbox("alice") if b"never@b.example" in report]) == 1
    reports = [text for text in before.sent_texts + after.sent_texts if b"Auto-Submitted:" in text]
    assert {b"nobody@c.example" in report for report in reports} == {True}
    assert len(set(map(message_id, reports))) == 1
    letters = {name.partition(".")[0] for name in after.names("b.example")}
    assert len(letters) == 1, "later@b.example still waits"


def message_id(text: bytes) -> bytes:
    return text.partition(b"Message-ID: ")[2].partition(b"\r\n")[0]
