"""TLS and logins on the way out: what is taken, what is refused, and what the log says of it."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mta.tls import TlsError, TlsFilter
from tests.protocol.exchanger import Does, Exchanger
from tests.relay.office import TEXT, Office, Saying, Site

END = b".\r\n"
OFFER = ("PIPELINING", "STARTTLS", "AUTH PLAIN LOGIN")


@dataclass(frozen=True)
class Identity:
    """A certificate that signs itself, and its key."""

    certificate: bytes
    key: bytes

    def context(self, folder: Path) -> ssl.SSLContext:
        """Of a server that shows it."""
        path = folder / "server.pem"
        path.write_bytes(self.certificate + self.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def identity(address: str = "127.0.0.1", days: int = 1) -> Identity:
    """Of a host at this address, valid until so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an exchanger")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - dt.timedelta(days=3))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return Identity(
        certificate.public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


SOUND = identity()


class Secured(Exchanger):
    """An exchanger that starts TLS where it says so, or speaks nothing else."""

    def __init__(self, features: Sequence[str], context: ssl.SSLContext, *, implicit: bool = False) -> None:
        super().__init__(features)
        self._context = context
        self._tls = TlsFilter(context) if implicit else None
        self._implicit = implicit
        self.clear: list[bytes] = []
        """Commands that were not under TLS."""

    def greet(self) -> bytes:
        return b"" if self._implicit else super().greet()

    def hear(self, octets: bytes) -> bytes:
        if self._tls is not None:
            return self._decrypt(self._tls, octets)
        out = super().hear(octets)
        self.clear = list(self.heard)
        if self.heard and self.heard[-1] == b"STARTTLS" and out[:1] == b"2":
            self._tls = TlsFilter(self._context)
        return out

    def _decrypt(self, tls: TlsFilter, octets: bytes) -> bytes:
        fresh = not tls.established
        try:
            plain = tls.receive(octets)
        except TlsError:
            self.gone = True
            return tls.to_wire()
        out = super().greet() if fresh and tls.established and self._implicit else b""
        out += super().hear(plain) if plain else b""
        if out:
            tls.send(out)
        return tls.to_wire()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


Place = Callable[..., Site]


@pytest.fixture
def place(office: Office, tmp_path: Path) -> Place:
    """Makes sites with TLS."""

    def make(
        shows: Identity = SOUND,
        features: Sequence[str] = OFFER,
        *,
        implicit: bool = False,
        **says: Sequence[Saying],
    ) -> Site:
        context = shows.context(tmp_path)
        planned = {stage: list(sayings) for stage, sayings in says.items()}
        site = Site(office.loop, planned, lambda: Secured(features, context, implicit=implicit))
        office._sites.append(site)
        return site

    return make


def attempt(
    office: Office, site: Site, *overrides: str, tls: str = "", scheme: str = "smtp", user: str = ""
) -> str:
    """Send a letter there; what its record says: the event, and the reason for it."""
    letter = office.letter("user@b.example", sender="")
    url = f"b.example {scheme}://{user and f'{user}@'}127.0.0.1:{site.port}{tls and f'?tls={tls}'}"
    credentials = office.folder / "credentials"
    credentials.write_text("127.0.0.1 anna secret word\n")
    credentials.chmod(0o600)
    overrides = (*overrides, f'relay.credentials="{credentials}"') if user else overrides
    office.configure(f'relay.routes=["{url}"]', *overrides)
    office.relay.rescan()
    office.until(lambda: told(office, letter) and not office.relay._couriers)
    return told(office, letter)


def told(office: Office, letter: str) -> str:
    """The event of this letter's attempt, and the reason for it; empty before."""
    for event in ("delivered", "deferred", "failed"):
        for record in office.records(event):
            if record.text("id") == letter:
                return f"{event} {record.text('reason')}" if "reason" in record.fields else event
    return ""


def trust(office: Office, shown: Identity) -> None:
    """Let this be one of the issuers that the system trusts."""
    contexts = office.relay._desk.contexts
    contexts._verified.load_verify_locations(cadata=shown.certificate.decode())


