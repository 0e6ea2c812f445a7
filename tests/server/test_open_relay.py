"""The forms of open-relay scanners where accounts, aliases and a catch-all are listed: nothing of theirs
leaves, in whatever state the session is."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.passwords import Secrets
from tests.policy.test_policy import LITERAL_FORMS, RELAY_FORMS
from tests.server.test_strange_names import MORE_FORMS, OURS, SENDERS
from tests.server.ward import TEXT, Peer, Ward

LISTED = (
    'local.domains=["local.example"]',
    'local.mailboxes="listed"',
    "limits.errors=1000",
    "smtp.login=true",
)
FOREIGN = [form for form in RELAY_FORMS + MORE_FORMS if form != b"<v@[127.0.0.1]>"]
"""A literal of ours stands for our own domain, and so is not foreign here."""


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    made = Ward(tmp_path, None, *LISTED)
    people = Accounts(Database(f"sqlite:///{tmp_path}/users.db"))
    people.add("u", "local.example", Secrets("{PLAIN}secret"))
    people.add_alias("out", "local.example", ["v@wanted.example"])
    yield made
    made.close()


def catch_all(ward: Ward) -> None:
    """Whatever is ours by its domain goes to the user."""
    Accounts(Database(f"sqlite:///{ward.folder}/users.db")).add_alias(
        "*", "local.example", ["u@local.example"]
    )


def plain(peer: Peer) -> None:
    """Nothing was said before."""


def failed_login(peer: Peer) -> None:
    response = base64.b64encode(b"\0u\0wrong")
    peer.say(b"AUTH PLAIN %b\r\n" % response, b"535 ")


def half_a_login(peer: Peer) -> None:
    peer.say(b"AUTH PLAIN\r\n", b"334 ")
    peer.say(b"*\r\n", b"501 ")


def reset(peer: Peer) -> None:
    peer.say(b"MAIL FROM:<u@local.example>\r\n", b"250 ")
    peer.say(b"RCPT TO:<u@local.example>\r\n", b"250 ")
    peer.say(b"RSET\r\n", b"250 ")


def begun(ward: Ward, sender: bytes, before: Callable[[Peer], None] = plain) -> Peer:
    peer = ward.greeted()
    peer.say(b"EHLO client.example\r\n", b"250")
    before(peer)
    peer.say(b"MAIL FROM:%b SMTPUTF8\r\n" % sender, b"250 ")
    return peer


def replies(peer: Peer, forms: list[bytes]) -> dict[bytes, bytes]:
    return {form: peer.say(b"RCPT TO:%b\r\n" % form, b"") for form in forms}


@pytest.mark.parametrize("before", [plain, failed_login, half_a_login, reset])
@pytest.mark.parametrize("sender", SENDERS, ids=bytes.decode)
def test_a_stranger_relays_nothing(ward: Ward, sender: bytes, before: Callable[[Peer], None]) -> None:
    tree = ward.tree()
    peer = begun(ward, sender, before)
    for form, reply in replies(peer, FOREIGN + LITERAL_FORMS).items():
        assert reply.startswith(b"5"), (form, reply)
    for form in LITERAL_FORMS:
        assert peer.say(b"RCPT TO:%b\r\n" % form, b"").startswith(b"550 5.1.1"), form
    peer.say(b"DATA\r\n", b"503 ")
    assert ward.tree() == tree


def test_a_catch_all_catches_what_is_ours_by_its_domain_and_no_more(ward: Ward) -> None:
    catch_all(ward)
    peer = begun(ward, b"<>")
    at_our_literal = [form for form in FOREIGN if form.endswith(b"@[127.0.0.1]>")]
    for form, reply in replies(peer, [form for form in FOREIGN if form not in at_our_literal]).items():
        assert reply.startswith(b"5"), (form, reply)
    for form, reply in replies(peer, at_our_literal + LITERAL_FORMS + OURS).items():
        assert reply.startswith(b"250 "), (form, reply)
    peer.say(b"DATA\r\n", b"354 ")
    peer.say(TEXT + b".\r\n", b"250 ")
    assert len(ward.files("u/new")) == 1
    assert not [name for name in ward.tree() if "foreign.example" in name]


def test_an_alias_of_ours_is_the_only_way_out(ward: Ward) -> None:
    peer = begun(ward, b"<x@foreign.example>")
    peer.say(b"RCPT TO:<out@local.example>\r\n", b"250 ")
    peer.say(b"RCPT TO:<v@wanted.example>\r\n", b"550 5.7.1")
    peer.say(b"RCPT TO:<v%wanted.example@local.example>\r\n", b"550 5.1.1")


@pytest.mark.parametrize("sender", SENDERS, ids=bytes.decode)
def test_no_return_address_that_we_did_not_write_leads_anywhere(ward: Ward, sender: bytes) -> None:
    catch_all(ward)
    peer = begun(ward, sender)
    for path in (
        b"SRS0=AAAAAAAA=BB=foreign.example=v", b"SRS0==BB=foreign.example=v", b"srs0=a=b=foreign.example=v",
        b"SRS1=AAAAAAAA=foreign.example==AAAA=BB=victim.example=v", b"SRS1==foreign.example=+x", b"SRS0=",
    ):  # fmt: skip
        peer.say(b"RCPT TO:<%b@local.example>\r\n" % path, b"550 5.7.1")
