"""`mta sendmail`, against a running server; and the words that other programs call it with."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from mta.cli.main import _called
from mta.cli.sendmail import Options, missing, parse, recipients_in, split
from mta.daemon.errors import CannotStart
from tests.instance import MTA, PATIENCE, ROOT, Instance
from tests.instance import mta as run

MESSAGE = b"From: me@example.org\nTo: user1\nSubject: hello\n\ntext\n"
USER = pwd.getpwuid(os.getuid()).pw_name


def sendmail(server: Instance, *words: str, text: bytes = MESSAGE, status: int = 0) -> str:
    """Call it for a server; what it says on standard error."""
    listener = f"smtp.listen=127.0.0.1:{server.port}"
    return called(["-f", str(server.configuration), "--set", listener, "sendmail", *words], text, status)


def called(words: Sequence[str], text: bytes, status: int) -> str:
    done = subprocess.run(
        [*MTA, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=text,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout) == (status, b""), done
    return done.stderr.decode()


def only(server: Instance, mailbox: str) -> bytes:
    [message] = server.await_messages(mailbox)
    return message


# words


def test_options_with_and_without_a_blank() -> None:
    attached = parse(["-fme@x", "-FMe Too", "-Nfailure,delay", "-Rhdrs", "-Vid", "a@x"])
    assert attached == parse(
        ["-f", "me@x", "-F", "Me Too", "-N", "failure,delay", "-R", "hdrs", "-V", "id", "a@x"]
    )
    assert attached == Options(
        ["a@x"], sender="me@x", name="Me Too", notify="FAILURE,DELAY", ret="HDRS", envid="id"
    )


@pytest.mark.parametrize(
    "words", [["-ti"], ["-t", "-i"], ["-t", "-oi"], ["-toi"], ["-it"], ["-t", "-oi", "-oem"]]
)
def test_usual_words_of_programs(words: list[str]) -> None:
    assert parse(words) == Options([], from_header=True, dots=True)


def test_what_has_no_meaning_here_is_taken() -> None:
    words = [
        "-odi",
        "-oMrSMTP",
        "-B8BITMIME",
        "-v",
        "-n",
        "-m",
        "-U",
        "-G",
        "-h5",
        "-L",
        "tag",
        "-d0.1",
        "-bm",
    ]
    assert parse([*words, "a@x"]) == Options(["a@x"])


def test_recipients_as_people_write_them() -> None:
    assert parse(["Anna <a@x>, b", "c@x", "--", "-d@x"]).recipients == ["a@x", "b", "c@x", "-d@x"]


@pytest.mark.parametrize(
    ("words", "mode", "retry"), [(["-bp"], "p", False), (["-q"], "m", True), (["-q30m"], "m", True)]
)
def test_the_queue(words: list[str], mode: str, retry: bool) -> None:
    options = parse(words)
    assert (options.mode, options.retry) == (mode, retry)


@pytest.mark.parametrize("words", [["-y"], ["-f"], ["--long"]])
def test_wrong_usage(words: list[str]) -> None:
    with pytest.raises(CannotStart) as error:
        parse(words)
    assert error.value.status == 64


def test_it_is_sent_to_all_of_them_or_to_nobody() -> None:
    for words in (["a@x", "b@@"], ["a@x, @"]):
        with pytest.raises(CannotStart, match="no address") as error:
            parse(words)
        assert error.value.status == 65
    with pytest.raises(CannotStart, match="no address"):
        recipients_in([b"To: a@x\r\n", b"Cc: b@x, c@@\r\n"])


# the header


def test_where_the_header_ends() -> None:
    assert split(b"A: 1\r\n 2\r\nB : 3\r\n\r\nC: 4\r\n") == ([b"A: 1\r\n 2\r\n", b"B : 3\r\n"], b"C: 4\r\n")
    assert split(b"From me Mon\r\nA: 1\r\n\r\nx\r\n") == ([b"A: 1\r\n"], b"x\r\n")
    assert split(b"no header\r\n\r\nx\r\n") == ([], b"no header\r\n\r\nx\r\n")
    assert split(b"A: 1\r\nno field\r\n") == ([b"A: 1\r\n"], b"no field\r\n")
    assert split(b"\r\nx\r\n") == ([], b"x\r\n")
    assert split(b"") == ([], b"")


def test_recipients_of_a_header() -> None:
    header = [
        b'To: "b, a" <a@x>,\r\n\tfriends: b@x, c;\r\n',
        b"CC: <d@x> (the fourth)\r\n",
        b"Bcc: e@x\r\n",
        b"Reply-To: f@x\r\n",
        b"Apparently-To: g@x\r\n",
    ]
    assert recipients_in(header) == ["a@x", "b@x", "c", "d@x", "e@x"]
    assert recipients_in([*header, b"Resent-To: h@x\r\n", b"Resent-Bcc: i@x\r\n"]) == ["h@x", "i@x"]
    assert recipients_in([b"To: undisclosed-recipients:;\r\n"]) == []
    assert recipients_in([b"To: a@x,, nobody: ;, b@x,\r\n", b"Cc:\r\n"]) == ["a@x", "b@x"]


def test_what_every_message_has() -> None:
    lines = missing([b"DATE: now\r\n"], "me@x", "Jürgen", "example.org")
    assert lines[0] == b"From: =?utf-8?q?J=C3=BCrgen?= <me@x>\r\n"
    assert lines[1].startswith(b"Message-ID: <")
    assert lines[1].endswith(b"@example.org>\r\n")
    assert len(lines) == 2


# sending


def test_a_message_arrives(server: Instance) -> None:
    sendmail(server, "user1")
    message = only(server, "user1")
    assert message.startswith(f"Return-Path: <{USER}@example.org>\n".encode())
    assert b"\nFrom: me@example.org\nTo: user1\nSubject: hello\nDate: " in message
    assert message.endswith(b"\n\ntext\n")


def test_recipients_from_the_header(server: Instance) -> None:
    text = b"To: user1\nCc: User Two <user2@example.org>\nBcc: user3,\n user4\nSubject: x\n\ntext\n"
    sendmail(server, "-t", "-f", "<>", text=text)
    assert all(b"user3" not in only(server, f"user{number}") for number in (1, 2, 3, 4))
    assert only(server, "user4").startswith(b"Return-Path: <>\n")


def test_without_t_the_header_stays_as_it_is(server: Instance) -> None:
    sendmail(server, "user1", text=b"Bcc: user3\n\ntext\n")
    assert b"\nBcc: user3\n" in only(server, "user1")
    assert server.messages("user3") == []


def test_a_text_without_a_header(server: Instance) -> None:
    sendmail(server, "-fanna@example.org", "-FAnna", "user1", text=b"just this")
    message = only(server, "user1")
    assert b"\nFrom: Anna <anna@example.org>\n" in message
    assert message.endswith(b"\n\njust this\n")


def test_a_dot_ends_the_message_unless_it_is_told_not_to(server: Instance) -> None:
    sendmail(server, "user1", text=MESSAGE + b".\nmore\n")
    sendmail(server, "-i", "user2", text=MESSAGE + b".\n..\r\nmore\r")
    assert only(server, "user1").endswith(b"\n\ntext\n")
    assert only(server, "user2").endswith(b"\n\ntext\n.\n..\nmore\n")


def test_octets_beyond_ascii(server: Instance) -> None:
    sendmail(server, "user1", text=MESSAGE + "schön\n".encode())
    assert only(server, "user1").endswith("schön\n".encode())


def test_wishes_of_the_sender(server: Instance) -> None:
    sendmail(server, "-Nnever", "-Rhdrs", "-Vmy id=1", "u@other.example")
    [letter] = server.letters("other.example")
    assert b'"ret": "HDRS", "envid": "my+20id+3D1"' in letter
    assert b'"notify": "NEVER"' in letter


def test_all_or_nobody(server: Instance) -> None:
    said = sendmail(server, "user1", "no body@example.org", status=65)
    assert said == "mta: sendmail: 'no body@example.org' is no address\n"
    said = sendmail(server, "user1", "--", "-odd-@example.org", status=67)
    assert said.startswith("mta: sendmail: -odd-@example.org: 550 5.1.1 ")
    assert server.messages("user1") == []


def test_nobody_to_send_it_to(server: Instance) -> None:
    assert "nobody to send it to" in sendmail(server, status=64)
    assert "nobody to send it to" in sendmail(server, "-t", text=b"Subject: x\n\ntext\n", status=64)


def test_the_queue_through_sendmail(server: Instance) -> None:
    sendmail(server, "u@other.example")
    words = ("-f", str(server.configuration), "sendmail")
    assert "<u@other.example>" in run(*words, "-bp").stdout
    assert run(*words, "-q").stdout == "1 letter due now\n"


def test_a_mode_that_is_not_offered(server: Instance) -> None:
    assert "-bs is not offered" in sendmail(server, "-bs", status=64)


# a server that cannot


class Grumpy:
    """A server that answers each command with what its table says for the verb, 250 otherwise."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self.answers = {b"DATA": b"354 go on", b"QUIT": b"221 bye", **answers}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        line, _ = self.listener.accept()
        with line, line.makefile("rb") as reader:
            line.sendall(self.answers.get(b"", b"220 hello") + b"\r\n")
            answer = b""
            for received in reader:
                if not answer.startswith(b"354") or received == b".\r\n":
                    answer = self.answers.get(received.strip().upper()[:4], b"250 well")
                    line.sendall(answer + b"\r\n")

    def close(self) -> None:
        self.listener.close()
        self.thread.join(PATIENCE)


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    return Instance(tmp_path).configuration


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ({}, 0),
        ({b"QUIT": b"421 no"}, 0),
        ({b"": b"554 no"}, 75),
        ({b"": b"421 no"}, 75),
        ({b"MAIL": b"451 no"}, 75),
        ({b"MAIL": b"550 no"}, 69),
        ({b"RCPT": b"550 no"}, 67),
        ({b"RCPT": b"550 5.7.1 no"}, 77),
        ({b"RCPT": b"452 no"}, 75),
        ({b"DATA": b"554 no"}, 69),
        ({b".": b"552 no"}, 69),
        ({b".": b"452 no"}, 75),
    ],
)
def test_the_exit_status_says_what_became_of_it(
    configuration: Path, answers: dict[bytes, bytes], status: int
) -> None:
    server = Grumpy(answers)
    listener = f"smtp.listen=127.0.0.1:{server.port}"
    said = called(["-f", str(configuration), "--set", listener, "sendmail", "user1"], MESSAGE, status)
    server.close()
    assert said.count("\n") == (1 if status else 0)


def test_no_server(configuration: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    words = ["-f", str(configuration), "--set", f"smtp.listen=127.0.0.1:{port}", "sendmail", "user1"]
    assert "no server takes it now" in called(words, MESSAGE, 75)


def test_no_listener_that_can_be_reached(configuration: Path) -> None:
    words = ["-f", str(configuration), "--set", "smtp.listen=", "sendmail", "user1"]
    assert "smtp.listen has no address" in called(words, MESSAGE, 78)


def test_by_its_other_names() -> None:
    assert _called(["/usr/sbin/sendmail", "-t"]) == ["sendmail", "-t"]
    assert _called(["/usr/bin/mailq"]) == ["sendmail", "-bp"]
    assert _called(["/usr/local/bin/mta", "-V"]) == ["-V"]