def test_a_certificate_that_holds_is_told(office: Office, place: Place) -> None:
    site = place()
    office.configure()
    trust(office, SOUND)
    assert attempt(office, site) == "delivered"
    [record] = office.records("delivered")
    assert (record.text("tls"), record.text("certificate")) == ("TLSv1.3", "held")
    [exchanger] = site.exchangers
    assert isinstance(exchanger, Secured)
    assert exchanger.clear == [b"EHLO mx.example.org", b"STARTTLS"]
    assert site.texts == [TEXT]


BAD = {
    "unknown issuer": (identity(), False, "self-signed"),
    "other host": (identity("192.0.2.1"), True, "IP address mismatch"),
    "expired": (identity(days=-1), True, "expired"),
}


@pytest.mark.parametrize(("shown", "trusted", "words"), BAD.values(), ids=BAD)
def test_with_a_certificate_that_does_not_hold_mail_goes_all_the_same_and_it_is_told(
    office: Office, place: Place, shown: Identity, trusted: bool, words: str
) -> None:
    site = place(shown)
    office.configure()
    if trusted:
        trust(office, shown)
    assert attempt(office, site) == "delivered"
    [record] = office.records("delivered")
    assert record.text("tls") == "TLSv1.3"
    assert words in record.text("certificate")
    assert len(site.exchangers) == 2
    assert site.texts == [TEXT]


def test_what_is_wrong_with_a_certificate_is_found_out_once(office: Office, place: Place) -> None:
    site = place()
    assert attempt(office, site) == "delivered"
    assert attempt(office, site) == "delivered"
    assert len(site.exchangers) == 3
    assert site.texts == [TEXT, TEXT]


def test_where_tls_is_required_only_a_certificate_that_holds_will_do(office: Office, place: Place) -> None:
    site = place()
    assert attempt(office, site, tls="require") == "deferred tls-failed"
    assert site.texts == []
    assert b"EHLO mx.example.org" not in site.exchangers[0].heard[2:]


@pytest.mark.parametrize(
    ("features", "says", "reason"),
    [
        ((), {}, "tls-missing"),
        (OFFER, {"STARTTLS": [b"454 4.7.0 not now\r\n"]}, "host-refused"),
        (OFFER, {"STARTTLS": [b"502 5.5.1 what\r\n"]}, "host-refused"),
        (OFFER, {"STARTTLS": [b"220 go\r\n250 injected\r\n"]}, "not-smtp"),
        (OFFER, {"STARTTLS": [Does.CLOSE]}, "connection-lost"),
        (OFFER, {"STARTTLS": [Does.RESET]}, "connection-lost"),
    ],
    ids=["not offered", "4yz", "5yz", "injected", "closed", "reset"],
)
def test_where_tls_is_required_nothing_goes_in_clear(
    office: Office, place: Place, features: Sequence[str], says: dict[str, Sequence[Saying]], reason: str
) -> None:
    site = place(features=features, **says)
    assert attempt(office, site, tls="require") == f"deferred {reason}"
    assert all(line.split()[0] in (b"EHLO", b"STARTTLS", b"QUIT") for line in site.exchangers[0].heard)


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (b"454 4.7.0 not now\r\n", "delivered"),
        (b"220 go\r\n250 injected\r\n", "deferred not-smtp"),
        (Does.CLOSE, "deferred connection-lost"),
    ],
    ids=["refused", "injected", "closed"],
)
def test_starttls_that_leads_nowhere(office: Office, place: Place, says: Saying, told: str) -> None:
    site = place(STARTTLS=[says])
    assert attempt(office, site) == told
    assert len(site.exchangers) == 1


def test_when_the_handshake_is_garbage_mail_goes_in_clear(office: Office) -> None:
    """RFC 7435: the exchanger answers the handshake as if it were commands."""
    site = office.site("STARTTLS", STARTTLS=[b"220 go\r\n"])
    site._make = lambda: _Nonsense(("STARTTLS",))
    assert attempt(office, site) == "delivered"
    [record] = office.records("delivered")
    assert "tls" not in record.fields
    assert len(site.exchangers) == 2
    assert site.texts == [TEXT]


class _Nonsense(Exchanger):
    def hear(self, octets: bytes) -> bytes:
        if self.heard and self.heard[-1] == b"STARTTLS":
            return b"500 what?\r\n" * 10
        return super().hear(octets)


