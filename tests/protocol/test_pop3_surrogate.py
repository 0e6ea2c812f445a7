"""Headers for clients that cannot take UTF-8, read back by the parser of the standard library."""

from __future__ import annotations

import email.policy
from email import message_from_bytes
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.protocol.pop3.surrogate import surrogate

INTERNATIONAL = (
    "Return-Path: <päivi@esimerkki.example>\n"
    "Received: from a by b\n\tfor <päivi@esimerkki.example>; today\n"
    'From: "Päivi, toinen" <paivi@example.org>\n'
    "To: Bob <bob@example.org>, päivi@esimerkki.example,\n Äiti <aiti@example.org>\n"
    "Subject: hyvää päivää " + "ä" * 60 + "\n"
    'Content-Type: multipart/mixed; name="ä"; boundary="b"\n'
    "Message-ID: <ä@example.org>\n"
    "X-Mood: iloinen ☺\n"
    "Date: Sat, 21 Nov 2026 12:00:00 +0000\n"
    "\nrunko: ä\n"
).encode()


def read(octets: bytes) -> EmailMessage:
    message = message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_an_internationalized_header_becomes_ascii(line_end: bytes) -> None:
    octets = surrogate(INTERNATIONAL.replace(b"\n", line_end))
    header, _, body = octets.replace(b"\r\n", b"\n").partition(b"\n\n")

    assert header.isascii()
    assert body == "runko: ä\n".encode()
    assert max(map(len, header.splitlines())) <= 76


def test_names_and_texts_can_still_be_read() -> None:
    message = read(surrogate(INTERNATIONAL))

    assert message["from"].addresses[0].display_name == "Päivi, toinen"
    assert message["from"].addresses[0].addr_spec == "paivi@example.org"
    assert [each.addr_spec for each in message["to"].addresses] == ["bob@example.org", "aiti@example.org"]
    assert "päivi@esimerkki.example" in [group.display_name for group in message["to"].groups]
    assert message["subject"] == "hyvää päivää " + "ä" * 60
    assert message["x-mood"] == "iloinen ☺"
    assert message["date"] == "Sat, 21 Nov 2026 12:00:00 +0000"
    assert message.get_content_type() == "multipart/mixed"
    assert message.get_boundary() == "b"
    assert message["received"] is None
    assert message["return-path"] is None
    assert message["message-id"] is None


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\n",
        b"Subject: plain\n\nbody \xff\n",
        b"Subject: p\xe4iv\xe4\n\nlatin-1 is only wrong\n",
        "\nSubject: ä\n\nthis is a body\n".encode(),
        "Subject: ä\nno end of the header".encode(),
    ],
)
def test_everything_else_stays_as_it_is(octets: bytes) -> None:
    assert surrogate(octets) == octets


@given(
    st.lists(
        st.sampled_from(
            ("From", "Subject", "X-A", "Content-Type", "To", " ", ":", "ä", '"', "<", ">", "\n", ",")
        )
    )
)
def test_any_header_becomes_ascii(parts: list[str]) -> None:
    header = "".join(parts).replace("\n\n", "\n").strip("\n")

    octets = surrogate(f"X-First: ä\n{header}\n\nbody".encode())

    assert octets.partition(b"\n\n")[0].isascii()
    assert octets.endswith(b"\n\nbody")
