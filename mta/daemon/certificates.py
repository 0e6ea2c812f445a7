"""The certificate and its key: read and checked by the supervisor, and handed on to the children as text.

The supervisor reads them because it may be the only process with the right to, and checks them with the very
function that will use them. This module knows files; when to read them is for others to know.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mta.server.tls import BadCertificate, server_context

_LARGEST = 1 << 20


@dataclass(frozen=True)
class Pair:
    """A certificate chain and its private key, in PEM."""

    certificate: str
    key: str


@dataclass(frozen=True)
class Described:
    """What people want to know of a certificate: whom it names, and when it expires (ISO 8601, UTC)."""

    names: list[str]
    expires: str


def read_pair(certificate: Path, key: Path | None) -> Pair:
    """Read and check a pair; without a file of its own the key stands in the certificate's.

    Raises BadCertificate naming the file and what is wrong with it."""
    pair = Pair(_text(certificate), _text(key or certificate))
    try:
        server_context(pair.certificate.encode(), pair.key.encode())
    except BadCertificate as error:
        raise BadCertificate(f"{certificate}: {error}") from error
    return pair


def describe(pair: Pair) -> Described:
    """Read the first certificate of a pair that has been checked."""
    # Servers without TLS, and all subcommands, are spared this large module.
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.encode())
        extensions = [each.value for each in certificate.extensions]
    except ValueError as error:
        # OpenSSL has taken it, so it works; only what it says stays unknown.
        return Described([], f"unknown ({error})")
    found = [each for each in extensions if isinstance(each, x509.SubjectAlternativeName)]
    names = [name for each in found for name in each.get_values_for_type(x509.DNSName)]
    expires = certificate.not_valid_after_utc.isoformat()
    return Described(names or [certificate.subject.rfc4514_string()], expires)


def _text(path: Path) -> str:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return file.read(_LARGEST).decode("ascii")
    except OSError as error:
        raise BadCertificate(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise BadCertificate(f"{path}: this is no PEM file") from None
