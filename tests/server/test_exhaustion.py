"""Peers that want all there is: time, descriptors, memory, folders, recipients."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.server.tls import server_context
from mta.store import folders
from tests.server.ward import LARGE, TEXT, Ward


@pytest.fixture
def ward(tmp_path: Path, pair: tuple[bytes, bytes]) -> Iterator[Ward]:
    made = Ward(tmp_path, server_context(*pair))
    yield made
    made.close()


# time


@pytest.mark.parametrize("talk", [[], [b"EHLO x\r\n"], [b"EHLO x\r\n", b"STARTTLS\r\n"]], ids=len)
def test_an_octet_now_and_then_buys_no_time(ward: Ward, talk: list[bytes]) -> None:
    """Nobody holds a place longer than one time-out of silence by sending next to nothing."""
    peer = ward.greeted()
    for line in talk:
        peer.say(line, b"2")
    peer.drip(b"\x16" if len(talk) == 2 else b"N" * 31, seconds=10)
    ward.put_forward(300)
    ward.until(lambda: ward.records("closed"))
    assert ward.records("closed")[0].text("reason") == "timeout"


def test_text_that_drips_ends_with_421_and_leaves_nothing(ward: Ward) -> None:
    peer = ward.greeted()
    peer.envelope(b"a@example.org")
    peer.say(b"DATA\r\n", b"354 ")
    peer.send(LARGE)
    ward.until(ward.leftovers)
    peer.drip(b"y" * 40, seconds=10)
    peer.expect(b"421 4.4.2 ")
    ward.wait_until_alone()
    assert ward.files("a/new") == []


def test_who_never_listens_is_not_waited_for(ward: Ward) -> None:
    """More replies than the buffers of two sockets hold; nothing more is read, and time decides."""
    ward.go_on_by('relay.from=["127.0.0.0/8"]')
    peer = ward.greeted()
    peer.pour(b"HELP MAIL\r\n" * 1_000_000)
    (connection,) = ward.receiver._sessions
    unsent, unread = len(connection._unsent), len(connection._session._input)  # type: ignore[attr-defined]
    assert unsent > 0
    assert unsent + unread < 4_000_000
    ward.put_forward(301)
    ward.until(lambda: ward.records("closed"))


# connections


def test_a_flood_is_turned_away_and_the_others_are_served(ward: Ward) -> None:
    ward.go_on_by("limits.per_client=10")
    served = [ward.greeted() for _ in range(10)]
    refused = [ward.peer() for _ in range(90)]
    for peer in refused:
        peer.expect(b"421 4.7.0 ")
        peer.expect_end()
    assert served[0].deliver(TEXT, b"a@example.org").startswith(b"250 ")
    assert ward.receiver._admission.current == 10
    ward.wait_until_alone()
    ward.greeted()


class Full:
    """A listening socket on a machine without a descriptor to spare."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.asked = 0
        self.full = True

    def accept(self) -> tuple[socket.socket, object]:
        self.asked += 1
        if self.full:
            raise OSError(errno.EMFILE, "Too many open files")
        return self._socket.accept()

    def fileno(self) -> int:
        return self._socket.fileno()


def test_without_descriptors_the_listener_rests_instead_of_spinning(ward: Ward) -> None:
    old = ward.greeted()
    (listener,) = ward.receiver._listeners.values()
    listener._socket = full = Full(ward.listener)  # type: ignore[assignment]
    new = ward.peer()
    ward.until(lambda: ward.records("fault"))
    for _ in range(50):
        ward.loop.turn(0)
    assert full.asked == 1
    old.say(b"NOOP\r\n", b"250 ")
    ward.put_forward(2)
    ward.until(lambda: full.asked == 2)

    full.full = False
    ward.put_forward(2)
    new.expect(b"220 ")
    assert len(ward.records("fault")) == 1


# descriptors


