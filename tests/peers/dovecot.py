"""Dovecot with a configuration of its own, which serves Maildirs by POP3 to whoever asks, on a port of
127.0.0.1.

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

NOBODY = 65534


def configured(folder: Path, mail: Path, port: int) -> Path:
    """Its configuration, below `folder`, where it keeps everything else as well."""
    text = (Path(__file__).parent.parent / "bench/peers/dovecot.conf").read_text()
    for name, value in {"folder": folder, "mail": mail, "port": port, "owner": NOBODY}.items():
        text = text.replace(f"@{name}@", str(value))
    path = folder / "dovecot.conf"
    path.write_text(text)
    return path


@contextmanager
def dovecot(folder: Path, maildir: Path) -> Iterator[int]:
    """Run it for this Maildir, whose user is called like it; its port. Only root may start it."""
    program = needs("dovecot")
    if os.geteuid() != 0:
        pytest.skip("not root")
    for path in (maildir, *maildir.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    port = free_port()
    command = [program, "-F", "-c", str(configured(folder, maildir.parent, port))]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            assert eventually(lambda: answers(port)), (folder / "dovecot.log").read_text()
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
