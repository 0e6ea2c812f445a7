"""Where reports go: to accounts and through aliases, as any mail does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.passwords import Secrets
from tests.relay.office import Office

SECRETS = Secrets("{PLAIN}secret")
DOMAINS = 'local.domains=["example.org","second.example"]'
LISTED = 'local.mailboxes="listed"'


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


@pytest.fixture
def people(office: Office) -> Accounts:
    made = Accounts(Database(f"sqlite:///{office.folder}/users.db"))
    for domain in ("example.org", "second.example"):
        made.add("anna", domain, SECRETS)
    return made


def fail(office: Office, sender: str) -> str:
    """A letter from this sender comes to nothing."""
    site = office.picky_site({"nobody@b.example": "failed"})
    letter = office.letter("nobody@b.example", sender=sender)
    office.route("b.example", site, more=(DOMAINS, LISTED))
    return letter


def test_an_account_hears_it_in_its_own_folder(office: Office, people: Accounts) -> None:
    fail(office, "Anna+x@second.example")
    office.until(lambda: office.mailbox("second.example/anna"))
    assert office.mailbox("anna") == []


def test_all_whom_an_alias_means_hear_it(office: Office, people: Accounts) -> None:
    members = ["anna@example.org", "anna@second.example", "v@c.example", "w@c.example"]
    people.add_alias("team", "example.org", members)
    fail(office, "team@example.org")
    office.until(lambda: office.mailbox("anna") and office.mailbox("second.example/anna"))
    office.until(lambda: office.names("c.example"))
    [letter] = (office.mail / ".OTHER_SERVERS" / "c.example").glob("[0-9a-z]" * 20)
    for address in (b"v@c.example", b"w@c.example"):
        assert (
            b'"address": "%b", "domain": "c.example", "via": "team@example.org"}' % address
            in letter.read_bytes()
        )


def test_a_sender_whom_nobody_knows_hears_nothing_and_the_letter_is_kept(
    office: Office, people: Accounts
) -> None:
    letter = fail(office, "forged@example.org")
    office.until(lambda: office.buried("b.example"))
    assert office.names("b.example/error")[0].startswith(letter)
    assert office.mailbox("forged") == []
