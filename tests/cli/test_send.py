"""`mta send`: its files, its transports, its logs; against the real server and over a network that loses."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.cli import transport
from mta.cli.player import Player, lines_of
from mta.cli.transport import Lost, Tcp, Udp, is_whole
from tests.instance import CONFIGURATION, MTA, ROOT, Instance, mta
from tests.lossy import LossyNetwork, fates

WITH_DATAGRAMS = CONFIGURATION + 'datagram: { listen = [ "127.0.0.1:0" ] }\n'

ORDERS = """\
EHLO client.example
MAIL FROM:<s@client.example>
RCPT TO:<no one@example.org>
RCPT TO:<user@example.org>
DATA
Subject: {}

same
same
12 monkeys

..stuffed
.
QUIT
"""

POINTLESS = """\
HELO client.example
MAIL FROM:<s@client.example>
RCPT TO:<no one@example.org>
DATA
Subject: never sent
.
MAIL FROM:<s@client.example>
"""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    folder = tmp_path_factory.mktemp("server")
    with Instance(folder, configuration=WITH_DATAGRAMS).running() as instance:
        yield instance


@pytest.fixture
def server(instance: Instance) -> Instance:
    """One for all tests, with empty mailboxes."""
    for message in instance.maildir.glob("*/new/*"):
        message.unlink()
    return instance


def orders(folder: Path, names: str, text: str = ORDERS, end: str = "\n") -> list[str]:
    """Files of these names."""
    files = []
    for name in names:
        file = folder / f"{name}.txt"
        file.write_bytes(text.format(name).replace("\n", end).encode())
        files.append(str(file))
    return files


def subjects(messages: list[bytes]) -> list[bytes]:
    return sorted(re.findall(rb"^Subject: (.*)$", b"".join(messages), re.MULTILINE))


# against the server


def test_tcp_beside_udp_all_delivered_once(server: Instance, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    tcp, udp = orders(tmp_path, "abc"), orders(tmp_path, "def")
    by_tcp = mta("send", "--log", str(logs), f"localhost:{server.port}", "TCP", *tcp)
    by_udp = mta("send", "--log", str(logs), f"localhost:{server.ports['datagram']}", "UDP", *udp)
    for run, files, how in ((by_tcp, tcp, "TCP"), (by_udp, udp, "UDP")):
        for file in files:
            assert f"{file} over {how}: 14 lines sent, 1 message taken, 1 command refused\n" in run.stdout
    assert subjects(server.messages("user")) == [b"a", b"b", b"c", b"d", b"e", b"f"]
    for message in server.messages("user"):
        assert message.endswith(b"\n\nsame\nsame\n12 monkeys\n\n.stuffed\n")
    assert len(list(logs.iterdir())) == 6


def test_both_in_one_command(tmp_path: Path) -> None:
    """The ports of TCP and UDP may be the same."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    both = CONFIGURATION.replace("127.0.0.1:0", f"127.0.0.1:{port}")
    both += f'datagram: {{ listen = [ "127.0.0.1:{port}" ] }}\n'
    with Instance(tmp_path / "server", configuration=both).running() as server:
        words = ("TCP", *orders(tmp_path, "ab"), "UDP", *orders(tmp_path, "cd"))
        done = mta("send", "--log", str(tmp_path), f"127.0.0.1:{port}", *words)
        assert done.stdout.count("1 message taken") == 4
        assert subjects(server.messages("user")) == [b"a", b"b", b"c", b"d"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_lf_crlf_or_cr(server: Instance, tmp_path: Path, end: str) -> None:
    mta("send", "--log", str(tmp_path), f"localhost:{server.port}", "TCP", *orders(tmp_path, "a", end=end))
    assert subjects(server.messages("user")) == [b"a"]


@pytest.mark.parametrize("how", ["TCP", "UDP"])
def test_a_pointless_data_is_told_and_its_text_not_sent(server: Instance, tmp_path: Path, how: str) -> None:
    port = server.port if how == "TCP" else server.ports["datagram"]
    (file,) = orders(tmp_path, "a", POINTLESS)
    done = mta("send", "--log", str(tmp_path), f"127.0.0.1:{port}", how, file, check=False)
    assert done.returncode == 1
    assert f"mta: {file}:4: no text is sent, since this was refused: DATA: 503" in done.stderr
    assert "after RCPT TO:<no one@example.org>: 501" in done.stderr
    (log,) = (each for each in tmp_path.glob("*.txt") if each.stem.isdigit())
    assert b"never sent" not in log.read_bytes()
    assert b"QUIT" in log.read_bytes()


def test_the_log_has_all_that_was_said_and_when(server: Instance, tmp_path: Path) -> None:
    (file,) = orders(tmp_path, "a")
    mta("send", "--log", str(tmp_path), f"127.0.0.1:{server.port}", "TCP", file)
    (log,) = (each for each in tmp_path.glob("*.txt") if each.stem.isdigit())
    first, *lines, last = log.read_text().splitlines()
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}"
    assert re.fullmatch(rf"{when} begins: TCP 127\.0\.0\.1:{server.port} {re.escape(file)}", first)
    assert re.fullmatch(rf"{when} ends: TCP 127\.0\.0\.1:{server.port} {re.escape(file)}", last)
    sent = [line.removeprefix("C: ") for line in lines if line.startswith("C: ")]
    assert sent == ORDERS.format("a").splitlines()
    assert [line[3:6] for line in lines if line.startswith("S: ")][-5:] == ["501", "250", "354", "250", "221"]
    assert server.records("connected", peer=f"127.0.0.1:{log.stem}")


