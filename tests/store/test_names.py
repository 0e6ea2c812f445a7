"""Which names may become folders: the rules at the last gate before the disk."""

from __future__ import annotations

import pytest

from mta.store import Domain, Envelope, Mailbox, Recipient

ID = "0123456789abcdefghij"

BAD_ANYWHERE = [
    "", ".", "..", "...", " ", "/", "//", "/etc/passwd", "../x", "a/../../x", "..\\x", "~", "-rf", ".git",
    "a/", "/a", "a//b", "./a", "a/.", "a/..", "a\0b", "a\nb", "a\n", "a\r\nb", "a*", "a?", "$(id)",
    "`id`", ";id", "|id", ".OTHER_SERVERS", "A", "Foo", "a b", "a:2", "a,S=1",
    "\u2024\u2024", "\u2025", "\uff0e", "\u3002",
    "a\uff0fb", "\u2215", "\u29f8", "\uff3c", "\u202e", "a\u200bb", "a\u00ad", "\ufeff", "e\u0301", "\u212a",
    "\u0130", "\udcff", "a" * 256,
]  # fmt: skip


@pytest.mark.parametrize("name", [*BAD_ANYWHERE, "a/b/c", "a/new", "a/tmp", "a/cur", "é" * 128])
def test_no_such_mailbox(name: str) -> None:
    with pytest.raises(ValueError, match=r"mailbox|surrogates"):
        Mailbox(name)


@pytest.mark.parametrize(
    "name",
    ["user1", "a.b-c_d=e+f", "new", "example.org", "example.org/user1", "0", "é", "é" * 127, "a" * 255],
)
def test_a_mailbox(name: str) -> None:
    assert Mailbox(name).folder == name


@pytest.mark.parametrize(
    "name",
    [*BAD_ANYWHERE, "a..b", "a.", ".a", "-a", "a-", "a_b", "é.example", "a/b", "[127.0.0.1]", "x" * 64,
     ".".join(["x" * 63] * 4)],
)  # fmt: skip
def test_no_such_domain(name: str) -> None:
    with pytest.raises(ValueError, match="domain"):
        Domain(name)


@pytest.mark.parametrize("name", ["example.org", "xn--bcher-kva.example", "localhost", "a", "x" * 63])
def test_a_domain(name: str) -> None:
    assert Domain(name).name == name


def test_a_mailbox_is_no_domain() -> None:
    """They share a dictionary of open folders."""
    assert {Mailbox("a"): 1, Domain("a"): 2} == {Domain("a"): 2, Mailbox("a"): 1}
    assert len({Mailbox("a"), Domain("a")}) == 2


def envelope(*, key: str = ID, sender: str = "s@example", recipients: int = 1) -> Envelope:
    return Envelope(key, sender, 0.0, (Recipient("r@example", Mailbox("r")),) * recipients)


@pytest.mark.parametrize("key", ["", "../" + ID[3:], ID.upper(), ID + "0", ID[:-1] + "\n"])
def test_no_such_identifier(key: str) -> None:
    with pytest.raises(ValueError, match="identifier"):
        envelope(key=key)


@pytest.mark.parametrize("sender", ["a\nBcc: x", "a\rb", "a\0b", "a\x7f", "\udcff"])
def test_no_reverse_path_breaks_its_header_line(sender: str) -> None:
    with pytest.raises(ValueError, match=r"header line|surrogates"):
        envelope(sender=sender)


@pytest.mark.parametrize("name", ["reverse_path", "via"])
def test_no_way_of_forwarding_breaks_a_header_line(name: str) -> None:
    with pytest.raises(ValueError, match="header line"):
        Recipient("r@example", Domain("example"), **{name: "a@b\nBcc: x"})


def test_no_message_is_for_nobody() -> None:
    with pytest.raises(ValueError, match="nobody"):
        envelope(recipients=0)
