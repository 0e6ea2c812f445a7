"""Letters of eight bits, and hosts that take seven (RFC 6152 3)."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from mta.relay.parcels import CONVERTED
from tests.relay.office import Office

TEXT = b"Subject: x\r\n\r\n" + b"Many words, one of them caf\xe9.\r\n" * 3


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("text", [TEXT, TEXT + b"plain line\r\n" * 20_000], ids=["small", "large"])
@pytest.mark.parametrize("features", [("PIPELINING", "SIZE 0"), ("SIZE 0", "CHUNKING")], ids=str)
def test_the_text_is_converted_and_its_new_size_told(
    office: Office, text: bytes, features: tuple[str, ...]
) -> None:
    site = office.site(*features)
    office.letter("user@b.example", text=text)
    office.route("b.example", site)
    office.until(lambda: office.names("b.example") == [])
    [sent] = site.texts
    assert sent.isascii()
    assert message_from_bytes(sent).get_payload(decode=True) == text.partition(b"\r\n\r\n")[2]
    assert f"MAIL FROM:<s@client.example> SIZE={len(sent)}".encode() in site.exchangers[0].heard


def test_who_takes_eight_bits_gets_them(office: Office) -> None:
    site = office.site("8BITMIME")
    office.letter("user@b.example", text=TEXT)
    office.route("b.example", site)
    office.until(lambda: office.names("b.example") == [])
    assert site.texts == [TEXT]
    assert b"MAIL FROM:<s@client.example> BODY=8BITMIME" in site.exchangers[0].heard


def test_a_large_text_of_seven_bits_stays_as_it_is(office: Office) -> None:
    site = office.site("PIPELINING")
    text = b"Subject: x\r\n\r\n" + b"plain line\r\n" * 20_000
    office.letter("user@b.example", text=text)
    office.route("b.example", site)
    office.until(lambda: office.names("b.example") == [])
    assert site.texts == [text]


def test_letters_on_either_side_of_it_share_its_connection(office: Office) -> None:
    site = office.site("PIPELINING")
    for text in (b"one\r\n", TEXT, b"two\r\n"):
        office.letter("user@b.example", text=text)
    office.route("b.example", site, more=["relay.connections=1"])
    office.until(lambda: office.names("b.example") == [])
    assert len(site.texts) == 3
    assert len(site.exchangers) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"Subject: caf\xe9\r\n\r\nx\r\n", "a header holds octets above 127"),
        (TEXT + b"plain line\r\n" * (CONVERTED // 12), "octets are converted"),
    ],
    ids=["header", "too large"],
)
def test_what_cannot_be_converted_comes_back(office: Office, text: bytes, words: str) -> None:
    site = office.site("PIPELINING")
    office.letter("user@b.example", sender="alice@example.org", text=text)
    office.route("b.example", site)
    office.until(lambda: office.buried("b.example") and office.mailbox("alice"))
    [record] = office.records("failed")
    assert record.text("reason") == "cannot-carry"
    assert words in record.text("detail")
    assert b"Status: 5.6.3" in office.mailbox("alice")[0]
    assert site.texts == []
