"""What real clients fetch is what was stored, once; other programs use the same Maildirs meanwhile."""

from __future__ import annotations

import poplib
import shlex
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import needs
from tests.instance import CONFIGURATION, Instance, mta
from tests.peers.dovecot import dovecot
from tests.peers.fetchers import FETCHERS, Account, Fetcher

PASSWORD = "correct horse 7 battery"
TEXTS = (
    b"From: <a@example.org>\nSubject: one\n\nfirst\n",
    b"From: <a@example.org>\nSubject: dots\n\n.\n..two dots\n.\nend\n",
    b"From: <a@example.org>\nSubject: long\n\n" + (b"x" * 70 + b"\n") * 20_000,
    b"From: <a@example.org>\nSubject: empty\n\n",
)

_numbers = count()


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """A folder that lets Dovecot pass, as pytest's own does not."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def certificate(tree: Path) -> Path:
    """A certificate for mx.example.org; its key lies beside it."""
    pair = tree / "tls"
    pair.mkdir()
    configuration = tree / "names.conf"
    configuration.write_text('hostname = "mx.example.org"\nlocal: { domains = [ "example.org" ] }\n')
    mta("-f", str(configuration), "tls", "self-signed", "--out", str(pair))
    (found,) = pair.glob("*.crt")
    return found


@pytest.fixture(scope="module")
def server(tree: Path, certificate: Path) -> Iterator[Instance]:
    """One server for all tests of this file: each has a mailbox of its own."""
    configuration = CONFIGURATION.replace(
        "pop3: { listen = [ ] }",
        'pop3: { listen = [ "127.0.0.1:0" ] }\npop3s: { listen = [ "127.0.0.1:0" ] }\n'
        f'tls: {{ certificate = "{certificate}", key = "{certificate.with_suffix(".key")}" }}',
    )
    with Instance(tree / "server", configuration=configuration).running() as instance:
        yield instance


class Mailbox:
    """A user of the server and their Maildir."""

    def __init__(self, server: Instance, user: str) -> None:
        self.server = server
        self.user = user
        self.folder = server.maildir / user
        for name in ("tmp", "new", "cur"):
            (self.folder / name).mkdir(parents=True)
        (server.configuration.parent / user).write_text(f"{user}@example.org:{PASSWORD}\n")
        mta("-f", str(server.configuration), "user", "import", str(server.configuration.parent / user))

    def put(self, *texts: bytes) -> None:
        for text in texts:
            name = f"{1_800_000_000 + next(_numbers)}.test.host"
            (self.folder / "new" / name).write_bytes(text)

    def count(self) -> int:
        return sum(len(list((self.folder / name).iterdir())) for name in ("new", "cur"))

    def client(self) -> poplib.POP3:
        client = poplib.POP3("127.0.0.1", self.server.ports["pop3"], timeout=20)
        client.user(self.user)
        client.pass_(PASSWORD)
        return client


@pytest.fixture
def mailbox(server: Instance, request: pytest.FixtureRequest) -> Mailbox:
    return Mailbox(server, f"user{next(_numbers)}")


CASES = [(fetcher, tls) for fetcher, kinds in FETCHERS.items() for tls in kinds]


@pytest.mark.parametrize(
    ("fetch", "tls"), CASES, ids=[f"{fetcher.__name__.removeprefix('by_')}-{tls}" for fetcher, tls in CASES]
)
def test_everything_is_fetched_once(
    mailbox: Mailbox, certificate: Path, tmp_path: Path, fetch: Fetcher, tls: str
) -> None:
    port = mailbox.server.ports["pop3s" if tls == "tls" else "pop3"]
    account = Account(port, mailbox.user, PASSWORD, tls, certificate, tmp_path)
    mailbox.put(*TEXTS)

    fetch(account)
    assert sorted(map(bodies, account.got())) == sorted(map(bodies, TEXTS))
    fetch(account)
    assert len(account.got()) == len(TEXTS)

    mailbox.put(b"From: <a@example.org>\nSubject: later\n\nlater\n")
    fetch(account)
    assert len(account.got()) == len(TEXTS) + 1
    assert mailbox.count() == len(TEXTS) + 1


def bodies(message: bytes) -> bytes:
    """Without what clients add to the header."""
    return message.partition(b"\n\n")[2].rstrip(b"\n")


def test_poplib_goes_through_all_verbs(mailbox: Mailbox) -> None:
    mailbox.put(*TEXTS)
    client = mailbox.client()

    assert client.getwelcome() == b"+OK mx.example.org POP3 ready"
    assert client.stat() == (4, sum(len(text) + text.count(b"\n") for text in TEXTS))
    assert [line.split()[0] for line in client.list()[1]] == [b"1", b"2", b"3", b"4"]
    assert len({line.split()[1] for line in client.uidl()[1]}) == 4
    assert client.top(2, 1)[1] == [b"From: <a@example.org>", b"Subject: dots", b"", b"."]
    assert client.utf8 is not None
    assert client.noop() == b"+OK"
    assert client.dele(1).startswith(b"+OK")
    assert client.rset().startswith(b"+OK")
    assert client.dele(2).startswith(b"+OK")
    with pytest.raises(poplib.error_proto, match="deleted"):
        client.retr(2)
    assert client.quit() == b"+OK bye"
    assert mailbox.count() == 3


# --- CAPA


def _login(client: poplib.POP3, mailbox: Mailbox) -> None:
    client.user(mailbox.user)
    client.pass_(PASSWORD)


def _check_sasl(client: poplib.POP3, mailbox: Mailbox, mechanisms: list[str]) -> None:
    assert mechanisms == ["PLAIN", "LOGIN"]
    client.sock.sendall(b"AUTH PLAIN\r\n*\r\n")
    assert client.file.readline() == b"+ \r\n"
    assert client.file.readline().startswith(b"-ERR")


def _check_lang(client: poplib.POP3, _mailbox: Mailbox, _words: list[str]) -> None:
    assert any(line.startswith(b"en ") for line in client._longcmd("LANG")[1])  # type: ignore[attr-defined]
    assert client._shortcmd("LANG en").startswith(b"+OK en")  # type: ignore[attr-defined]


def _check_auth_code(client: poplib.POP3, mailbox: Mailbox, _words: list[str]) -> None:
    client.user(mailbox.user)
    with pytest.raises(poplib.error_proto, match=r"-ERR \[AUTH\]"):
        client.pass_("wrong")


def _check_in_use(client: poplib.POP3, mailbox: Mailbox, _words: list[str]) -> None:
    with closing(mailbox.client()):
        client.user(mailbox.user)
        with pytest.raises(poplib.error_proto, match=r"-ERR \[IN-USE\]"):
            client.pass_(PASSWORD)


def _check_pipelining(client: poplib.POP3, mailbox: Mailbox, _words: list[str]) -> None:
    client.sock.sendall(f"USER {mailbox.user}\r\nPASS {PASSWORD}\r\nSTAT\r\nNOOP\r\n".encode())
    assert all(client.file.readline().startswith(b"+OK") for _ in range(4))


def _check_expire(client: poplib.POP3, mailbox: Mailbox, words: list[str]) -> None:
    assert words == ["NEVER"]
    _login(client, mailbox)
    client.retr(1)
    client.quit()
    assert mailbox.count() == len(TEXTS)


def _check_stls(client: poplib.POP3, mailbox: Mailbox, _words: list[str]) -> None:
    client.stls(ssl._create_unverified_context())
    assert "STLS" not in client.capa()
    _login(client, mailbox)


def _check_utf8(client: poplib.POP3, mailbox: Mailbox, words: list[str]) -> None:
    assert words == ["USER"]
    client.utf8()
    client.sock.sendall("USER päivi\r\n".encode())
    assert client.file.readline().startswith(b"+OK")


def _check_top(client: poplib.POP3, mailbox: Mailbox, _words: list[str]) -> None:
    _login(client, mailbox)
    assert client.top(1, 0)[1] == [*TEXTS[0].partition(b"\n\n")[0].splitlines(), b""]


def _check_uidl(client: poplib.POP3, mailbox: Mailbox, _words: list[str]) -> None:
    _login(client, mailbox)
    assert client.uidl(1).startswith(b"+OK 1 ")


def _check_implementation(_client: poplib.POP3, _mailbox: Mailbox, words: list[str]) -> None:
    assert words == ["mta"]


def _check_user(client: poplib.POP3, mailbox: Mailbox, _words: list[str]) -> None:
    _login(client, mailbox)


CHECKS: dict[str, Callable[[poplib.POP3, Mailbox, list[str]], None]] = {
    "USER": _check_user,
    "SASL": _check_sasl,
    "STLS": _check_stls,
    "UTF8": _check_utf8,
    "LANG": _check_lang,
    "UIDL": _check_uidl,
    "TOP": _check_top,
    "PIPELINING": _check_pipelining,
    "RESP-CODES": _check_in_use,
    "AUTH-RESP-CODE": _check_auth_code,
    "EXPIRE": _check_expire,
    "IMPLEMENTATION": _check_implementation,
}


def _connected(server: Instance, tls: str) -> poplib.POP3:
    context = ssl._create_unverified_context()
    if tls == "tls":
        return poplib.POP3_SSL("127.0.0.1", server.ports["pop3s"], context=context, timeout=20)
    client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=20)
    if tls == "stls":
        client.stls(context)
    return client


@pytest.mark.parametrize("tls", ["plain", "stls", "tls"])
def test_everything_capa_lists_works(mailbox: Mailbox, tls: str) -> None:
    mailbox.put(*TEXTS)
    with closing(_connected(mailbox.server, tls)) as client:
        listed = client.capa()
    assert listed.keys() == CHECKS.keys() - (set() if tls == "plain" else {"STLS"})

    for keyword, words in listed.items():
        with closing(_connected(mailbox.server, tls)) as client:
            CHECKS[keyword](client, mailbox, words)


# --- beside us


def read_by_mutt(folder: Path) -> None:
    """Open the Maildir, mark everything as read, leave: mutt moves all messages to `cur`."""
    keys = "<tag-pattern>~A<enter><tag-prefix><clear-flag>N<sync-mailbox><quit>"
    options = ("set quit=yes", "set mbox_type=Maildir", f"push '{keys}'")
    mutt = shlex.join([needs("mutt"), "-n", "-F", "/dev/null", "-f", str(folder)])
    command = " ".join([mutt, *(f"-e {shlex.quote(option)}" for option in options)])
    subprocess.run(
        [needs("script"), "-qec", command, "/dev/null"],  # mutt wants a terminal
        env={"PATH": "/usr/bin:/bin", "TERM": "xterm", "HOME": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=20,
    )


def identities(client: poplib.POP3) -> list[bytes]:
    return [line.split()[1] for line in client.uidl()[1]]


def test_mutt_reads_the_maildir_meanwhile(mailbox: Mailbox) -> None:
    mailbox.put(*TEXTS[:2])
    client = mailbox.client()
    before = identities(client)

    read_by_mutt(mailbox.folder)

    assert list((mailbox.folder / "new").iterdir()) == []
    assert client.retr(1)[1] == TEXTS[0].splitlines()
    client.dele(1)
    client.quit()
    assert mailbox.count() == 1
    with closing(mailbox.client()) as client:
        assert identities(client) == before[1:]


def test_dovecot_serves_the_same_maildir(mailbox: Mailbox, tree: Path) -> None:
    """Both show the same messages; each finds what the other has moved, and misses what it has removed."""
    mailbox.put(*TEXTS)
    ours = mailbox.client()
    before = identities(ours)
    with dovecot(tree, mailbox.folder) as port:
        theirs = poplib.POP3("127.0.0.1", port, timeout=20)
        theirs.user(mailbox.user)
        theirs.pass_("anything")
        assert theirs.list()[1] == ours.list()[1]
        for number in range(1, 5):
            assert theirs.retr(number)[1] == ours.retr(number)[1]
        theirs.dele(2)
        theirs.quit()
    assert list((mailbox.folder / "new").iterdir()) == []  # Dovecot has moved them

    with pytest.raises(poplib.error_proto, match="removed by another program"):
        ours.top(2, 0)
    assert ours.top(3, 1)[1] == TEXTS[2].splitlines()[:4]
    ours.dele(4)
    ours.quit()
    with closing(mailbox.client()) as client:
        assert identities(client) == [before[0], before[2]]
