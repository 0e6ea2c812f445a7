"""The server's side of TLS: from a certificate and its key to a context; the filter itself is `mta.tls`.

Certificates arrive as text: this module must never know sockets, sessions or the configuration's files.
"""

from __future__ import annotations

import os
import ssl
from functools import cached_property

from mta.tls import TlsError, TlsFilter, reason

__all__ = ["BadCertificate", "ServerContext", "TlsError", "TlsFilter", "server_context"]


class BadCertificate(Exception):
    """A certificate or key that cannot be used; the text says why, never what is in them."""


class ServerContext(ssl.SSLContext):
    """A context that knows its own certificate."""

    certificate: bytes
    """PEM; the chain may follow."""

    @cached_property
    def end_point(self) -> bytes:
        """What binds a login to this certificate: its hash (tls-server-end-point, RFC 5929 4.1). Empty where
        it is signed by an algorithm without a hash of its own (Ed25519), for which there is no rule, or by
        one that is not known here."""
        # Servers that offer nothing to be bound are spared this large module.
        from cryptography import x509
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            leaf = x509.load_pem_x509_certificate(self.certificate)
            algorithm = leaf.signature_hash_algorithm
        except (ValueError, UnsupportedAlgorithm):
            return b""  # OpenSSL has taken it, so it works; only this cannot be read off it
        if algorithm is None:
            return b""
        return leaf.fingerprint(SHA256() if algorithm.name in ("md5", "sha1") else algorithm)


def server_context(certificate: bytes, key: bytes) -> ServerContext:
    """The context of a server with this PEM certificate chain and PEM key (TLS 1.2 or later, RFC 8996).

    Raises BadCertificate."""
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.certificate = certificate
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if b"ENCRYPTED" in key:
        raise BadCertificate("the key is protected by a password, which nobody could give at the start")
    try:
        _load_chain(context, certificate, key)
    except ssl.SSLError as error:
        raise BadCertificate(_complaint(error)) from error
    return context


def _load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """OpenSSL is asked through a file name; an anonymous file keeps the key off every disk."""
    fd = os.memfd_create("mta-tls", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as pair:
            pair.write(certificate + b"\n" + key + b"\n")
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _complaint(error: ssl.SSLError) -> str:
    # What OpenSSL says of a key of another kind, too: it finds no certificate for one of that kind.
    if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
        return "the key does not belong to the certificate"
    return reason(error)