def test_large_messages_into_ever_new_mailboxes_take_no_more_descriptors(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_MOST_PLACES", 2)
    peer = ward.greeted()
    counts = []
    for number in range(6):
        peer.deliver(LARGE, b"m%d@example.org" % number)
        counts.append(ward.descriptors()[0])
    assert counts[-1] <= counts[2], counts


# messages


def test_connect_pour_and_vanish_again_and_again_leaves_nothing(ward: Ward) -> None:
    for _ in range(20):
        peer = ward.greeted()
        peer.envelope(b"a@example.org", b"b@example.org")
        peer.say(b"DATA\r\n", b"354 ")
        peer.send(LARGE)
        peer.close()
    ward.wait_until_alone()
    ward.until(lambda: not ward.receiver._memory.reserved)
    assert ward.files("a/new") == ward.files("b/new") == []


def test_a_message_that_lies_about_its_size_is_taken_for_what_it_is(ward: Ward) -> None:
    peer = ward.greeted()
    peer.say(b"EHLO x\r\n", b"250")
    peer.say(b"MAIL FROM:<> SIZE=1\r\n", b"250 ")
    peer.say(b"RCPT TO:<a@example.org>\r\n", b"250 ")
    peer.say(b"DATA\r\n", b"354 ")
    peer.say(LARGE + b".\r\n", b"250 ")
    (mail,) = ward.files("a/new")
    assert mail.read_bytes().endswith(LARGE.replace(b"\r\n", b"\n"))


@pytest.mark.parametrize(
    "size", [b"SIZE=1000001", b"SIZE=1000000000", b"SIZE=99999999999999999999"], ids=bytes.decode
)
def test_too_much_announced_is_refused_before_it_comes(ward: Ward, size: bytes) -> None:
    ward.go_on_by("limits.message=1MB")
    peer = ward.greeted()
    peer.say(b"EHLO x\r\n", b"250")
    peer.say(b"MAIL FROM:<> %s\r\n" % size, b"552 5.3.4 ")


def test_too_much_not_announced_never_takes_more_disk_than_the_limit(ward: Ward) -> None:
    ward.go_on_by("limits.message=1MB")
    peer = ward.greeted()
    peer.envelope(b"a@example.org")
    peer.say(b"DATA\r\n", b"354 ")
    for _ in range(8):
        peer.send(LARGE)
        assert sum(path.stat().st_size for path in ward.leftovers()) < 1_010_000
    peer.say(b"\r\n.\r\n", b"552 5.3.4 ")
    peer.say(b"NOOP\r\n", b"250 ")
    ward.wait_until_alone()
    assert ward.files("a/new") == []


def test_text_without_an_end_is_cut_off(ward: Ward) -> None:
    ward.go_on_by("limits.message=1MB")
    peer = ward.greeted()
    peer.envelope(b"a@example.org")
    peer.say(b"DATA\r\n", b"354 ")
    peer.pour(LARGE * 40)
    peer.expect(b"552 5.3.4 ")
    ward.wait_until_alone()


# recipients


def test_one_mailbox_named_a_thousand_times_gets_one_copy(ward: Ward) -> None:
    peer = ward.greeted()
    peer.envelope()
    peer.send(b"RCPT TO:<a@example.org>\r\nRCPT TO:<A+x@EXAMPLE.org>\r\n" * 500)
    for _ in range(1000):
        peer.expect(b"250 ")
    peer.say(b"DATA\r\n", b"354 ")
    peer.say(TEXT + b".\r\n", b"250 ")
    assert len(ward.files("a/new")) == 1
    assert len([path for path in ward.mail.iterdir() if path.name != ".OTHER_SERVERS"]) == 1


def test_recipients_beyond_the_limit_get_452_each_and_the_message_goes_to_the_others(ward: Ward) -> None:
    peer = ward.greeted()
    peer.envelope()
    peer.send(b"RCPT TO:<a@example.org>\r\n" * 5000)
    ward.until(lambda: peer._has_reply() and peer.received.count(b"\r\n") == 5000)
    codes = [line[:10] for line in peer.received.splitlines()]
    assert codes == [b"250 2.1.5 "] * 1000 + [b"452 4.5.3 "] * 4000
    peer.received = b""
    peer.say(b"DATA\r\n", b"354 ")
    peer.say(TEXT + b".\r\n", b"250 ")
    assert len(ward.files("a/new")) == 1
