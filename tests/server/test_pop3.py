"""POP3 through the receiver: real sockets, real mailboxes, and what goes wrong with both."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.counters import MESSAGES_SENT, OCTETS_SENT
from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.passwords import Secrets
from tests.server.receiver import Client, House

LARGE = b"Subject: large\n\n" + b"." * 76 + b"\n" + (b"x" * 76 + b"\n") * 30_000 + b".\n" * 500_000
"""Several pieces, some of which begin with a dot or end amid a line."""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    accounts = Accounts(Database(f"sqlite:///{tmp_path}/users.db"))
    for name in ("alice", "bob"):
        accounts.add(name, "example.org", Secrets("{PLAIN}secret"))
    house = House(tmp_path, service="pop3")
    yield house
    house.close()


class Mail:
    """Alice's mailbox, as another program sees it."""

    def __init__(self, house: House) -> None:
        self.folder = house.mail / "alice"
        for name in ("tmp", "new", "cur"):
            (self.folder / name).mkdir(parents=True)

    def put(self, name: str, text: bytes = b"Subject: x\n\nbody\n") -> Path:
        path = self.folder / "new" / name
        path.write_bytes(text)
        return path

    def names(self) -> list[str]:
        return sorted(path.name for folder in ("new", "cur") for path in (self.folder / folder).iterdir())


@pytest.fixture
def mail(house: House) -> Mail:
    return Mail(house)


class Reader:
    """A client of POP3."""

    def __init__(
        self, house: House, user: str = "alice", password: str = "secret", before: bytes = b""
    ) -> None:
        self._house = house
        self._client: Client = house.connect()
        self._received = b""
        self.greeting = self.line()
        if before:
            self.say(before)
        self.say(f"USER {user}".encode())
        self.welcome = self.say(b"PASS " + password.encode())

    def say(self, command: bytes) -> bytes:
        """The first line of the answer."""
        self.send(command + b"\r\n")
        return self.line()

    def ask(self, command: bytes) -> bytes:
        """An answer of several lines, without the first and the last, dots unstuffed."""
        first = self.say(command)
        assert first.startswith(b"+OK"), first
        return self.text()

    def send(self, octets: bytes) -> None:
        self._client.send(octets)

    def line(self) -> bytes:
        self._house.until(lambda: b"\r\n" in self._more())
        line, _, self._received = self._received.partition(b"\r\n")
        return line

    def text(self) -> bytes:
        self._house.until(lambda: (b"\r\n" + self._more()[-100:]).endswith(b"\r\n.\r\n"))
        text, self._received = b"\r\n" + self._received[:-3], b""
        return text.replace(b"\r\n.", b"\r\n")[2:]

    def expect_end(self) -> None:
        self._client.expect_end()

    def close(self) -> None:
        self._client.close()

    def _more(self) -> bytes:
        sock = self._client.sock
        while select.select([sock], [], [], 0)[0] and (octets := sock.recv(1 << 20)):
            self._received += octets
        return self._received


def crlf(text: bytes) -> bytes:
    return text.replace(b"\n", b"\r\n")


# --- messages


def test_a_message_goes_out_as_it_is_stored(house: House, mail: Mail) -> None:
    mail.put("1.a", b"Subject: x\n\n.\n..\nend\n")
    reader = Reader(house)

    assert reader.welcome == b"+OK 1 messages (26 octets)"
    assert reader.ask(b"RETR 1") == b"Subject: x\r\n\r\n.\r\n..\r\nend\r\n"


def test_a_large_message_goes_out_in_pieces(house: House, mail: Mail) -> None:
    mail.put("1.a", LARGE)
    reader = Reader(house)

    assert reader.ask(b"RETR 1") == crlf(LARGE)
    assert reader.say(b"STAT") == b"+OK 1 %d" % len(crlf(LARGE))
    assert reader.ask(b"TOP 1 1") == crlf(LARGE[: LARGE.index(b"x")])
    assert house.receiver._memory.reserved == 0


def test_many_small_messages_in_any_order(house: House, mail: Mail) -> None:
    for number in range(100):
        mail.put(f"{1000 + number}.a", b"number %d\n" % number)
    reader = Reader(house)

    for order in (range(100), reversed(range(100)), (5, 6, 50, 51, 52, 7, 8, 9, 8, 7, 99, 0)):
        for number in order:
            assert reader.ask(b"RETR %d" % (number + 1)) == b"number %d\r\n" % number
    reader.say(b"QUIT")
    assert house.receiver._memory.reserved == 0


