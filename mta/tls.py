"""TLS as a filter: octets of the wire in and out on one side, octets of the session on the other.

The handshake and the records run on memory buffers (`ssl.MemoryBIO`), so nothing here can block and the
loop's poll never has to know that decrypted octets wait inside OpenSSL: whatever came in is taken out whole,
at once. A renegotiation or a want-to-write in the middle of a read are only more octets to send.

Servers and clients use the same filter; which side it is, the context says. This module must never know
sockets or sessions.
"""

from __future__ import annotations

import ssl
from typing import Final

RECORD: Final = 65536
"""Octets asked of OpenSSL at once; it hands out one record (16 KiB) a call."""


class TlsError(Exception):
    """The peer broke the handshake or a record; the connection is of no more use."""


class CertificateError(TlsError):
    """The peer's certificate does not hold: unknown issuer, other name, expired."""


def client_context(*, verified: bool) -> ssl.SSLContext:
    """The context of a client (TLS 1.2 or later, RFC 8996). `verified`: the server must show a certificate of
    its name from an issuer whom the system trusts; else any will do, against those who only listen."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if verified:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class TlsFilter:
    """One TLS connection without a socket."""

    __slots__ = ("_incoming", "_outgoing", "_tls", "established")

    def __init__(self, context: ssl.SSLContext, server_hostname: str | None = None) -> None:
        """`server_hostname`: for a client, the name that the server's certificate should show."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=context.protocol == ssl.PROTOCOL_TLS_SERVER,
            server_hostname=server_hostname,
        )
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

        b"" stands for more octets needed. A client begins with nothing received."""
        self._incoming.write(wire)
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            return self._read_all()
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLCertVerificationError as error:
            raise CertificateError(error.verify_message) from error
        except ssl.SSLError as error:
            raise TlsError(reason(error)) from error

    def send(self, plain: bytes) -> None:
        """Encrypt; `to_wire` has the result. Only once established. Raises TlsError."""
        try:
            self._tls.write(plain)
        except ssl.SSLError as error:
            raise TlsError(reason(error)) from error

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


def reason(error: ssl.SSLError) -> str:
    """What OpenSSL complains of, in words."""
    return (error.reason or "NO_USABLE_PEM_FOUND").replace("_", " ").lower()
