"""Nothing is smuggled out: every body of the table goes through the queue, and
each octet that leaves is looked at. The exchanger's notion of a text's end is CRLF.CRLF and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.protocol.exchanger import Exchanger
from tests.protocol.test_outgoing import SMUGGLED, VECTORS, in_crlf
from tests.relay.office import Office, Site

BODIES = [b"Subject: one\r\n\r\nfirst" + vector + SMUGGLED for vector in VECTORS]
BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


class Recorder(Exchanger):
    """Keeps all that it hears."""

    wire = b""

    def hear(self, octets: bytes) -> bytes:
        self.wire += octets
        return super().hear(octets)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


def send(office: Office, bodies: Sequence[bytes], *features: str) -> list[Recorder]:
    """All of them, as letters of one domain; what was heard, by connection."""
    for body in bodies:
        office.letter("user@b.example", sender="", text=body)
    site = Site(office.loop, {}, lambda: Recorder(features))
    office._sites.append(site)
    office.route("b.example", site)
    office.until(lambda: office.is_quiet and not office.names("b.example"))
    assert not office.records("failed")
    recorders = [each for each in site.exchangers if isinstance(each, Recorder)]
    assert len(recorders) == len(site.exchangers)
    return recorders


def check_wire(recorders: Sequence[Recorder]) -> None:
    """No line ends but CRLF, no command that we did not give, no end of a text but the last."""
    for each in recorders:
        assert BARE.search(each.wire) is None
        assert not any(b"evil" in line for line in each.heard)
        assert sum(line.startswith(b"MAIL") for line in each.heard) == len(each.texts)


@pytest.mark.parametrize("features", [("8BITMIME",), ("8BITMIME", "PIPELINING")], ids=str)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_with_dots(office: Office, features: Sequence[str], end: bytes) -> None:
    bodies = [body.replace(b"\r\n", end) for body in BODIES]
    recorders = send(office, bodies, *features)
    check_wire(recorders)
    texts = [text for each in recorders for text in each.texts]
    assert sorted(texts) == sorted(map(in_crlf, bodies))
    assert sum(each.wire.count(b"\r\n.\r\n") for each in recorders) == len(BODIES)


def test_counted(office: Office) -> None:
    recorders = send(office, BODIES, "8BITMIME", "PIPELINING", "CHUNKING")
    check_wire(recorders)
    assert sorted(text for each in recorders for text in each.texts) == sorted(map(in_crlf, BODIES))


def test_converted(office: Office) -> None:
    recorders = send(office, BODIES)
    check_wire(recorders)
    assert sum(len(each.texts) for each in recorders) == len(BODIES)
    assert all(each.wire.isascii() for each in recorders)


def test_a_large_one_cut_at_every_place(office: Office) -> None:
    """It is read in pieces; the dots stand where they end, one octet further each time."""
    piece = 256 << 10
    body = b"Subject: x\r\n\r\n" + b"\r\n".join(b"." + b"x" * (piece - 3 + shift) for shift in range(-4, 4))
    [recorder] = send(office, [body], "8BITMIME")
    check_wire([recorder])
    assert recorder.texts == [in_crlf(body)]