def test_quit_right_behind_messages_that_are_being_read_ahead(house: House, mail: Mail) -> None:
    for number in range(40):
        mail.put(f"{1000 + number}.a", b"number %d\n" % number)
    reader = Reader(house)
    reader.send(b"".join(b"RETR %d\r\nDELE %d\r\n" % (n, n) for n in range(1, 41)) + b"QUIT\r\n")

    while not reader.line().startswith(b"+OK bye"):
        pass

    reader.expect_end()
    assert mail.names() == []


def test_pipelined_from_login_to_quit(house: House, mail: Mail) -> None:
    mail.put("1.a", b"one\n")
    mail.put("2.b", b"two\n")
    reader = Reader(house)

    reader.send(b"RETR 1\r\nRETR 2\r\nDELE 1\r\nRETR 1\r\nQUIT\r\n")
    lines = [reader.line() for _ in range(9)]

    assert lines[1:3] == [b"one", b"."]
    assert lines[4:6] == [b"two", b"."]
    assert lines[6:] == [b"+OK message 1 is deleted", b"-ERR message 1 is deleted", b"+OK bye"]
    assert mail.names() == ["2.b"]


def test_what_was_sent_is_counted(house: House, mail: Mail) -> None:
    mail.put("1.a", b"one\n")
    reader = Reader(house)
    reader.ask(b"RETR 1")
    reader.say(b"QUIT")
    reader.expect_end()

    row = house.counters.row("receiver")
    assert row.get(MESSAGES_SENT["pop3"]) == 1
    assert row.get(OCTETS_SENT["pop3"]) == len(b"one\r\n.\r\n")
    (opened,) = house.records("drop_opened")
    assert (opened.text("user"), opened.text("messages")) == ("alice@example.org", "1")
    (closed,) = house.records("closed")
    assert closed.text("messages") == "1"


def test_a_client_that_takes_nothing_runs_out_of_time(house: House, mail: Mail) -> None:
    mail.put("1.a", LARGE * 8)
    reader = Reader(house)
    reader.send(b"DELE 1\r\nRSET\r\nRETR 1\r\n")
    (connection,) = house.receiver._sessions
    sock = connection._socket  # type: ignore[attr-defined]
    house.until(lambda: connection._session.has_more and not select.select([], [sock], [], 0)[1])  # type: ignore[attr-defined]

    house.let_time_run_out()
    house.let_time_run_out()  # to notice that it is over, too

    assert not house.receiver._sessions
    assert [record.text("reason") for record in house.records("closed")] == ["timeout"]
    assert mail.names() == ["1.a"]
    house.until(lambda: house.receiver._memory.reserved == 0)


def test_a_client_that_leaves_amid_a_message_gives_the_mail_drop_back(house: House, mail: Mail) -> None:
    mail.put("1.a", LARGE)
    reader = Reader(house)
    reader.say(b"RETR 1")

    reader.close()
    house.until(lambda: not house.receiver._sessions)

    house.until(lambda: Reader(house).welcome.startswith(b"+OK"))
    assert house.receiver._memory.reserved == 0


def test_a_header_in_utf8_is_for_those_who_ask_for_it(house: House, mail: Mail) -> None:
    """RFC 6856 2.1: others get a surrogate."""
    text = "Subject: ä\n\nbody ä\n"
    mail.put("1.a", text.encode())
    reader = Reader(house)
    body = "body ä\r\n".encode()

    assert reader.ask(b"RETR 1") == b"Subject: =?utf-8?b?w6Q=?=\r\n\r\n" + body
    assert reader.ask(b"TOP 1 0") == b"Subject: =?utf-8?b?w6Q=?=\r\n\r\n"
    reader.say(b"QUIT")

    reader = Reader(house, before=b"UTF8")
    assert reader.ask(b"RETR 1") == crlf(text.encode())


# --- one session at a time


def test_a_second_session_is_told_that_the_drop_is_in_use(house: House, mail: Mail) -> None:
    reader = Reader(house)

    assert Reader(house).welcome == b"-ERR [IN-USE] the mail drop is in use by another session"
    assert Reader(house, "bob").welcome.startswith(b"+OK")

    assert reader.say(b"QUIT") == b"+OK bye"
    assert Reader(house).welcome.startswith(b"+OK")


def test_a_refused_login_holds_no_lock(house: House, mail: Mail) -> None:
    assert Reader(house, "alice", "wrong").welcome == b"-ERR [AUTH] user or password is wrong"

    assert Reader(house).welcome.startswith(b"+OK")


def test_a_silent_client_is_left_without_a_word(house: House, mail: Mail) -> None:
    mail.put("1.a")
    reader = Reader(house)
    reader.say(b"DELE 1")

    house.let_time_run_out()

    reader.expect_end()
    assert mail.names() == ["1.a"]
    house.until(lambda: Reader(house).welcome.startswith(b"+OK 1 "))