def test_tls_from_the_start(office: Office, place: Place) -> None:
    site = place(implicit=True)
    office.configure()
    trust(office, SOUND)
    assert attempt(office, site, scheme="smtps") == "delivered"
    [record] = office.records("delivered")
    assert (record.text("tls"), record.text("certificate")) == ("TLSv1.3", "held")
    assert b"STARTTLS" not in site.exchangers[0].heard


def test_tls_from_the_start_wants_a_certificate_that_holds(office: Office, place: Place) -> None:
    site = place(implicit=True)
    assert attempt(office, site, scheme="smtps") == "deferred tls-failed"
    assert site.exchangers[0].heard == []


# logins

PLAIN = b"AUTH PLAIN AGFubmEAc2VjcmV0IHdvcmQ="


@pytest.mark.parametrize(
    ("offer", "says", "heard"),
    [
        ("AUTH PLAIN LOGIN", {}, [PLAIN]),
        (
            "AUTH LOGIN",
            {"AUTH": [b"334 VXNlcm5hbWU6\r\n"], "YW5uYQ==": [b"334 UGFzc3dvcmQ6\r\n"]},
            [b"AUTH LOGIN", b"YW5uYQ==", b"c2VjcmV0IHdvcmQ="],
        ),
    ],
    ids=["PLAIN", "LOGIN"],
)
def test_who_has_credentials_logs_in(
    office: Office, place: Place, offer: str, says: dict[str, Sequence[Saying]], heard: list[bytes]
) -> None:
    site = place(features=("STARTTLS", offer), **says)
    office.configure()
    trust(office, SOUND)
    assert attempt(office, site, tls="require", user="anna") == "delivered"
    lines = site.exchangers[0].heard
    assert lines[lines.index(b"STARTTLS") + 2 :][: len(heard)] == heard


@pytest.mark.parametrize(
    ("features", "says"),
    [
        (OFFER, {"AUTH": [b"535 5.7.8 no\r\n"]}),
        (OFFER, {"AUTH": [b"454 4.7.0 later\r\n"]}),
        (OFFER, {"AUTH": [b"334 more\r\n"]}),
        (("STARTTLS", "AUTH CRAM-MD5"), {}),
        (("STARTTLS",), {}),
    ],
    ids=["5yz", "4yz", "asks for more", "other mechanisms", "none"],
)
def test_without_a_login_no_mail(
    office: Office, place: Place, features: Sequence[str], says: dict[str, Sequence[Saying]]
) -> None:
    site = place(features=features, **says)
    office.configure()
    trust(office, SOUND)
    assert attempt(office, site, tls="require", user="anna") == "deferred login-failed"
    assert not any(line.startswith(b"MAIL") for line in site.exchangers[0].heard)


def test_a_user_without_a_password_is_told_to_the_operator(office: Office, place: Place) -> None:
    site = place()
    assert attempt(office, site, user="bert") == "deferred login-failed"
    assert site.exchangers == []


# the transcript


def test_the_transcript_has_every_line_and_no_password(office: Office, place: Place) -> None:
    site = place()
    office.configure()
    trust(office, SOUND)
    debug = "application.debug=true"
    assert attempt(office, site, debug, tls="require", user="anna") == "delivered"
    lines = office.records("transcript")
    sent = [each.text("sent") for each in lines if "sent" in each.fields]
    received = [each.text("received") for each in lines if "received" in each.fields]
    assert [line.split()[0] for line in sent[:5]] == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL"]
    assert f"[{len(TEXT.replace(b'.', b'..') + END)} octets of text]" in sent
    assert received[0] == "220 mx.example.org"
    assert [each.text("step") for each in lines if "step" in each.fields] == ["started", "completed"]
    everything = " ".join(str(each) for each in office.records())
    for secret in ("secret", "AGFubmEAc2VjcmV0IHdvcmQ", "tidings"):
        assert secret not in everything


def test_without_debug_nothing_is_transcribed(office: Office, place: Place) -> None:
    assert attempt(office, place()) == "delivered"
    assert office.records("transcript") == []
