"""TLS as a filter: octets of the wire in and out on one side, octets of the session on the other.

The handshake and the records run on memory buffers (`ssl.MemoryBIO`), so nothing here can block and the
loop's poll never has to know that decrypted octets wait inside OpenSSL: whatever came in is taken out whole,
at once. A renegotiation or a want-to-write in the middle of a read are only more octets to send.

This module must never know sockets, sessions or the configuration's files: certificates arrive as text.
"""

from __future__ import annotations

import os
import ssl
from typing import Final

RECORD: Final = 65536
"""Octets asked of OpenSSL at once; it hands out one record (16 KiB) a call."""


class BadCertificate(Exception):
    """A certificate or key that cannot be used; the text says why, never what is in them."""


class TlsError(Exception):
    """The peer broke the handshake or a record; the connection is of no more use."""


def server_context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    """The context of a server with this PEM certificate chain and PEM key (TLS 1.2 or later, RFC 8996).

    Raises BadCertificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if b"ENCRYPTED" in key:
        raise BadCertificate("the key is protected by a password, which nobody could give at the start")
    try:
        _load_chain(context, certificate, key)
    except ssl.SSLError as error:
        raise BadCertificate(_reason(error)) from error
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


def _reason(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    return (error.reason or "NO_USABLE_PEM_FOUND").replace("_", " ").lower()


class TlsFilter:
    """One server-side TLS connection without a socket."""

    __slots__ = ("_incoming", "_outgoing", "_tls", "established")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.established = False
        """The handshake is complete."""

    @property
    def version(self) -> str:
        """`TLSv1.3`, or empty before the handshake."""
        return self._tls.version() or ""

    @property
    def cipher(self) -> str:
        """The cipher suite by its OpenSSL name, or empty before the handshake."""
        cipher = self._tls.cipher()
        return cipher[0] if cipher else ""

    def receive(self, wire: bytes) -> bytes:
        """Octets of the wire in; what they decrypt to out. Raises TlsError.

        b"" stands for more octets needed; `ended` tells whether the peer closed its side."""
        self._incoming.write(wire)
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            return self._read_all()
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLError as error:
            raise TlsError(_reason(error)) from error

    def send(self, plain: bytes) -> None:
        """Encrypt; `to_wire` has the result. Only once established. Raises TlsError."""
        try:
            self._tls.write(plain)
        except ssl.SSLError as error:
            raise TlsError(_reason(error)) from error

    def close(self) -> None:
        """Say that nothing more will be sent (close_notify)."""
        if not self.established:
            return
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            # The notice is written all the same; the peer's own, which this wants to wait for, is not.
            return

    def to_wire(self) -> bytes:
        """Takes the octets to be sent to the peer."""
        return self._outgoing.read()

    def _read_all(self) -> bytes:
        pieces = []
        try:
            while piece := self._tls.read(RECORD):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            pass  # close_notify: the end of the stream follows on the socket
        return b"".join(pieces)
