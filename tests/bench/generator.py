"""The load: smtp-source(1) of Postfix, which speaks SMTP without pipelining, as most clients do."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace

PROGRAM = shutil.which("smtp-source", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

DOMAIN = "example.org"
MOST_MAILBOXES = 200
MAILBOXES = ("user", *(f"{number}user" for number in range(MOST_MAILBOXES + 1)))
"""Local parts that a load may send to."""

PATIENCE = 600.0
"""Seconds that one load may take."""


@dataclass(frozen=True)
class Load:
    """How mail comes in.

    With `mailboxes` over one, as many messages as there are mailboxes come from each of several generators,
    which number their recipients from 0 (smtp-source -N), so that the mailboxes are visited over and over.
    """

    name: str
    sessions: int
    messages: int
    size: int = 4096
    """Octets of a message, without header fields."""
    reconnect: bool = False
    mailboxes: int = 1
    domain: str = DOMAIN
    """Of the recipients; any other than DOMAIN is elsewhere."""

    def scaled(self, factor: float) -> Load:
        """The same load, only shorter; never so short that a session would have nothing to do."""
        messages = max(round(self.messages * factor), self.sessions, self.mailboxes)
        messages -= messages % self.mailboxes
        return replace(self, messages=messages)

    @property
    def generators(self) -> int:
        return 1 if self.mailboxes == 1 else min(self.sessions, self.messages // self.mailboxes)


def send(load: Load, port: int) -> None:
    """Send it all to 127.0.0.1; done when the last message has been accepted.

    Raises RuntimeError with what smtp-source said when a message was refused, or when it takes too long.
    """
    assert PROGRAM is not None
    command = [
        PROGRAM,
        "-s",
        str(load.sessions // load.generators),
        "-m",
        str(load.messages // load.generators),
        "-l",
        str(load.size),
        "-f",
        f"sender@{DOMAIN}",
        "-t",
        f"user@{load.domain}",
        "-M",
        "client.example",
    ]
    command += [] if load.reconnect else ["-d"]
    command += ["-N"] if load.mailboxes > 1 else []
    command += [f"inet:127.0.0.1:{port}"]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(load.generators)
    ]
    try:
        said = [process.communicate(timeout=PATIENCE)[0] for process in running]
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"not accepted within {PATIENCE:.0f} seconds") from error
    finally:
        for process in running:
            process.kill()
            process.wait()
    if any(process.returncode for process in running):
        raise RuntimeError("; ".join(filter(None, (text.strip() for text in said))))
