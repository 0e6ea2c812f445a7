"""A queue made by hand: letters that were tried once and wait, in the form that the store writes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from mta.identifier import Identifiers
from mta.store import Domain, Entry, Envelope, Recipient, Standing, State, Status
from mta.store.letter import envelope_lines, first_line
from mta.store.letters.status import write_status

MESSAGE = b"From: <sender@example.org>\r\nSubject: one of many\r\n\r\n" + b"x" * 145 + b"\r\n"
"""200 octets."""

_PAUSE = 24 * 3600
"""Seconds until they are due again: nothing is while anything is measured."""


def defer(mail: Path, domains: int, letters: int) -> None:
    """So many letters for each of so many domains. The statuses of a domain are links to one file, as only
    their names are read before they are due."""
    identifiers = Identifiers()
    now = int(time.time())
    for number in range(domains):
        domain = f"d{number}.example"
        folder = _folder(mail, domain)
        standing = Standing(State.WAITING, "connection-refused", when=now)
        status = Status().tried({_recipient(domain).address: standing}, now + _PAUSE)
        (folder / "status").write_bytes(write_status(status))
        for _ in range(letters):
            letter = identifiers.next()
            _write(folder / letter, domain, letter)
            os.link(folder / "status", folder / status.entry(Entry(domain, letter)).status_name)
        (folder / "status").unlink()


def queue(mail: Path, domain: str) -> None:
    """One letter that was not tried yet."""
    letter = Identifiers().next()
    _write(_folder(mail, domain) / letter, domain, letter)


def _folder(mail: Path, domain: str) -> Path:
    folder = mail / ".OTHER_SERVERS" / domain
    folder.mkdir(0o700, parents=True, exist_ok=True)
    return folder


def _recipient(domain: str) -> Recipient:
    return Recipient(f"user@{domain}", Domain(domain))


def _write(path: Path, domain: str, letter: str) -> None:
    envelope = envelope_lines(Envelope(letter, "sender@example.org", time.time(), (_recipient(domain),)))
    octets = first_line(len(envelope), len(MESSAGE)) + envelope + MESSAGE
    written = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(written, octets)
    os.close(written)
