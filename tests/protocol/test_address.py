"""Addresses: what is taken, how it is read, what it becomes again. RFC 5321 4.1.2, 4.1.3, 4.5.3.1; RFC
6531 3.3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.protocol.address import NULL_PATH, Address, normal_domain, normal_literal, parse_path

LABEL = "a" * 63
LONG_DOMAIN = f"{LABEL}.{LABEL}.{LABEL}.{'b' * 61}"

TAKEN = {
    # the ordinary
    "a@b": ("a", "b"),
    "a@b.example": ("a", "b.example"),
    "first.last@iana.org": ("first.last", "iana.org"),
    "a@iana-1.org": ("a", "iana-1.org"),
    "a@a--b.example": ("a", "a--b.example"),
    "123@iana.org": ("123", "iana.org"),
    "-@iana.org": ("-", "iana.org"),
    "!#$%&`*+/=?^`{|}~'@iana.org": ("!#$%&`*+/=?^`{|}~'", "iana.org"),
    "UsEr@EXAMPLE.Org": ("UsEr", "example.org"),
    "a@123.com": ("a", "123.com"),
    "a@1.b1": ("a", "1.b1"),
    "a@xn--bcher-kva.example": ("a", "xn--bcher-kva.example"),
    f"{'a' * 64}@iana.org": ("a" * 64, "iana.org"),
    f"a@{LABEL}.org": ("a", f"{LABEL}.org"),
    f"a@{LONG_DOMAIN}": ("a", LONG_DOMAIN),
    # quoted
    '"a b"@c': ("a b", "c"),
    '"a\\"b"@c': ('a"b', "c"),
    '"\\a"@c': ("a", "c"),
    '"user"@c': ("user", "c"),
    '""@c': ("", "c"),
    '"v@ext.example"@c': ("v@ext.example", "c"),
    '"..."@c': ("...", "c"),
    '"<>(),;:[]"@c': ("<>(),;:[]", "c"),
    f'"{"a" * 62}"@c': ("a" * 62, "c"),
    # source routes
    "@a,@b:c@d": ("c", "d"),
    "@[127.0.0.1]:c@d": ("c", "d"),
    '@a:"x y"@d': ("x y", "d"),
    # literals
    "a@[127.0.0.1]": ("a", "[127.0.0.1]"),
    "a@[255.255.255.255]": ("a", "[255.255.255.255]"),
    "a@[IPv6:::1]": ("a", "[IPv6:::1]"),
    "a@[ipv6:2001:DB8:0:0::1]": ("a", "[IPv6:2001:db8::1]"),
    "a@[IPv6:::ffff:10.0.0.1]": ("a", "[IPv6:::ffff:a00:1]"),
    # other scripts
    "ü@b": ("ü", "b"),
    "用户@例子.广告": ("用户", "xn--fsqu00a.xn--4rr70v"),
    "a@bücher.EXAMPLE": ("a", "xn--bcher-kva.example"),
    '"ü b"@c': ("ü b", "c"),
    # no domain: for the session to judge
    "@a:b": ("b", ""),
    "postmaster": ("postmaster", ""),
    "v%ext.example": ("v%ext.example", ""),
    '"v@ext.example"': ("v@ext.example", ""),
}

REFUSED = [
    # local parts
    "@b", "@", ".a@b", "a.@b", "a..b@c", "a b@c", "a<b@c", "a>b@c", "a(b)@c", "(b)a@c", "a,b@c", "a;b@c",
    "a:b@c", "a[b@c", "a\\b@c", 'a"b@c', 'a"b"@c', '"a"b@c', '"a@c', 'a"@c', '"a""b"@c', '"a"."b"@c',
    '"a\\"@c', '""',
    # octets that nobody should print
    '"a\x00"@c', '"a\rb"@c', '"a\nb"@c', '"a\\\nb"@c', '"a\tb"@c', "a\x00@b", "a\x07@b", "a\x7f@b", "a@b\x00",
    "a@b\x7f", "a@b\x80", "a\x85b@c", "a\u2028b@c", "a\u202eb@c", "a\u200bb@c", "a\u00a0b@c", '"a\u2029"@c',
    # domains
    "a@", "a@b c", "a@-b", "a@b-", "a@b.-c", "a@b-.c", "a@b.", "a@.b", "a@b..c", "a@b_c", "a@b,c", "a@b/c",
    "a@..", "a@.", "a@b(c)", "a@127.0.0.1", "a@2130706433", "a@#2130706433", "a@b.1", "a@b@c",
    "v@ext.example@[127.0.0.1]",
    # literals
    "a@[x]", "a@[../../x]", "a@[IPv6:::1/../..]", "a@[256.0.0.1]", "a@[127.0.0.01]", "a@[127.1]",
    "a@[1.2.3.4.5]", "a@[IPv6:127.0.0.1]", "a@[::1]", "a@[IPv6:::1%eth0]", "a@[IPv6:]",
    "a@[IPv6:1:2:3:4:5:6:7:8:9]", "a@[tag:x]", "a@[]", "a@[127.0.0.1", "a@127.0.0.1]", "a@[127.0.0.1].b",
    # look-alikes: full-width letters and dots, ligatures, the Kelvin sign, decomposed accents
    "v@\uff4cocal.example", "v@local\u3002example", "v@local\uff0eexample", "a@\u212a.b", "a@\ufb01.example",
    "a@xn--ü.example", "a@e\u0301.example", "a@\u2024.b",
    # routes
    "@a", "@a:", "@a,b:c@d", "a:c@d", "@:c@d", "@a@b:c@d",
    # sizes
    f"{'a' * 65}@b", f'"{"a" * 63}"@b', f"{'ü' * 33}@b", f"a@{'a' * 64}.b", f"a@{LONG_DOMAIN}c",
    f"a@{'a.' * 127}b", f"a@{'ü' * 63}.b",
]  # fmt: skip


@pytest.mark.parametrize("text", TAKEN)
def test_taken(text: str) -> None:
    assert parse_path(f"<{text}>".encode()) == (Address(*TAKEN[text]), b"")


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    assert parse_path(f"<{text}>".encode()) is None


@pytest.mark.parametrize(
    "octets",
    [
        b"", b"<", b">", b"<<a@b>>", b"<a@b", b"a@b>", b"<a@b>junk", b" <a@b>", b"a@b", b"<\xff@b>",
        b"<a@\xc0\xae>", b"<a\xed\xa0\x80@b>", b"<a@b>\tx", b"< a@b>", b"<a@b >", b"<a @b>",
    ],
)  # fmt: skip
def test_not_a_path(octets: bytes) -> None:
    assert parse_path(octets) is None


def test_null_path() -> None:
    assert parse_path(b"<>") == (NULL_PATH, b"")
    assert str(NULL_PATH) == ""


def test_what_stands_behind_is_given_back() -> None:
    assert parse_path(b"<a@b> SIZE=1 X") == (Address("a", "b"), b"SIZE=1 X")
    assert parse_path(b'<"a"@b>  X') == (Address("a", "b"), b"X")
    assert parse_path(b"<a@b> <c@d>") == (Address("a", "b"), b"<c@d>")
    assert parse_path(b"<> BODY=7BIT") == (NULL_PATH, b"BODY=7BIT")


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b" user@b.example", (Address("user", "b.example"), b"")),
        (b" user2", (Address("user2", ""), b"")),
        (b"user2 X=1", (Address("user2", ""), b"X=1")),
        (b"  <a@b>", (Address("a", "b"), b"")),
        (b' "a b"@c', (Address("a b", "c"), b"")),
        (b"a b@c", (Address("a", ""), b"b@c")),
        (b"", None),
        (b" ", None),
        (b"@b", None),
        (b"a@", None),
        (b"<a@b", None),
        (b"a@b>", None),
        (b"..", None),
    ],
)
def test_loose(octets: bytes, expected: tuple[Address, bytes] | None) -> None:
    assert parse_path(octets, loose=True) == expected


@pytest.mark.parametrize("text", [text for text, value in TAKEN.items() if value[1]])
def test_canonical_form_reads_as_the_same(text: str) -> None:
    address = Address(*TAKEN[text])
    assert parse_path(f"<{address}>".encode()) == (address, b"")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30))
def test_any_local_part_survives_its_wire_form(local: str) -> None:
    address = Address(local, "b.example")
    assert parse_path(f"<{address}>".encode()) == (address, b"")


@given(st.binary(max_size=60), st.booleans())
def test_anything_is_read_or_refused(octets: bytes, loose: bool) -> None:
    parsed = parse_path(octets, loose=loose)
    if parsed is not None:
        address = parsed[0]
        assert address.local.isprintable()
        assert address.domain == "" or normal_domain(address.domain) or normal_literal(address.domain)


def test_literals() -> None:
    address = Address("a", "[IPv6:2001:db8::1]")
    assert address.is_literal
    assert address.literal_address == "2001:db8::1"
    assert Address("a", "[192.0.2.1]").literal_address == "192.0.2.1"
    assert not Address("a", "b").is_literal
    assert normal_literal("127.0.0.1") is None
