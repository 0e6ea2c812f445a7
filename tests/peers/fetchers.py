"""The clients that fetch: each brings all messages of a mail drop into a Maildir of its own, and leaves them
on the server.

A client that does not succeed raises subprocess.CalledProcessError, or poplib.error_proto.
"""

from __future__ import annotations

import poplib
import re
import ssl
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import needs

HOST = "mx.example.org"


@dataclass(frozen=True)
class Account:
    """Where to fetch from, as whom, and what to remember it by."""

    port: int
    user: str
    password: str
    tls: str
    """`plain`, `stls`, or `tls` from the first octet."""
    certificate: Path
    folder: Path
    """For the client's own files; it is kept from one run to the next."""

    @property
    def maildir(self) -> Path:
        """Where messages are brought to."""
        for name in ("tmp", "new", "cur"):
            (self.folder / "got" / name).mkdir(parents=True, exist_ok=True)
        return self.folder / "got"

    def got(self) -> list[bytes]:
        """What has been brought so far."""
        return [path.read_bytes() for path in sorted(self.maildir.glob("new/*"))]


Fetcher = Callable[[Account], None]


def by_poplib(account: Account) -> None:
    """With a memory of unique-ids, as clients that leave mail on the server need one."""
    memory = account.folder / "seen"
    seen = memory.read_bytes().split() if memory.exists() else []
    client = _poplib(account)
    client.user(account.user)
    client.pass_(account.password)
    sizes = dict(line.split() for line in client.list()[1])
    for line in client.uidl()[1]:
        number, identity = line.split()
        if identity not in seen:
            _, lines, size = client.retr(int(number))
            assert size == int(sizes[number])
            (account.maildir / "new" / str(len(seen))).write_bytes(b"\n".join(lines) + b"\n")
            seen.append(identity)
    client.quit()
    memory.write_bytes(b"\n".join(seen))


def _poplib(account: Account) -> poplib.POP3:
    context = ssl.create_default_context(cafile=account.certificate)
    context.check_hostname = False  # the certificate is for mx.example.org
    if account.tls == "tls":
        return poplib.POP3_SSL("127.0.0.1", account.port, context=context, timeout=20)
    client = poplib.POP3("127.0.0.1", account.port, timeout=20)
    if account.tls == "stls":
        client.stls(context)
    return client


def by_curl(account: Account) -> None:
    """A message at a time, as curl has no memory; ours is how many there were."""
    scheme = "pop3s" if account.tls == "tls" else "pop3"
    url = f"{scheme}://{HOST}:{account.port}/"
    options = ["--silent", "--show-error", "--user", f"{account.user}:{account.password}"]
    options += ["--connect-to", f"{HOST}:{account.port}:127.0.0.1:{account.port}"]
    options += [] if account.tls == "plain" else ["--ssl-reqd", "--cacert", str(account.certificate)]
    listing = _output([needs("curl"), *options, url])
    for number in re.findall(rb"^(\d+) ", listing, re.MULTILINE)[len(account.got()) :]:
        text = _output([needs("curl"), *options, url + number.decode()])
        (account.maildir / "new" / number.decode()).write_bytes(text.replace(b"\r\n", b"\n"))


def by_mpop(account: Account) -> None:
    settings = [
        "account default",
        "host 127.0.0.1",
        f"port {account.port}",
        f"user {account.user}",
        f"password {account.password}",
        "auth user" if account.tls == "plain" else "auth plain",
        "keep on",
        f"uidls_file {account.folder}/uidls",
        f"delivery maildir {account.maildir}",
        "received_header off",
        f"tls {'off' if account.tls == 'plain' else 'on'}",
        f"tls_starttls {'off' if account.tls == 'tls' else 'on'}",
        f"tls_trust_file {account.certificate}",
        f"tls_host_override {HOST}",
    ]
    if account.tls == "plain":
        settings = [line for line in settings if not line.startswith("tls_")]
    _run([needs("mpop"), f"--file={_written(account.folder / 'mpoprc', settings)}"])


def by_fetchmail(account: Account) -> None:
    tls = {"plain": 'sslproto ""', "stls": "sslproto TLS1.2+", "tls": "ssl"}[account.tls]
    # The certificate is for another name; that it is verified at all is what the other clients show.
    settings = [
        f'poll 127.0.0.1 protocol pop3 service {account.port} uidl user "{account.user}"',
        f'password "{account.password}" keep {tls} no sslcertck',
        f"mda \"{needs('sh')} -c 'cat > {account.maildir}/new/$$'\"",
    ]
    rc = _written(account.folder / "fetchmailrc", settings)
    _run(
        [needs("fetchmail"), "--fetchmailrc", str(rc), "--idfile", f"{account.folder}/ids", "--nosyslog"],
        home=account.folder,
        fine=(0, 1),  # 1: no mail
    )


def by_getmail(account: Account) -> None:
    kind = "SimplePOP3SSLRetriever" if account.tls == "tls" else "SimplePOP3Retriever"
    settings = [
        "[retriever]",
        f"type = {kind}",
        "server = 127.0.0.1",
        f"port = {account.port}",
        f"username = {account.user}",
        f"password = {account.password}",
        "[destination]",
        "type = MDA_external",  # its own Maildir is not for root
        f"path = {needs('sh')}",
        f"arguments = ('-c', 'cat > {account.maildir}/new/$$')",
        "unixfrom = false",
        "allow_root_commands = true",
        "[options]",
        "read_all = false",
        "delete = false",
        "delivered_to = false",
        "received = false",
    ]
    rc = _written(account.folder / "getmailrc", settings)
    _run([needs("getmail"), f"--getmaildir={account.folder}", f"--rcfile={rc}"])


FETCHERS: dict[Fetcher, Sequence[str]] = {
    by_poplib: ("plain", "stls", "tls"),
    by_curl: ("plain", "stls", "tls"),
    by_mpop: ("plain", "stls", "tls"),
    by_fetchmail: ("plain", "stls", "tls"),
    by_getmail: ("plain", "tls"),
}
"""With the kinds of TLS that each can do."""


def _written(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


def _output(command: Sequence[str]) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, timeout=20).stdout


def _run(command: Sequence[str], home: Path | None = None, fine: Sequence[int] = (0,)) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home or "/nonexistent"), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, check=False, capture_output=True, timeout=20, env=environment)
    assert done.returncode in fine, (done.returncode, done.stdout, done.stderr)
