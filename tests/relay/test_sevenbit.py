"""Texts in seven bits. What they decode to is read by the parser of the standard library."""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.relay.conversion.entity import Kind, Unreadable, parse_kind
from mta.relay.conversion.sevenbit import MOST_LEVELS, MOST_PARTS, Unconvertible, to_seven_bits

# what is generated: a tree of parts, written as mail programs write it

_boundaries = st.integers(0, 9999).map(lambda number: f"=_b {number}")
"""Some of them begin with others."""

_octets = st.lists(
    st.sampled_from(
        [
            b"plain",
            b"\xc3\xa9",
            b"\xff",
            b"=",
            b"=E9",
            b" ",
            b"\t",
            b".",
            b"-",
            b"--",
            b"\x00",
            b"From ",
            b"a" * 999,
        ]
        + [b"\r\n"] * 4
    ),
    max_size=30,
).map(b"".join)
_labels = st.sampled_from(
    [b"", b"Content-Transfer-Encoding: 8bit\r\n", b"content-transfer-encoding:binary (x)\r\n"]
)
_types = st.sampled_from(
    [b"", b"Content-Type: text/plain; charset=utf-8\r\n", b'Content-Type: image/x;\r\n name="(a"\r\n']
)
_leaves = st.builds(lambda kind, label, body: kind + label + b"\r\n" + body, _types, _labels, _octets)


def _multipart(boundary: str, parts: list[bytes], label: bytes) -> bytes:
    head = b'Content-Type: multipart/mixed; boundary="%b"\r\n%b\r\n' % (boundary.encode(), label)
    line = b"\r\n--" + boundary.encode()
    return head + b"preamble" + b"".join(line + b"\r\n" + part for part in parts) + line + b"--\r\n"


def _message(inner: bytes) -> bytes:
    return b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nMIME-Version: 1.0\r\n" + inner


def _deeper(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    several = st.lists(inner, min_size=1, max_size=4)
    return st.builds(_multipart, _boundaries, several, _labels) | inner.map(_message)


def _has_borders_of_its_own(tree: bytes) -> bool:
    borders = re.findall(rb'boundary="([^"]*)"', tree)
    return len(borders) == len(set(borders))


_trees = st.recursive(_leaves, _deeper, max_leaves=8).filter(_has_borders_of_its_own)


def parsed(octets: bytes) -> EmailMessage:
    return email.message_from_bytes(octets, policy=email.policy.default.clone(linesep="\r\n"))


def leaves(octets: bytes) -> list[tuple[str, bytes]]:
    """Type and content of every leaf, decoded."""
    message = email.message_from_bytes(octets, policy=email.policy.compat32)
    found = []
    for part in message.walk():
        if not part.is_multipart():
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            found.append((part.get_content_type(), content))
    return found


@given(_trees)
def test_what_is_converted_decodes_to_what_it_was(tree: bytes) -> None:
    text = b"Subject: x\r\nMIME-Version: 1.0\r\n" + tree
    text += b"" if text.endswith(b"\r\n") else b"\r\n"
    converted = to_seven_bits(text)
    assert leaves(converted) == leaves(text)


@given(_trees)
def test_it_has_seven_bits_and_short_lines(tree: bytes) -> None:
    converted = to_seven_bits(b"Subject: x\r\n" + tree)
    assert converted.isascii()
    assert max(map(len, converted.split(b"\r\n"))) <= 998
    assert converted.count(b"\r\n") == converted.count(b"\r") == converted.count(b"\n")
    assert to_seven_bits(converted) == converted
    assert b": 8bit" not in converted
    assert b":binary" not in converted


@given(st.binary(max_size=400))
def test_whatever_it_is_it_has_seven_bits_or_is_refused(octets: bytes) -> None:
    try:
        converted = to_seven_bits(octets)
    except Unconvertible:
        return
    assert converted.isascii()


@given(
    st.lists(st.sampled_from([b"--b", b"--b--", b"\r\n", b"\r\n\r\n", b"\xe9", b"-", b" ", b"A: b", b"b"]))
)
def test_delimiters_in_any_order_lose_no_octet_above_127(pieces: list[bytes]) -> None:
    text = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"".join(pieces) + b"\r\n"
    try:
        converted = to_seven_bits(text)
    except Unconvertible:
        return
    assert above_127(converted) == above_127(text)


def above_127(octets: bytes) -> list[int]:
    """How many there are in each leaf that has some."""
    return [n for _, content in leaves(octets) if (n := content.count(b"\xe9"))]


# single texts


def test_a_text_without_mime_is_labelled_as_one_of_unknown_characters() -> None:
    converted = to_seven_bits(b"Subject: x\r\n\r\n" + b"Dear colleague, the caf\xe9 is closed.\r\n")
    assert converted == (
        b"Subject: x\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=unknown-8bit\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n"
        b"\r\n"
        b"Dear colleague, the caf=E9 is closed.\r\n"
    )


def test_a_text_of_another_script_is_shorter_in_base64() -> None:
    text = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nДобрый день\r\n".encode()
    converted = to_seven_bits(text)
    assert b"Content-Transfer-Encoding: base64" in converted
    assert leaves(converted) == [("text/plain", "Добрый день\r\n".encode())]


def test_parts_that_have_no_need_stay_as_they_are() -> None:
    picture = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n"
    letter = _multipart("b", [b"\r\ncaf\xe9", picture], b"Content-Transfer-Encoding: 8bit\r\n")
    converted = to_seven_bits(letter)
    assert b"--b\r\n" + picture + b"\r\n--b--\r\n" in converted


def test_what_a_digest_does_not_label_are_messages() -> None:
    inner = b"Subject: x\r\n\r\n" + b"word " * 20 + b"\xe9"
    text = b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n" + inner + b"\r\n--b--\r\n"
    converted = to_seven_bits(text)
    assert b"--b\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: x\r\nMIME-Version: 1.0\r\n" in converted
    assert b"=E9\r\n--b--" in converted


def test_a_part_without_a_closing_delimiter_is_converted_too() -> None:
    text = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + b"word " * 20 + b"\xe9\r\n"
    assert to_seven_bits(text).endswith(b"=E9\r\n")


def test_a_boundary_that_begins_with_the_outer_one_is_another() -> None:
    inner = _multipart("bb", [b"\r\nword word word \xe9"], b"")
    converted = to_seven_bits(_multipart("b", [inner, b"\r\nlast"], b""))
    message = parsed(converted)
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/mixed",
        "text/plain",
        "text/plain",
    ]


