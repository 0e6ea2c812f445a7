"""Before each 250 stands, in this order: written, synced, linked, folder synced. Seen by strace."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.rig import LONG, Event, Mail, running, send, traced

CALLS = (
    "trace=writev,pwrite64,fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,sendto,sendmsg,write"
)
_RENAMED = re.compile(r'renameat2\(\d+<([^>]*)>, "([^"]*)", \d+<([^>]*)>, "([^"]*)"')
_QUEUED = re.compile(r"250 2\.0\.0 queued as ([0-9a-z]{20})")
_ON = re.compile(r"\w+\(\d+<([^>]*)>")


def the_order_is_kept(events: Sequence[Event], key: str, reply: Event) -> None:
    """What happened for the message of this id, before this reply."""
    [rename] = [event for event in events if event.name == "renameat2" and key in event.text]
    match = _RENAMED.match(rename.text)
    assert match is not None
    folder, draft, target, _ = match.groups()
    writes = [event for event in events if event.name == "writev" and _on(event) == f"{folder}/{draft}"]
    assert writes
    written = max(event.ended for event in writes)
    assert any(
        written < sync.began <= sync.ended < rename.began for sync in syncs(events, f"{folder}/{draft}")
    )
    assert any(rename.ended < sync.began <= sync.ended < reply.began for sync in syncs(events, target))


def syncs(events: Sequence[Event], path: str) -> list[Event]:
    """Successful syncs of this path, alone or with everything."""
    return [
        event
        for event in events
        if event.text.endswith("= 0")
        and (event.name == "syncfs" or (event.name == "fsync" and _on(event) == path))
    ]


def _on(event: Event) -> str:
    match = _ON.match(event.text)
    return match[1] if match is not None else ""


def recipients(number: int) -> Sequence[str]:
    local, remote = f"user{number % 5}@example.org", f"a@d{number % 3}.example"
    return ((local,), (remote,), (local, remote))[number % 3]


def test_order_under_64_sessions(tmp_path: Path) -> None:
    messages = 1000 if LONG else 200
    with running(tmp_path / "server") as server:
        pids = [server.pid_of("receiver"), server.pid_of("committer")]
        with traced(pids, ["-e", CALLS], tmp_path / "trace") as trace, ThreadPoolExecutor(64) as clients:

            def deliver(number: int) -> Mail:
                return send(server.port, recipients(number))

            mails = list(clients.map(deliver, range(messages)))
    assert all(mail.accepted for mail in mails)
    events = trace.events()
    replies = [
        (key, event) for event in events for key in _QUEUED.findall(event.text) if event.name == "sendto"
    ]
    assert len({key for key, _ in replies}) == messages
    for key, reply in replies:
        the_order_is_kept(events, key, reply)
    assert sum(event.name in ("fsync", "syncfs") for event in events) < messages
