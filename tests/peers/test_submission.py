"""Real clients log in and hand in a message, with each mechanism they know, on submission and submissions.

msmtp speaks SCRAM-SHA-256 by GNU SASL; swaks, curl and smtplib know PLAIN and LOGIN of what we offer."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.passwords import make_secrets
from tests.conftest import needs
from tests.instance import Instance, eventually, mta

USER, PASSWORD = "alice@example.org", "open, =\"'sesame"
MESSAGE = "From: <alice@example.org>\nSubject: submitted\n\nfrom a real client\n"

Submit = Callable[[int, bool, str, str, Path], None]
"""(port, TLS from the start, mechanism, password, the certificate to trust); raises when it is refused."""


def by_smtplib(port: int, implicit: bool, mechanism: str, password: str, certificate: Path) -> None:
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False  # the certificate is for mx.example.org
    if implicit:
        client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", port, timeout=20, context=context)
    else:
        client = smtplib.SMTP("127.0.0.1", port, timeout=20)
    with client:
        if not implicit:
            client.starttls(context=context)
        client.ehlo()
        client.user, client.password = USER, password
        answer = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login}[mechanism]
        client.auth(mechanism, answer)
        assert client.sendmail(USER, [USER], MESSAGE) == {}


def by_swaks(port: int, implicit: bool, mechanism: str, password: str, certificate: Path) -> None:
    command = [needs("swaks"), "--server", "127.0.0.1", "--port", str(port), "--helo", "client.example"]
    tls = "--tls-on-connect" if implicit else "--tls"
    login = ["--auth", mechanism, "--auth-user", USER, "--auth-password", password]
    _run([*command, tls, *login, "--from", USER, "--to", USER, "--data", "-"])


def by_curl(port: int, implicit: bool, mechanism: str, password: str, certificate: Path) -> None:
    # curl always compares names: it is told where mx.example.org is, and talks to that.
    host = ["--connect-to", f"mx.example.org:{port}:127.0.0.1:{port}", "--cacert", str(certificate)]
    login = ["--user", f"{USER}:{password}", "--login-options", f"AUTH={mechanism}", "--ssl-reqd"]
    url = f"smtp{'s' if implicit else ''}://mx.example.org:{port}/client.example"
    envelope = ["--mail-from", USER, "--mail-rcpt", USER, "--upload-file", "-", "--crlf"]
    _run([needs("curl"), "--silent", "--show-error", url, *host, *login, *envelope])


def by_msmtp(port: int, implicit: bool, mechanism: str, password: str, certificate: Path) -> None:
    # tls_host_override: the certificate is for mx.example.org.
    secret = certificate.with_name("password")
    secret.write_text(password)
    command = [needs("msmtp"), "--file=/dev/null", "--host=127.0.0.1", f"--port={port}"]
    starttls = "off" if implicit else "on"
    tls = ["--tls=on", f"--tls-starttls={starttls}", f"--tls-trust-file={certificate}"]
    login = [f"--auth={mechanism.lower()}", f"--user={USER}", f"--passwordeval=cat {secret}"]
    _run([*command, *tls, "--tls-host-override=mx.example.org", *login, f"--from={USER}", USER])


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, input=MESSAGE.encode(), capture_output=True, check=True, timeout=20)


CASES = [
    *((client, mechanism) for client in (by_smtplib, by_swaks, by_curl) for mechanism in ("PLAIN", "LOGIN")),
    *((by_msmtp, mechanism) for mechanism in ("PLAIN", "LOGIN", "SCRAM-SHA-256")),
]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for mx.example.org, made as an operator would; its key lies beside it."""
    folder = tmp_path_factory.mktemp("tls")
    (folder / "names.conf").write_text(
        'hostname = "mx.example.org"\nlocal: { domains = [ "example.org" ] }\n'
    )
    mta("-f", str(folder / "names.conf"), "tls", "self-signed", "--out", str(folder))
    (found,) = folder.glob("*.crt")
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[Instance]:
    folder = tmp_path_factory.mktemp("server")
    settings = [
        f'tls.certificate="{certificate}"',
        f'tls.key="{certificate.with_suffix(".key")}"',
        'submission.listen=["127.0.0.1:0"]',
        'submissions.listen=["127.0.0.1:0"]',
        "users.scram=true",
        "application.debug=true",
    ]
    secrets = make_secrets(PASSWORD, scram=True)
    Accounts(Database(f"sqlite:///{folder}/users.db")).add("alice", "example.org", secrets)
    with Instance(folder, [word for each in settings for word in ("--set", each)]).running() as instance:
        yield instance


@pytest.mark.parametrize("service", ["submission", "submissions"])
@pytest.mark.parametrize(("submit", "mechanism"), CASES, ids=lambda each: getattr(each, "__name__", each))
def test_a_login_and_a_message(
    server: Instance, certificate: Path, service: str, submit: Submit, mechanism: str
) -> None:
    before = len(server.records("accepted", login=USER))
    submit(server.ports[service], service == "submissions", mechanism, PASSWORD, certificate)
    assert eventually(lambda: len(server.records("accepted", login=USER)) == before + 1)
    assert server.records("logged_in", login=USER)[-1].text("mechanism") == mechanism


@pytest.mark.parametrize(("submit", "mechanism"), [(by_smtplib, "PLAIN"), (by_msmtp, "SCRAM-SHA-256")])
def test_a_wrong_password(server: Instance, certificate: Path, submit: Submit, mechanism: str) -> None:
    before = len(server.records("login_failed"))
    with pytest.raises((subprocess.CalledProcessError, smtplib.SMTPException)):
        submit(server.ports["submissions"], True, mechanism, "wrong", certificate)
    assert eventually(lambda: len(server.records("login_failed")) == before + 1)
    failed = server.records("login_failed")[-1]
    assert (failed.text("mechanism"), failed.text("reason")) == (mechanism, "wrong password")
    assert PASSWORD not in server.output()