def test_what_stands_outside_of_parts_is_left_out_when_it_has_eight_bits() -> None:
    text = b"Content-Type: multipart/mixed; boundary=b\r\n\r\npr\xe9\r\n--b\r\n\r\nx\r\n--b--\r\nfin\xe9\r\n"
    assert to_seven_bits(text).endswith(b"\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n")


def test_a_long_line_is_cured_in_passing() -> None:
    letter = _multipart("b", [b"\r\n" + b"x" * 999, b"\r\ncaf\xe9"], b"")
    assert max(map(len, to_seven_bits(letter).splitlines())) <= 998


_SIGNED = _multipart("s", [b"\r\nword \xe9", b"Content-Type: application/x\r\n\r\nsignature"], b"").replace(
    b"mixed", b"signed"
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"Subject: caf\xe9\r\n\r\nx", "header"),
        (_SIGNED, "signed"),
        (_multipart("b", [_SIGNED], b""), "signed"),
        (_SIGNED.replace(b"signed", b"encrypted"), "encrypted"),
        (_message(b"X: \xe9\r\n\r\nx"), "header"),
        (b"Content-Type: message/partial\r\n\r\n\xe9", "message/partial"),
        (b"Content-Type: multipart/mixed\r\n\r\n\xe9", "without a boundary"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\xe9", "without parts"),
        (b"Content-Type: multipart/mixed; boundary=b; boundary=c\r\n\r\n\xe9", "two boundaries"),
        (b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n\xe9", "two fields"),
        (b"Content-Type: text\r\n\r\n\xe9", "content type"),
        (b"From somebody\r\nSubject: x\r\n\r\n\xe9", "no field"),
        (b"Content-Type : text/html\r\n\r\n\xe9", "no field"),
        (b"Content-Transfer-Encoding: base64\r\n\r\n\xe9", "says that it is base64"),
        (_multipart("b", [b"\r\n\xe9"], b"Content-Transfer-Encoding: base64\r\n"), "itself encoded"),
    ],
)
def test_what_cannot_be_converted_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(Unconvertible, match=why):
        to_seven_bits(text)


def test_a_signed_part_without_need_stays_octet_for_octet() -> None:
    signed = _SIGNED.replace(b"\xe9", b"e")
    assert signed.removesuffix(b"\r\n") in to_seven_bits(_multipart("b", [signed, b"\r\ncaf\xe9"], b""))


# bounds


def test_parts_within_parts_have_a_bound() -> None:
    text = b"\r\ncaf\xe9"
    for level in range(MOST_LEVELS):
        text = _multipart(f"b{level}", [text], b"")
    assert to_seven_bits(text).isascii()
    with pytest.raises(Unconvertible, match="deep"):
        to_seven_bits(_multipart("one more", [text], b""))


def test_the_parts_of_one_have_a_bound() -> None:
    with pytest.raises(Unconvertible, match="parts"):
        to_seven_bits(_multipart("b", [b"\xe9"] * (MOST_PARTS + 1), b""))


# content types


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b" Text/HTML; charset=x", Kind("text", "html")),
        (b"multipart/mixed; boundary=abc", Kind("multipart", "mixed", b"abc")),
        (b'multipart/mixed; BOUNDARY="a\\"b;c"; x=y', Kind("multipart", "mixed", b'a"b;c')),
        (b"multipart/mixed (a (b) \\) c); boundary=abc (d)", Kind("multipart", "mixed", b"abc")),
        (b'multipart/mixed; x="(no comment"; boundary=abc;', Kind("multipart", "mixed", b"abc")),
        (b'multipart/mixed; boundary="abc "', Kind("multipart", "mixed", b"abc")),
    ],
)
def test_content_types(value: bytes, kind: Kind) -> None:
    assert parse_kind(value) == kind


@pytest.mark.parametrize("value", [b"", b"text", b"/plain", b"text/plain (", b"multipart/x; =y"])
def test_what_is_no_content_type(value: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_kind(value)


@pytest.mark.parametrize("octets", [b"(", b")", b'"', b"\\", b"(" * 50_000 + b")" * 50_000, b'";' * 50_000])
def test_long_nonsense_is_read_in_short_time(octets: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_kind(b"multipart/mixed; boundary=b;" + octets * 2)