def test_a_log_is_appended_to(server: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mta.cli.send import Journal

    made = Tcp("127.0.0.1", server.port)
    (tmp_path / f"{made.local_port}.txt").write_text("before\n")
    with Journal(tmp_path, "TCP", made):
        made.greet()
    made.close()
    lines = (tmp_path / f"{made.local_port}.txt").read_text().splitlines()
    assert lines[0] == "before"
    assert lines[2].startswith("S: 220 ")


# a network that loses


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repetitions come soon, and are many: a busy machine is not to be taken for a silent one."""
    monkeypatch.setattr(transport, "PAUSE", 0.02)
    monkeypatch.setattr(transport, "REPEATS", 1000)


@pytest.mark.parametrize(
    ("there", "back"),
    [
        ("x.", "."),
        (".", "x."),
        ("x..", ".x."),
        ("2", "2"),
        ("<.", "."),
        (".<2", "<."),
        ("x2<.", "2.x<."),
        ("2<", "<2."),
        ("xx.", "."),
    ],
)
def test_each_message_once_whatever_gets_lost(
    server: Instance, tmp_path: Path, hasty: None, there: str, back: str
) -> None:
    place = ("127.0.0.1", server.ports["datagram"])
    with LossyNetwork(place, fates(there), fates(back)).running() as network:
        for name in "ab":
            peer = Udp("127.0.0.1", network.port)
            outcome = Player(peer).play(ORDERS.format(name).encode())
            peer.close()
            assert (outcome.taken, outcome.refused, outcome.lost) == (1, 1, False)
    assert subjects(server.messages("user")) == [b"a", b"b"]
    for message in server.messages("user"):
        assert message.endswith(b"\n\nsame\nsame\n12 monkeys\n\n.stuffed\n")


def test_a_stranger_shows_the_cookie_over_a_network_that_loses(tmp_path: Path, hasty: None) -> None:
    more = ("--set", "datagram.trusted=192.0.2.1")
    with Instance(tmp_path, more, WITH_DATAGRAMS).running() as server:
        place = ("127.0.0.1", server.ports["datagram"])
        with LossyNetwork(place, fates("x2<."), fates(".x2")).running() as network:
            peer = Udp("127.0.0.1", network.port)
            outcome = Player(peer).play(ORDERS.format("a").encode())
            peer.close()
        assert (outcome.taken, outcome.lost) == (1, False)
        assert subjects(server.messages("user")) == [b"a"]


def test_who_hears_nothing_repeats_five_times_then_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert transport.PAUSE == 2.0
    monkeypatch.setattr(transport, "PAUSE", 0.01)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        peer = Udp("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(Lost, match="no answer after 5 repetitions"):
            peer.greet()
        peer.close()
        silent.setblocking(False)
        heard = [silent.recv(65536) for _ in range(6)]
        assert heard == [b" " * 510 + b"\r\n"] * 6
        with pytest.raises(BlockingIOError):
            silent.recv(65536)


# the player, against a scripted server


class Script:
    """A transport that answers from a list."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = iter(replies)
        self.sent: list[bytes] = []
        self.local_port = 0
        self.record: transport.Record = lambda _who, _octets: None

    def greet(self) -> bytes:
        return next(self.replies)

    def ask(self, line: bytes) -> bytes:
        self.sent.append(line)
        return next(self.replies)

    def tell(self, line: bytes) -> None:
        self.sent.append(line)

    def close(self) -> None: ...


def test_a_file_without_quit_says_it() -> None:
    script = Script(b"220 x\r\n", b"250 x\r\n", b"221 x\r\n")
    assert Player(script).play(b"NOOP\n").complaints == []
    assert script.sent == [b"NOOP", b"QUIT"]


def test_a_text_without_an_end_is_not_sent_as_a_message() -> None:
    script = Script(b"220 x\r\n", b"354 x\r\n")
    outcome = Player(script).play(b"DATA\ntext\n")
    assert outcome.complaints == ["2: the text has no end, a line with only a dot: this message is not sent"]
    assert script.sent == [b"DATA", b"text"]


def test_a_message_that_is_not_taken_is_told() -> None:
    script = Script(b"220 x\r\n", b"354 x\r\n", b"552 5.3.4 too big\r\n", b"221 x\r\n")
    outcome = Player(script).play(b"DATA\ntext\n.\nQUIT\n")
    assert outcome.complaints == ["3: the message was not taken: the message: 552 5.3.4 too big"]
    assert outcome.taken == 0


def test_a_server_that_ends_the_session_ends_the_play() -> None:
    for replies in (
        (b"421 busy\r\n",),
        (b"220 x\r\n", b"421 bye\r\n"),
        (b"220 x\r\n", b"250 x\r\n421 bye\r\n"),
    ):
        script = Script(*replies)
        outcome = Player(script).play(b"NOOP\nNOOP\nNOOP\n")
        assert len(outcome.complaints) == 1
        assert "the server has ended the session" in outcome.complaints[0]


def test_empty_lines_between_commands_are_not_sent_and_those_of_a_text_are() -> None:
    script = Script(b"220 x\r\n", b"250 x\r\n", b"354 x\r\n", b"250 x\r\n", b"221 x\r\n")
    Player(script).play(b"\nNOOP\n\nDATA\n\n.\n")
    assert script.sent == [b"NOOP", b"DATA", b"", b".", b"QUIT"]


def test_lines_are_numbered_whatever_ends_them() -> None:
    assert lines_of(b"a\r\nb\rc\n\nd") == [(1, b"a"), (2, b"b"), (3, b"c"), (4, b""), (5, b"d")]
    assert lines_of(b"") == []


def test_a_reply_is_whole_with_its_last_line() -> None:
    assert not is_whole(b"250-a\r\n250-b\r\n")
    assert not is_whole(b"250 a")
    assert is_whole(b"250-a\r\n250 b\r\n")
    assert is_whole(b"221\r\n")


def test_a_server_that_hangs_up_is_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closing = threading.Thread(target=lambda: listener.accept()[0].close())
        closing.start()
        peer = Tcp("127.0.0.1", listener.getsockname()[1])
        outcome = Player(peer).play(b"NOOP\n")
        closing.join()
        peer.close()
    assert outcome.lost


# the command line


@pytest.mark.parametrize(
    "words",
    [
        ("localhost",),
        ("localhost", "a.txt"),
        ("localhost", "TCP"),
        ("localhost", "TCP", "UDP", "a.txt"),
        ("localhost", "TCP", "a.txt", "UDP"),
        ("localhost:", "TCP", "a.txt"),
        ("localhost:0", "TCP", "a.txt"),
        ("localhost:x", "TCP", "a.txt"),
        (":25", "TCP", "a.txt"),
    ],
)
def test_wrong_usage(words: tuple[str, ...]) -> None:
    done = mta("send", *words, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_missing_file_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    done = mta("send", "localhost:1", "TCP", *orders(tmp_path, "a"), "nothing.txt", check=False)
    assert (done.returncode, done.stderr) == (1, "mta: nothing.txt: No such file or directory\n")


def test_nobody_there_is_75(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = mta(
        "send", "--log", str(tmp_path), f"127.0.0.1:{port}", "TCP", *orders(tmp_path, "a"), check=False
    )
    assert done.returncode == 75
    assert "Connection refused" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("localhost", ("localhost", 25)),
        ("localhost:2525", ("localhost", 2525)),
        ("[::1]:2525", ("::1", 2525)),
        ("[::1]", ("::1", 25)),
        ("::1", ("::1", 25)),
        ("192.0.2.1:26", ("192.0.2.1", 26)),
    ],
)
def test_places(text: str, place: tuple[str, int]) -> None:
    from mta.cli.send import _place

    assert _place(text) == place


def test_a_terminal_sees_how_far_it_is(tmp_path: Path) -> None:
    primary, secondary = os.openpty()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        words = (
            "--log",
            str(tmp_path),
            f"127.0.0.1:{silent.getsockname()[1]}",
            "UDP",
            *orders(tmp_path, "ab"),
        )
        sending = subprocess.Popen(
            [*MTA, "send", *words], env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=secondary
        )
        os.close(secondary)
        shown = b""
        while b"0 of 2 files done, 0 lines sent" not in shown:
            shown += os.read(primary, 4096)
        sending.kill()
        sending.wait()
    os.close(primary)
