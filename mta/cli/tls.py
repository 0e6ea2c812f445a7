"""`mta tls self-signed`: a certificate and its key for trying out TLS, before there is a real one.

It names the server's own host name and vouches for itself, so that a client has to be told to trust it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mta.cli.words import domain
from mta.daemon.errors import NOT_PERMITTED, REFUSED, CannotStart
from mta.daemon.reload import Source

_MOST_DAYS = 3650
_NAMES = ("mta.crt", "mta.key")

_COMMON_NAME_LIMIT = 64
"""ub-common-name of RFC 5280 appendix A.1; longer names stand in the alternative names alone."""


def run(source: Source, words: Sequence[str]) -> int:
    """`mta tls self-signed`. Raises ConfigError or CannotStart."""
    parser = argparse.ArgumentParser(prog="mta tls", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    making = actions.add_parser("self-signed", help="write a certificate and its key", description=__doc__)
    making.add_argument("--hostname", type=domain, help="the name it is for (default: the configuration's)")
    making.add_argument("--days", type=int, default=90, help="days it is good for (default: 90)")
    making.add_argument("--out", type=Path, metavar="FOLDER", help="default: beside the configuration")
    arguments = parser.parse_args(words)
    if not 0 < arguments.days <= _MOST_DAYS:
        parser.error(f"--days: from 1 to {_MOST_DAYS}")
    folder = arguments.out or source.file.absolute().parent
    hostname = arguments.hostname or _hostname(source, folder)
    write_pair(folder, *self_signed(hostname, arguments.days))
    return 0


def _hostname(source: Source, folder: Path) -> str:
    """Of a configuration that may ask for TLS already: what it lacks is being made. Raises ConfigError."""
    made = f"tls.certificate={folder / _NAMES[0]}"
    return replace(source, overrides=(*source.overrides, made)).load().settings.hostname


def write_pair(folder: Path, certificate: bytes, key: bytes) -> None:
    """Write both, and say what to write into the configuration. Raises CannotStart when either exists."""
    paths = [folder / name for name in _NAMES]
    _write_new(paths[0], certificate, 0o644)
    try:
        _write_new(paths[1], key, 0o600)
    except CannotStart:
        paths[0].unlink()
        raise
    print(f'tls: {{ certificate = "{paths[0]}", key = "{paths[1]}" }}')


def self_signed(hostname: str, days: int) -> tuple[bytes, bytes]:
    """A certificate for this name, good from now for so many days, and its P-256 key; both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:_COMMON_NAME_LIMIT])])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # An hour back, for clients whose clock is behind ours.
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_new(path: Path, text: bytes, mode: int) -> None:
    """Write a file that must not exist yet, owned like its folder, so that the server can read it."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(text)
    except FileExistsError:
        raise CannotStart(REFUSED, f"{path}: exists already; name another folder with --out") from None
    except OSError as error:
        status = NOT_PERMITTED if isinstance(error, PermissionError) else REFUSED
        raise CannotStart(status, f"{path}: {error.strerror}; name another folder with --out") from error
