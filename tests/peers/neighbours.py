"""Programs that others wrote, for the relay to talk to: a name server, and a mail sink with faults."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.conftest import needs
from tests.instance import PATIENCE, eventually


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses, for TCP and UDP; for programs that cannot choose one."""
    while True:
        with ExitStack() as sockets:
            stream = sockets.enter_context(socket.socket())
            stream.bind(("127.0.0.1", 0))
            datagram = sockets.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            try:
                datagram.bind(stream.getsockname())
            except OSError:
                continue
            return int(stream.getsockname()[1])


@contextmanager
def dnsmasq(*records: str) -> Iterator[str]:
    """A name server that knows these records, as its options write them, and nothing else below `example`;
    its address as `dns.servers` has it."""
    port = free_port()
    listen = [f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces"]
    alone = ["--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=", "--user=", "--group="]
    command = [needs("dnsmasq"), "--keep-in-foreground", "--log-facility=-", *listen, *alone]
    with _running([*command, "--local=/example/", *records]) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert b"started" in said, said
        yield f"127.0.0.1:{port}"


@contextmanager
def smtp_sink(*options: str) -> Iterator[int]:
    """Postfix's smtp-sink with these options; its port."""
    port = free_port()
    with _running([needs("smtp-sink"), *_user(), *options, f"127.0.0.1:{port}", "100"]):
        assert eventually(lambda: _answers(port)), f"smtp-sink {options} does not answer"
        yield port


@contextmanager
def _running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def _user() -> list[str]:
    """Root has to say as whom it runs."""
    return ["-u", "nobody"] if os.geteuid() == 0 else []
