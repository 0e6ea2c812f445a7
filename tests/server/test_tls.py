"""TLS as a filter, against OpenSSL's own client side, with no socket between them."""

from __future__ import annotations

import datetime as dt
import hashlib
import ssl
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from mta.server.tls import BadCertificate, TlsError, TlsFilter, server_context

Pair = tuple[bytes, bytes]


class Client:
    """The other end: a client's TLS on memory buffers."""

    def __init__(self, *, highest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = highest
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)

    def shake(self, server: TlsFilter, piece: int = 1 << 20) -> bytes:
        """Complete the handshake, handing octets to the server in pieces; returns early plain text."""
        early = b""
        for _ in range(5):
            with suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            early += self.flush(server, piece)
        return early

    def flush(self, server: TlsFilter, piece: int = 1 << 20) -> bytes:
        wire, plain = self.outgoing.read(), b""
        for start in range(0, len(wire), piece):
            plain += server.receive(wire[start : start + piece])
        self.incoming.write(server.to_wire())
        return plain


@pytest.fixture
def server(pair: Pair) -> TlsFilter:
    return TlsFilter(server_context(*pair))


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_octets_come_through_however_they_are_cut(server: TlsFilter, piece: int) -> None:
    client = Client()
    client.shake(server, piece)
    assert server.established
    assert server.version == "TLSv1.3"
    client.tls.write(b"EHLO client\r\n")
    assert client.flush(server, piece) == b"EHLO client\r\n"
    server.send(b"250 hello\r\n")
    client.incoming.write(server.to_wire())
    assert client.tls.read() == b"250 hello\r\n"


def test_all_that_a_record_held_comes_out_at_once(server: TlsFilter) -> None:
    """What waits inside OpenSSL is invisible to poll(2), so nothing may stay there."""
    client = Client()
    client.shake(server)
    commands = b"NOOP\r\n" * 50_000
    client.tls.write(commands)
    assert client.flush(server) == commands


def test_garbage_instead_of_a_handshake_is_an_error(server: TlsFilter) -> None:
    with pytest.raises(TlsError):
        server.receive(b"EHLO in the clear\r\n")


def test_half_a_handshake_waits(server: TlsFilter) -> None:
    assert server.receive(b"\x16") == b""
    assert not server.established


def test_versions_before_1_2_are_refused(pair: Pair) -> None:
    context = server_context(*pair)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client = Client(highest=ssl.TLSVersion.TLSv1_1)
    with pytest.raises((TlsError, ssl.SSLError)):
        client.shake(TlsFilter(context))


def test_the_end_is_said(server: TlsFilter) -> None:
    client = Client()
    client.shake(server)
    server.close()
    client.incoming.write(server.to_wire())
    assert client.tls.read() == b""  # close_notify: a true end, not a cut


def test_closing_before_the_handshake_says_nothing(server: TlsFilter) -> None:
    server.close()
    assert server.to_wire() == b""


def test_a_bad_pair_is_refused_with_a_reason(pair: Pair) -> None:
    certificate, key = pair
    for bad in [(b"", b""), (certificate, b"nonsense"), (certificate[:200], key), (b"\0" * 99, key)]:
        with pytest.raises(BadCertificate, match=r"\w+ \w+"):
            server_context(*bad)


def test_a_key_of_another_certificate_is_named_as_such(pair: Pair) -> None:
    kinds = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    for each in kinds:
        other = each.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with pytest.raises(BadCertificate, match="does not belong"):
            server_context(pair[0], other)


def test_a_key_under_a_password_is_refused_and_nobody_is_asked(pair: Pair) -> None:
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(b"secret"),
    )
    with pytest.raises(BadCertificate, match="password"):
        server_context(pair[0], locked)


def self_signed(key: CertificateIssuerPrivateKeyTypes, algorithm: hashes.HashAlgorithm | None) -> bytes:
    """A certificate, and behind it its key, as PEM."""
    name, now = x509.Name([]), dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    certificate = builder.public_key(key.public_key()).sign(key, algorithm)  # type: ignore[arg-type]
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_a_login_is_bound_to_the_hash_that_signs_the_certificate(algorithm: hashes.HashAlgorithm) -> None:
    pem = self_signed(ec.generate_private_key(ec.SECP256R1()), algorithm)
    der = ssl.PEM_cert_to_DER_cert(pem.partition(b"-----BEGIN PRIVATE")[0].decode())
    certificate, begin, key = pem.partition(b"-----BEGIN PRIVATE")
    for order in (pem, begin + key + certificate):
        assert server_context(order, b"").end_point == hashlib.new(algorithm.name, der).digest()


def test_nothing_to_bind_to_where_the_signature_knows_no_hash() -> None:
    assert server_context(self_signed(ed25519.Ed25519PrivateKey.generate(), None), b"").end_point == b""