def test_a_lost_connection_removes_nothing(house: House, mail: Mail) -> None:
    mail.put("1.a")
    reader = Reader(house)
    reader.say(b"DELE 1")

    reader.close()
    house.until(lambda: not house.receiver._sessions)

    assert mail.names() == ["1.a"]


# --- what others do meanwhile


def test_mail_that_arrives_meanwhile_is_for_the_next_session(house: House, mail: Mail) -> None:
    mail.put("2.b")
    reader = Reader(house)
    mail.put("1.a")

    assert reader.say(b"STAT").startswith(b"+OK 1 ")
    assert reader.ask(b"UIDL") == b"1 2.b\r\n"
    reader.say(b"QUIT")
    assert Reader(house).ask(b"UIDL") == b"1 1.a\r\n2 2.b\r\n"


def test_messages_that_were_read_by_another_program_are_found(house: House, mail: Mail) -> None:
    for letter in "ab":
        mail.put(f"1.{letter}", letter.encode() + b"\n")
    reader = Reader(house)
    for letter in "ab":
        (mail.folder / "new" / f"1.{letter}").rename(mail.folder / "cur" / f"1.{letter}:2,S")

    assert reader.ask(b"RETR 1") == b"a\r\n"
    assert reader.say(b"DELE 2").startswith(b"+OK")
    assert reader.say(b"QUIT") == b"+OK bye"
    assert mail.names() == ["1.a:2,S"]


def test_a_message_that_vanished_is_an_error_of_its_own(house: House, mail: Mail) -> None:
    gone = mail.put("1.a")
    mail.put("1.b", b"b\n")
    reader = Reader(house)
    gone.unlink()

    assert reader.say(b"RETR 1") == b"-ERR this message was removed by another program"
    assert reader.say(b"TOP 1 0").startswith(b"-ERR")
    assert reader.ask(b"RETR 2") == b"b\r\n"
    reader.say(b"DELE 1")
    assert reader.say(b"QUIT") == b"+OK bye"


def test_a_fifo_in_the_place_of_a_message_blocks_nobody(house: House, mail: Mail) -> None:
    path = mail.put("1.a")
    mail.put("1.b", b"b\n")
    reader = Reader(house)
    path.unlink()
    os.mkfifo(path)

    assert reader.say(b"RETR 1") == b"-ERR [SYS/PERM] this message cannot be read"
    assert reader.ask(b"RETR 2") == b"b\r\n"
    assert house.records("fault")


def test_what_cannot_be_removed_is_told_and_the_others_go(house: House, mail: Mail) -> None:
    path = mail.put("1.a")
    mail.put("1.b")
    mail.put("1.c")
    reader = Reader(house)
    for number in (1, 2):
        reader.say(b"DELE %d" % number)
    path.unlink()
    path.mkdir()

    assert reader.say(b"QUIT") == b"-ERR [SYS/TEMP] some messages could not be removed"
    assert mail.names() == ["1.a", "1.c"]
    (updated,) = house.records("drop_updated")
    assert (updated.text("removed"), updated.text("failed")) == ("1", "1")


def test_a_message_cut_short_while_it_is_sent(house: House, mail: Mail) -> None:
    path = mail.put("1.a", LARGE)
    reader = Reader(house)
    reader.say(b"RETR 1")

    os.truncate(path, 100)

    assert len(reader.text()) < len(crlf(LARGE))
    assert reader.say(b"NOOP") == b"+OK"


# --- mailboxes that are none


def test_a_user_without_a_folder_has_an_empty_mail_drop(house: House) -> None:
    reader = Reader(house)

    assert reader.welcome == b"+OK 0 messages (0 octets)"
    assert reader.ask(b"LIST") == reader.ask(b"UIDL") == b""
    assert reader.say(b"QUIT") == b"+OK bye"
    assert not (house.mail / "alice").exists()


def test_a_mailbox_that_is_no_folder(house: House) -> None:
    (house.mail / "alice").write_bytes(b"")

    assert Reader(house).welcome == b"-ERR [SYS/TEMP] the mail drop cannot be opened for the moment"
    assert house.records("fault")


def test_a_folder_that_is_a_link_is_left_out_and_told(house: House, mail: Mail) -> None:
    mail.put("1.a")
    (mail.folder / "cur").rmdir()
    (mail.folder / "cur").symlink_to("/etc")

    assert Reader(house).welcome.startswith(b"+OK 1 ")
    (fault,) = house.records("fault")
    assert fault.text("where") == "alice"
