"""Who may send what to whom: the relay forms of every open-relay scanner, hostile names, subaddresses."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest

from mta.policy import BAD_DOMAIN, SENDER_NOT_LOCAL, Asker, Policy, client_address
from mta.protocol.address import NULL_PATH, Address, parse_path
from mta.protocol.replies import NO_SUCH_USER, RELAY_DENIED, Reply
from mta.store import Domain, Mailbox, Way
from tests.policy.book import FOREIGN, LOCAL, OPEN, POLICY, STRANGER, TRUSTED, Notebook, account

LISTED = Notebook([account("u@local.example"), account("u@second.example", folder="second.example/u")])


def way(address: Address, *, trusted: bool = False, policy: Policy = OPEN) -> Way | Reply:
    """The one place where mail for an address goes, nobody having an account; or the refusal."""
    verdict = policy.judge_recipient(address, TRUSTED if trusted else STRANGER, Notebook())
    if isinstance(verdict, Reply):
        return verdict
    [goal] = verdict
    return goal.way


def judge(path: bytes, *, trusted: bool = False, policy: Policy = OPEN) -> Way | Reply | None:
    """The same for a path as it stands on the wire; None when it is no path at all (501)."""
    parsed = parse_path(path)
    return way(parsed[0], trusted=trusted, policy=policy) if parsed else None


RELAY_FORMS = [
    b"<v@foreign.example>", b"<v%foreign.example@[192.0.2.9]>", b"<v%foreign.example@other.example>",
    b'<"v@foreign.example"@[192.0.2.9]>', b"<v@foreign.example@[192.0.2.9]>",
    b"<v@foreign.example@local.example>", b"<@[192.0.2.9]:v@foreign.example>",
    b"<@mx.local.example:v@foreign.example>", b"<@local.example,@mx.local.example:v@foreign.example>",
    b'<"v"@foreign.example>', b"<v@foreign.example.>", b"<v@local.example@foreign.example>",
    b"<v@sub.local.example>", b"<v@evillocal.example>", b"<v@local.example.evil.example>",
    b"<v@[foreign.example]>", b"<v@[127.0.0.1]>", b"<v@[IPv6:::1]>", b"<v@[IPv6:::ffff:10.0.0.1]>",
    b"<v@#2130706433>", b"<v@127.0.0.1>", b"<v@localhost>", b"<u@local.example>,<v@foreign.example>",
    "<v@\uff4cocal.example>".encode(), "<v@local\u3002example>".encode(), b"<v@loca\xccl.example>",
]  # fmt: skip
"""Forms whose last domain is not ours."""


@pytest.mark.parametrize("path", RELAY_FORMS)
@pytest.mark.parametrize("policy", [OPEN, POLICY], ids=["any", "listed"])
def test_no_form_of_a_foreign_address_is_served_for_a_stranger(path: bytes, policy: Policy) -> None:
    # A literal that is ours has become our domain before the policy is asked; any other is foreign.
    assert judge(path, policy=policy) in (None, RELAY_DENIED)


LITERAL_FORMS = [
    b'<"v@foreign.example"@local.example>', b"<v%foreign.example@local.example>",
    b"<foreign.example!v@local.example>", b"<v%foreign.example%local.example@local.example>",
    b'<"v%foreign.example"@local.example>',
]  # fmt: skip
"""Forms that name a foreign address inside a local part of ours: letters like any other, and no mailbox."""


@pytest.mark.parametrize("path", LITERAL_FORMS)
@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("policy", [OPEN, POLICY], ids=["any", "listed"])
def test_a_foreign_address_inside_a_local_part_is_no_mailbox(
    path: bytes, trusted: bool, policy: Policy
) -> None:
    assert judge(path, trusted=trusted, policy=policy) == NO_SUCH_USER


SPELLINGS = pytest.mark.parametrize(
    "path",
    [b"<u@local.example>", b"<u@LOCAL.EXAMPLE>", b'<"u"@local.example>', b"<U@local.example>",
     b"<@a.example:u@local.example>", b"<u+tag@local.example>", b"<u+v=foreign.example@local.example>"],
)  # fmt: skip


@SPELLINGS
def test_every_spelling_of_our_user_is_the_same_mailbox(path: bytes) -> None:
    assert judge(path) == Mailbox("u")


@SPELLINGS
def test_every_spelling_of_a_listed_user_is_its_mailbox(path: bytes) -> None:
    parsed = parse_path(path)
    assert parsed is not None
    verdict = POLICY.judge_recipient(parsed[0], STRANGER, LISTED)
    assert not isinstance(verdict, Reply)
    assert [goal.way for goal in verdict] == [Mailbox("u")]


def test_a_mailbox_that_anybody_may_have_is_named_by_its_local_part_alone() -> None:
    assert judge(b"<u@second.example>") == Mailbox("u")


@pytest.mark.parametrize("local", ["postmaster", "PostMaster", "POSTMASTER", "postmaster+x"])
def test_postmaster_is_served_even_where_only_listed_mailboxes_are(local: str) -> None:
    assert way(Address(local, LOCAL), policy=POLICY) == Mailbox("postmaster")
    assert way(Address("somebody", LOCAL), policy=POLICY) == NO_SUCH_USER


HOSTILE_NAMES = [
    ".", "..", "...", "", " ", "/", "//", "/etc/passwd", "../x", "../../x", "a/../../x", "..%2f..%2fx",
    "%2e%2e/x", "..\\x", "\\..\\x", "~", "~root", "-rf", "--help", ".git", ".OTHER_SERVERS",
    ".other_servers", "OTHER_SERVERS/ext.test", "alice/", "alice/.", "./alice", "alice/../bob", "a\0b",
    "a\nb", "a\r\nb", "a:2,S", "a,S=1", "a*", "a?", "$(id)", "`id`", ";id", "|id", "%s%n", "{0}",
    "A" * 65, "A" * 255, "A" * 4096, "\u2024", "\u2025", "\uff0e", "\u3002", "\uff0f", "\u2215", "\u29f8",
    "\uff3c", "\u202e", "\u200b", "\u00ad", "\ufeff", "é", "e\u0301", "\u212a", "\u017f", "\u0130", "ß",
    "\u2163", "\udcff", "+tag",
]  # fmt: skip
"""Local parts that want to be a path, another name, or a word of some program."""


@pytest.mark.parametrize("local", HOSTILE_NAMES, ids=ascii)
@pytest.mark.parametrize("policy", [OPEN, POLICY], ids=["any", "listed"])
def test_no_hostile_local_part_becomes_a_folder(local: str, policy: Policy) -> None:
    assert way(Address(local, LOCAL), trusted=True, policy=policy) == NO_SUCH_USER


@pytest.mark.parametrize("local", ["new", "tmp", "cur", "con", "nul", "aux.txt", "a=b_c-d.e", "0", "A" * 64])
def test_odd_but_harmless_local_parts_are_mailboxes(local: str) -> None:
    assert way(Address(local, LOCAL)) == Mailbox(local.lower())


@pytest.mark.parametrize(
    "domain",
    ["..", ".a", "a..b", "a.", "a/b", "../x", "-a.example", "a-.example", "a" * 64 + ".example", "A.example",
     "127.0.0.1", "1", "x." * 127 + "toolong", "a_b.example", "[192.0.2.1]", "é.example", "a\n.example", ""],
)  # fmt: skip
def test_no_hostile_domain_becomes_a_folder(domain: str) -> None:
    assert way(Address("v", domain), trusted=True) == BAD_DOMAIN


def test_the_ways_out_are_for_trusted_clients_and_relay_domains_only() -> None:
    assert way(Address("v", FOREIGN), trusted=True) == Domain(FOREIGN)
    assert way(Address("v", FOREIGN)) == RELAY_DENIED
    assert way(Address("v", "backup.example")) == Domain("backup.example")
    assert way(Address("v", "sub.backup.example")) == RELAY_DENIED


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [("127.0.0.1", True), ("127.255.0.9", True), ("::1", True), ("::ffff:127.0.0.1", True),
     ("128.0.0.1", False), ("::2", False), ("::ffff:192.0.2.1", False), ("fe80::1%eth0", False)],
)  # fmt: skip
def test_a_client_is_trusted_by_its_network_alone(peer: str, trusted: bool) -> None:
    networks = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
    assert replace(POLICY, relay_from=networks).trusts(client_address(peer)) is trusted


@pytest.mark.parametrize(
    ("sender", "refusal"),
    [(NULL_PATH, None), (Address("u", "second.example"), None), (Address("u", FOREIGN), SENDER_NOT_LOCAL)],
)
def test_senders_may_be_limited_to_our_own(sender: Address, refusal: Reply | None) -> None:
    asker = Asker(trusted=False, sender=sender)
    assert replace(POLICY, any_sender=False).judge_sender(asker, Notebook()) == refusal
    assert POLICY.judge_sender(asker, Notebook()) is None


def test_subaddresses_can_be_switched_off() -> None:
    assert way(Address("u+tag", LOCAL), policy=replace(OPEN, subaddress="")) == NO_SUCH_USER
    assert way(Address("u-tag", LOCAL), policy=replace(OPEN, subaddress="-")) == Mailbox("u")
