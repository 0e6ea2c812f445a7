"""Recipients of open-relay scanners and of people who want to leave the tree, on the wire.

What decides is what exists afterwards: nothing outside the tree of the mail, and inside it only mailboxes
that may exist and domains that may be sent to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.policy.test_policy import HOSTILE_NAMES, LITERAL_FORMS, RELAY_FORMS
from tests.server.ward import TEXT, Peer, Ward

SENDERS = [
    b"<>", b"<x@foreign.example>", b"<x@local.example>", b"<x@mx.example.org>", b"<x@[127.0.0.1]>",
    b"<x@localhost>",
]  # fmt: skip
MORE_FORMS = [
    b"<v%foreign.example>", b'<"v@foreign.example">', b'<"v%foreign.example">', b"<foreign.example!v>",
    b"<foreign.example!v@[127.0.0.1]>", b'<"v@foreign.example"@[127.0.0.1]>',
    b"<@[127.0.0.1]:v@foreign.example>", b"<v%foreign.example@[127.0.0.1]>", b"v@foreign.example",
    b" <v@foreign.example>", b"<u@local.example> <v@foreign.example>", b"<local.example!v@foreign.example>",
    b"<v@\xff\xfe>",
]  # fmt: skip
OURS = [
    b"<u@local.example>", b"<u+v=foreign.example@local.example>", b"<@a.example:u@LOCAL.example>",
    b'<"u"@local.example>', b"<u@[127.0.0.1]>", b"<u@local.example> ORCPT=rfc822;v@foreign.example",
]  # fmt: skip
"""Forms that look like a relay request, or not, and are our user's address all the same."""

HOSTILE_DOMAINS = [
    "..", ".", ".a", "a..b", "a.", "a/b", "../../x", "[../../x]", "[IPv6:::1/../..]", "a\\b", "-a.example",
    "~", "a" * 64 + ".example", ".".join(["abcdefg"] * 33), "127.0.0.1", "a_b.example", "a\x00b.example",
    "*", "$(id)", "%2e%2e", "a:b", "a;b", "a|b", "\u2025", "\uff0e\uff0e", "a\uff0fb.example",
    "a\u3002example", "\u202e.example", "\u00ad.example", "x\udcff.example", ".tmp", ".commit", ".error",
]  # fmt: skip

MAILBOX = r"mail/[a-z0-9][a-z0-9._=-]{0,63}(/(tmp|new|cur)(/[^/]+)?)?"
DOMAIN = r"mail/\.OTHER_SERVERS/(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*(/[0-9a-z]{20})?"
may_exist = re.compile(f"{MAILBOX}|{DOMAIN}").fullmatch


TRUSTED = 'relay.from=["127.0.0.0/8"]'


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    made = Ward(tmp_path, None, 'local.domains=["local.example"]', "limits.errors=1000")
    yield made
    made.close()


@pytest.fixture(params=["stranger", "trusted"])
def any_ward(ward: Ward, request: pytest.FixtureRequest) -> Ward:
    """Whose clients may be trusted."""
    if request.param == "trusted":
        ward.go_on_by(TRUSTED)
    return ward


def begin(ward: Ward, sender: bytes = b"<>", parameters: bytes = b" SMTPUTF8") -> Peer:
    peer = ward.greeted()
    peer.say(b"EHLO client.example\r\n", b"250")
    peer.say(b"MAIL FROM:%b%b\r\n" % (sender, parameters), b"250 ")
    return peer


def refused(peer: Peer, paths: Sequence[bytes]) -> list[bytes]:
    """Those of the paths that are refused for good."""
    return [path for path in paths if peer.say(b"RCPT TO:%b\r\n" % path, b"").startswith(b"5")]


@pytest.mark.parametrize("sender", SENDERS, ids=bytes.decode)
def test_a_stranger_relays_nothing_in_any_form(ward: Ward, sender: bytes) -> None:
    before = ward.tree()
    peer = begin(ward, sender)
    # A literal of ours stands for our own domain, so this one is not foreign here.
    foreign = [path for path in RELAY_FORMS + LITERAL_FORMS + MORE_FORMS if path != b"<v@[127.0.0.1]>"]
    assert refused(peer, foreign) == foreign
    peer.say(b"DATA\r\n", b"503 ")
    assert ward.tree() == before

    assert refused(peer, OURS) == []
    peer.say(b"DATA\r\n", b"354 ")
    peer.say(TEXT + b".\r\n", b"250 ")
    assert len(ward.files("u/new")) == 1
    new = ward.tree() - before
    assert all(path == "mail/u" or path.startswith("mail/u/") for path in new), new


def on_the_wire(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def test_no_name_leads_out_of_the_tree(any_ward: Ward) -> None:
    before = any_ward.tree()
    peer = begin(any_ward)
    names = [name for name in HOSTILE_NAMES if not {"\r", "\n"} & set(name)]
    for name in names:
        plain, quoted = on_the_wire(name), on_the_wire(name.replace("\\", "\\\\"))
        assert refused(peer, [b"<%b@local.example>" % plain]), name
        assert refused(peer, [b'<"%b"@local.example>' % quoted]), name
    for domain in HOSTILE_DOMAINS:
        assert refused(peer, [b"<x@%b>" % on_the_wire(domain)]), domain
    peer.say(b"DATA\r\n", b"503 ")
    assert any_ward.tree() == before


def test_odd_names_that_may_exist_stay_in_their_place(any_ward: Ward) -> None:
    before = any_ward.tree()
    peer = begin(any_ward)
    for path in (b"new@local.example", b"tmp@local.example", b"aux.txt@local.example",
    b"a" * 64 + b"@local.example", b"Foo@local.example", b"foo@local.example"):  # fmt: skip
        peer.say(b"RCPT TO:<%b>\r\n" % path, b"250 ")
    peer.say(b"DATA\r\n", b"354 ")
    peer.say(TEXT + b".\r\n", b"250 ")
    any_ward.until(lambda: len(any_ward.files("foo/new")) == 1)
    any_ward.until(lambda: not any_ward.files(".OTHER_SERVERS/.commit") and not any_ward.leftovers())
    new = any_ward.tree() - before
    assert [path for path in new if not may_exist(path)] == []


def test_one_domain_in_all_its_spellings_is_one_folder(ward: Ward) -> None:
    ward.go_on_by(TRUSTED)
    before = ward.tree()
    peer = begin(ward)
    for domain in (b"EXT.test", b"Ext.Test", b"ext.test", "b\u00fccher.test".encode(), b"XN--bcher-kva.test"):
        peer.say(b"RCPT TO:<x@%b>\r\n" % domain, b"250 ")
    peer.say(b"DATA\r\n", b"354 ")
    peer.say(TEXT + b".\r\n", b"250 ")
    ward.until(lambda: ward.files(".OTHER_SERVERS/xn--bcher-kva.test"))
    ward.until(lambda: not ward.files(".OTHER_SERVERS/.commit"))
    new = ward.tree() - before
    assert [path for path in new if not may_exist(path)] == []
    assert {path.name for path in (ward.mail / ".OTHER_SERVERS").iterdir() if path.name[0] != "."} == {
        "ext.test", "xn--bcher-kva.test"
    }  # fmt: skip
