"""Recipients and senders as clients meet them: accounts, aliases, quotas, bounds, return addresses."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from mta.store import Mailbox
from mta.users.account import Account, Role
from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.passwords import Secrets
from tests.server.receiver import Client, House
from tests.server.ward import LARGE, TEXT

SECRETS = Secrets("{PLAIN}secret")
LISTED = 'local.mailboxes="listed"'
STRANGERS = "relay.from=[]"
OUTSIDE = ".OTHER_SERVERS/other.example"


class People:
    """A house and whoever lives in it."""

    def __init__(self, folder: Path, *settings: str, service: str = "smtp") -> None:
        self.house = House(folder, service=service)
        self.go_on_by(*settings)
        self.database = Database(f"sqlite:///{folder}/users.db")
        self.accounts = Accounts(self.database)

    def go_on_by(self, *settings: str) -> None:
        self.house.configure(LISTED, STRANGERS, "smtp.login=true", *settings)

    def add(self, address: str, role: Role = Role.USER) -> Account:
        name, _, domain = address.partition("@")
        return self.accounts.add(name, domain, SECRETS, role=role)

    def alias(self, address: str, *targets: str) -> None:
        local, _, domain = address.partition("@")
        self.accounts.add_alias(local, domain, targets)

    def client(self, user: str = "") -> Client:
        """One that has been greeted, and has logged in as `user`."""
        client = self.house.client()
        client.say(b"EHLO client.example\r\n", b"250")
        if user:
            response = base64.b64encode(f"\0{user}\0secret".encode())
            client.say(b"AUTH PLAIN %b\r\n" % response, b"235 ")
        return client

    def send(self, *recipients: bytes, sender: bytes = b"s@client.example", text: bytes = TEXT) -> bytes:
        """One message from a stranger, to the reply behind its dot."""
        client = self.client()
        begin(client, sender)
        for recipient in recipients:
            client.say(b"RCPT TO:<%b>\r\n" % recipient, b"250 ")
        client.say(b"DATA\r\n", b"354 ")
        return client.say(text + b".\r\n", b"")

    def letter(self) -> list[Mapping[str, str]]:
        """The recipients of the only letter for other.example."""
        self.house.until(lambda: self.house.files(OUTSIDE))
        [letter] = self.house.files(OUTSIDE)
        lines = letter.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines[2:] if line.startswith(b'{"address"')]

    def close(self) -> None:
        self.house.close()
        self.database.close()


def begin(client: Client, sender: bytes = b"s@client.example", reply: bytes = b"250 ") -> bytes:
    return client.say(b"MAIL FROM:<%b>\r\n" % sender, reply)


def rcpt(client: Client, recipient: bytes) -> bytes:
    return client.say(b"RCPT TO:<%b>\r\n" % recipient, b"").partition(b" (session")[0]


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    made = People(tmp_path)
    made.add("anna@example.org")
    yield made
    made.close()


# who is here


def test_who_is_listed_gets_mail_and_nobody_else(people: People) -> None:
    client = people.client()
    begin(client)
    assert rcpt(client, b"anna@example.org").startswith(b"250 2.1.5")
    assert rcpt(client, b"Anna+tag@EXAMPLE.org").startswith(b"250 2.1.5")
    assert rcpt(client, b"nobody@example.org") == b"550 5.1.1 no such mailbox here"
    assert rcpt(client, b"v@other.example") == b"550 5.7.1 relaying denied"


@pytest.mark.parametrize("name", [b"postmaster", b"Postmaster@example.org", b"postmaster+x@example.org"])
def test_there_is_always_a_postmaster(people: People, name: bytes) -> None:
    people.send(name)
    assert len(people.house.files("postmaster/new")) == 1


def test_postmaster_is_the_first_administrator(people: People) -> None:
    people.add("boss@example.org", Role.ADMINISTRATOR)
    people.send(b"postmaster@example.org")
    assert len(people.house.files("boss/new")) == 1
    assert people.house.files("postmaster/new") == []


def test_a_disabled_mailbox_takes_nothing(people: People) -> None:
    people.accounts.set_enabled(people.add("old@example.org").id, False)
    client = people.client()
    begin(client)
    assert rcpt(client, b"old@example.org") == b"550 5.2.1 this mailbox is disabled"


def test_two_recipients_with_one_mailbox_are_one_copy(people: People) -> None:
    people.alias("team@example.org", "anna@example.org", "anna+team@example.org")
    people.send(b"team@example.org", b"anna@example.org", b"anna+x@example.org")
    assert len(people.house.files("anna/new")) == 1


def test_an_account_whose_name_was_taken_has_its_own_folder(people: People) -> None:
    people.go_on_by('local.domains=["example.org","second.example"]')
    people.add("anna@second.example")
    people.send(b"anna@second.example")
    assert len(people.house.files("second.example/anna/new")) == 1
    assert people.house.files("anna/new") == []


def test_where_every_name_is_a_mailbox_accounts_keep_their_rules(people: People) -> None:
    people.go_on_by('local.mailboxes="any"')
    people.accounts.set_enabled(people.add("old@example.org").id, False)
    client = people.client()
    begin(client)
    assert rcpt(client, b"old@example.org").startswith(b"550 5.2.1")
    assert rcpt(client, b"whoever@example.org").startswith(b"250 ")


def test_a_pipelined_crowd_of_unknown_names_is_answered_in_order(people: People) -> None:
    client = people.client()
    names = [b"n%d@example.org" % number for number in range(20)]
    names[10] = b"anna@example.org"
    client.send(b"MAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<%b>\r\n" % name for name in names))
    client.expect(b"250 2.1.0")
    for name in names:
        client.expect(b"250 2.1.5" if name.startswith(b"anna") else b"550 5.1.1")


def test_a_client_that_leaves_while_it_is_looked_up_harms_nobody(people: People) -> None:
    client = people.client()
    client.send(b"MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\n")
    client.close()
    people.house.until(lambda: people.house.records("closed"))
    people.send(b"anna@example.org")


def test_without_the_database_nobody_is_refused_for_good(people: People) -> None:
    client = people.client()
    begin(client)
    assert rcpt(client, b"anna@example.org").startswith(b"250 ")
    (people.house.folder / "users.db").rename(people.house.folder / "away.db")
    (people.house.folder / "users.db").mkdir()
    people.house.until(lambda: people.house.records("fault"))
    assert rcpt(client, b"anna+x@example.org").startswith((b"250 ", b"451 4.3.0"))
    assert rcpt(client, b"somebody@example.org") == b"451 4.3.0 local error, try again later"


# aliases and forwarding


def test_what_is_forwarded_carries_a_return_address_and_its_alias(people: People) -> None:
    people.alias("team@example.org", "anna@example.org", "bob@other.example")
    assert people.send(b"Team+x@example.org").startswith(b"250 ")
    anna, bob = people.letter()
    assert anna == {"address": "anna@example.org", "mailbox": "anna"}
    assert bob["address"] == "bob@other.example"
    assert bob["via"] == "team@example.org"
    assert bob["orcpt"] == "rfc822;Team+2Bx@example.org"
    assert bob["reverse_path"].startswith("SRS0=")
    assert bob["reverse_path"].endswith("=client.example=s@example.org")
    people.house.until(lambda: people.house.files("anna/new"))
    [mail] = people.house.files("anna/new")
    assert mail.read_bytes().startswith(b"Return-Path: <s@client.example>\nReceived: ")
    assert b"for <Team+x@example.org>" in mail.read_bytes()


@pytest.mark.parametrize("sender", [b"", b"anna@example.org"])
def test_a_sender_that_needs_no_return_address_stays(people: People, sender: bytes) -> None:
    people.alias("team@example.org", "bob@other.example")
    people.send(b"team@example.org", sender=sender)
    [bob] = people.letter()
    assert "reverse_path" not in bob
    assert bob["via"] == "team@example.org"


def test_an_address_that_is_named_twice_gets_one_copy(people: People) -> None:
    people.alias("a@example.org", "bob@other.example")
    people.alias("b@example.org", "bob@other.example", "a@example.org")
    people.send(b"a@example.org", b"b@example.org")
    assert [each["via"] for each in people.letter()] == ["a@example.org"]


def test_bounces_come_home_and_nothing_else_does(people: People) -> None:
    people.alias("team@example.org", "bob@other.example")
    people.send(b"team@example.org")
    [bob] = people.letter()
    path = bob["reverse_path"].encode()
    assert people.send(path, sender=b"").startswith(b"250 ")
    people.house.until(lambda: people.house.files(".OTHER_SERVERS/client.example"))
    [letter] = people.house.files(".OTHER_SERVERS/client.example")
    assert b'"address": "s@client.example", "domain": "client.example"}' in letter.read_bytes()

    client = people.client()
    begin(client, b"spammer@other.example")
    assert rcpt(client, path) == b"550 5.7.1 this return address takes reports from <> only"
    begin(people.client(), b"")
    client = people.client()
    begin(client, b"")
    forged = path.replace(b"client.example", b"victim.example")
    assert rcpt(client, forged) == b"550 5.7.1 this return address is forged or too old"
    assert rcpt(client, b"SRS0=x@example.org") == b"550 5.7.1 this return address is forged or too old"


@pytest.mark.parametrize("text", [TEXT, LARGE], ids=["small", "large"])
def test_what_was_forwarded_from_here_before_is_in_a_loop(people: People, text: bytes) -> None:
    people.alias("team@example.org", "anna@example.org", "bob@other.example")
    looping = b"X: y\r\ndelivered-to:  Team@example.org\r\n" + text
    assert people.send(b"team@example.org", text=looping).startswith(b"554 5.4.6 ")
    assert people.house.files("anna/new") == people.house.files(OUTSIDE) == []
    people.house.until(lambda: not people.house.leftovers())
    other = b"Delivered-To: others@example.org\r\n" + text + b"Delivered-To: team@example.org\r\n"
    assert people.send(b"team@example.org", text=other).startswith(b"250 ")


def test_a_mailbox_may_get_what_was_forwarded_before(people: People) -> None:
    looping = b"Delivered-To: anna@example.org\r\n" + TEXT
    assert people.send(b"anna@example.org", text=looping).startswith(b"250 ")


def test_aliases_in_a_circle_are_refused(people: People) -> None:
    people.alias("a@example.org", "b@example.org")
    people.alias("b@example.org", "a@example.org")
    client = people.client()
    begin(client)
    assert rcpt(client, b"a@example.org") == b"550 5.4.6 this alias leads back to itself"


# quotas


def test_a_full_mailbox_takes_more_when_there_is_room_again(people: People) -> None:
    anna = people.accounts.find("anna", "example.org")
    assert anna is not None
    people.accounts.set_quota(anna.id, 0, 2)
    people.send(b"anna@example.org")
    people.send(b"anna@example.org")
    client = people.client()
    begin(client)
    assert rcpt(client, b"anna@example.org") == b"452 4.2.2 this mailbox is full, try again later"
    people.house.files("anna/new")[0].unlink()
    people.house.until(lambda: rcpt(client, b"anna@example.org").startswith(b"250 "))


def test_a_message_that_says_its_size_must_fit(people: People) -> None:
    anna = people.accounts.find("anna", "example.org")
    assert anna is not None
    people.accounts.set_quota(anna.id, 1000, 0)
    client = people.client()
    client.say(b"MAIL FROM:<s@client.example> SIZE=1001\r\n", b"250 ")
    assert rcpt(client, b"anna@example.org").startswith(b"452 4.2.2")
    client.say(b"RSET\r\n", b"250 ")
    client.say(b"MAIL FROM:<s@client.example> SIZE=900\r\n", b"250 ")
    assert rcpt(client, b"anna@example.org").startswith(b"250 ")
    desk = people.house.receiver._desk
    assert desk is not None
    assert desk.usage.of(Mailbox("anna")).octets == 0


# who is logged in


@pytest.mark.parametrize(
    ("sender", "reply"),
    [
        (b"anna@example.org", b"250 "),
        (b"ANNA+news@example.org", b"250 "),
        (b"sales@example.org", b"250 "),
        (b"team@example.org", b"553 5.7.1"),
        (b"bert@example.org", b"553 5.7.1"),
        (b"nobody@example.org", b"553 5.7.1"),
        (b"anna@other.example", b"553 5.7.1"),
        (b"", b"553 5.7.1"),
    ],
)
@pytest.mark.parametrize("role", list(Role))
def test_who_is_logged_in_sends_as_itself_whatever_its_role(
    people: People, sender: bytes, reply: bytes, role: Role
) -> None:
    people.add("bert@example.org")
    people.add("boss@example.org", Role.ADMINISTRATOR)
    people.alias("sales@example.org", "anna@example.org")
    people.alias("team@example.org", "anna@example.org", "bert@example.org")
    anna = people.accounts.find("anna", "example.org")
    assert anna is not None
    people.accounts.set_role(anna.id, role)
    begin(people.client("anna"), sender, reply)


def test_who_is_logged_in_may_send_to_other_domains(people: People) -> None:
    client = people.client("anna@example.org")
    begin(client, b"anna@example.org")
    assert rcpt(client, b"bob@other.example").startswith(b"250 ")


def test_who_was_disabled_since_the_login_sends_no_more(people: People) -> None:
    client = people.client("anna")
    begin(client, b"anna@example.org")
    anna = people.accounts.find("anna", "example.org")
    assert anna is not None
    people.accounts.set_enabled(anna.id, False)

    def is_refused() -> bool:
        client.say(b"RSET\r\n", b"250 ")
        return client.say(b"MAIL FROM:<anna@example.org>\r\n", b"").startswith(b"553 5.7.1")

    people.house.until(is_refused)


def test_an_hour_has_room_for_so_many_messages_and_recipients(people: People) -> None:
    people.go_on_by("users.messages=1", "users.recipients=2")
    client = people.client("anna")
    begin(client, b"anna@example.org")
    assert rcpt(client, b"a@other.example").startswith(b"250 ")
    assert rcpt(client, b"b@other.example").startswith(b"250 ")
    assert rcpt(client, b"c@other.example").startswith(b"452 4.7.1 2 recipients in an hour")
    client.say(b"DATA\r\n", b"354 ")
    client.say(TEXT + b".\r\n", b"250 ")
    refusal = begin(client, b"anna@example.org", b"452 4.7.1 1 messages in an hour")
    assert b"come again in 6" in refusal


# the ports for users


@pytest.fixture
def submission(tmp_path: Path) -> Iterator[People]:
    made = People(tmp_path, service="submission")
    made.add("anna@example.org")
    yield made
    made.close()


def submit(people: People, text: bytes) -> bytes:
    """What arrives of a message from anna to anna, below our Received field."""
    client = people.client("anna")
    begin(client, b"anna@example.org")
    rcpt(client, b"anna@example.org")
    client.say(b"DATA\r\n", b"354 ")
    identifier = client.say(text + b".\r\n", b"250 ").split()[-1]
    [mail] = people.house.files("anna/new")
    octets = mail.read_bytes()
    assert f",S={len(octets)},W={len(octets) + octets.count(10)}" in mail.name
    _return_path, _received, below = re.split(rb"\n(?![\t ])", octets, maxsplit=2)
    return below.replace(identifier, b"ID")


FIELDS = [b"Date: ", b"Message-ID: <ID@mx.example.org>\n", b"From: anna@example.org\n"]


@pytest.mark.parametrize(
    "body", [b"\r\nhello\r\n", b"\r\n" + b"y" * 200_000 + b"\r\n"], ids=["small", "large"]
)
@pytest.mark.parametrize(
    ("header", "added"),
    [
        (b"Subject: x\r\n", (0, 1, 2)),
        (b"", (0, 1, 2)),
        (b"DATE: x\r\nfrom : y\r\n", (1,)),
        (b"X: date\r\n date: folded\r\nFrom: y\r\nMessage-Id: <z>\r\n", (0,)),
        (b"Date: x\r\nFrom: y\r\nMessage-ID: <z>\r\n", ()),
    ],
)
def test_what_users_send_gets_the_fields_it_lacks(
    submission: People, header: bytes, body: bytes, added: Sequence[int]
) -> None:
    octets = submit(submission, header + body)
    for number in added:
        line, _, octets = octets.partition(b"\n")
        assert (line + b"\n").startswith(FIELDS[number])
    assert octets == (header + body).replace(b"\r\n", b"\n")


def test_a_text_without_a_header_gets_one(submission: People) -> None:
    assert submit(submission, b"hello\r\n").endswith(b"From: anna@example.org\n\nhello\n")


def test_other_servers_mail_is_left_as_it_is(people: People) -> None:
    people.send(b"anna@example.org", text=b"Subject: x\r\n\r\nhi\r\n")
    [mail] = people.house.files("anna/new")
    assert b"Date:" not in mail.read_bytes()
