"""Dovecot with a configuration of its own, which serves one Maildir by POP3 to whoever asks, on a port of
127.0.0.1; for tests and for the bench.

It serves no mail as root, so the Maildir becomes nobody's, and every folder above it has to let nobody pass.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.instance import PATIENCE, eventually
from tests.peers.neighbours import free_port

CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = pop3
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
mail_location = maildir:{maildir}
mail_max_userip_connections = 0
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder} allow_all_users=yes
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""

NOBODY = 65534


def configured(folder: Path, maildir: Path, port: int) -> Path:
    """Its configuration, below `folder`, where it keeps everything else as well."""
    path = folder / "dovecot.conf"
    path.write_text(CONFIGURATION.format(folder=folder, maildir=maildir, port=port, uid=NOBODY, gid=NOBODY))
    return path


@contextmanager
def dovecot(folder: Path, maildir: Path) -> Iterator[int]:
    """Run it; its port. Only root may start it."""
    program = needs("dovecot")
    if os.geteuid() != 0:
        pytest.skip("not root")
    for path in (maildir, *maildir.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    port = free_port()
    command = [program, "-F", "-c", str(configured(folder, maildir, port))]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            assert eventually(lambda: answers(port)), (folder / "log").read_text()
            yield port
        finally:
            process.terminate()
            process.wait(PATIENCE)


def answers(port: int) -> bool:
    """Whether it greets."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as probe:
            return probe.recv(3) == b"+OK"
    except ConnectionError:
        return False
