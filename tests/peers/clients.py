"""The clients: each hands one message to the server, over STARTTLS when there is a certificate to trust.

A client that does not succeed raises: subprocess.CalledProcessError, or smtplib.SMTPException.
"""

from __future__ import annotations

import smtplib
import ssl
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.conftest import needs

SENDER = "sender@client.example"

MESSAGE = b"""\
From: <sender@client.example>
To: <several@example.org>
Subject: sent by a real client

.a line that begins with a dot
..and one with two
.
the line above is a dot alone
"""
"""As it must lie in the mailbox, below the fields that servers and clients add."""

HEADER, BODY = MESSAGE.split(b"\n\n", 1)

Client = Callable[[int, Sequence[str], Path | None], None]
"""(port on 127.0.0.1, recipients, certificate to trust or None for no TLS)"""


def by_smtplib(port: int, recipients: Sequence[str], certificate: Path | None) -> None:
    with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=20) as client:
        if certificate is not None:
            context = ssl.create_default_context(cafile=certificate)
            context.check_hostname = False  # the certificate is for mx.example.org
            client.starttls(context=context)
        # As text, since smtplib sends octets as they are, and ours end their lines in LF.
        refused = client.sendmail(SENDER, recipients, MESSAGE.decode())
    assert refused == {}


def by_swaks(port: int, recipients: Sequence[str], certificate: Path | None) -> None:
    # Without verification: what it verifies, and by which options, differs between its versions.
    tls = [] if certificate is None else ["--tls"]
    command = [needs("swaks"), "--server", "127.0.0.1", "--port", str(port), *tls]
    envelope = ["--helo", "client.example", "--from", SENDER, "--to", ",".join(recipients)]
    _run([*command, *envelope, "--data", "-"])


def by_curl(port: int, recipients: Sequence[str], certificate: Path | None) -> None:
    # curl always compares names: it is told where mx.example.org is, and talks to that.
    host = ["--connect-to", f"mx.example.org:{port}:127.0.0.1:{port}"]
    tls = [] if certificate is None else ["--ssl-reqd", "--cacert", str(certificate)]
    envelope = [
        "--mail-from",
        SENDER,
        *(word for recipient in recipients for word in ("--mail-rcpt", recipient)),
    ]
    url = f"smtp://mx.example.org:{port}/client.example"
    _run(
        [
            needs("curl"),
            "--silent",
            "--show-error",
            url,
            *host,
            *tls,
            *envelope,
            "--upload-file",
            "-",
            "--crlf",
        ]
    )


def by_msmtp(port: int, recipients: Sequence[str], certificate: Path | None) -> None:
    # tls_host_override: the certificate is for mx.example.org.
    tls = (
        []
        if certificate is None
        else [f"--tls-trust-file={certificate}", "--tls-host-override=mx.example.org"]
    )
    command = [
        needs("msmtp"),
        "--file=/dev/null",
        "--host=127.0.0.1",
        f"--port={port}",
        "--domain=client.example",
    ]
    _run([*command, f"--tls={'off' if certificate is None else 'on'}", *tls, f"--from={SENDER}", *recipients])


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, input=MESSAGE, capture_output=True, check=True, timeout=20)


CLIENTS: tuple[Client, ...] = (by_smtplib, by_swaks, by_curl, by_msmtp)
