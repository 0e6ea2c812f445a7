"""The mechanisms: what each says, and what it takes from a client."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from hashlib import pbkdf2_hmac

import pytest

from mta.protocol.sasl import (
    DONE,
    LINE_LIMIT,
    PLUS,
    SCRAM,
    Challenge,
    Disproved,
    Exchange,
    Fault,
    NeedVerifier,
    Password,
    Proven,
    Step,
    offered,
)
from mta.protocol.scram import saslprep
from tests.protocol.host import NONCE, PENCIL
from tests.protocol.scram_client import ScramClient

BINDING = b"hash of the certificate"


def exchange(name: str, binding: bytes = b"", *, scram: bool = True) -> Exchange:
    return Exchange(name, offered(scram=scram, binding=binding), NONCE, binding)


def say(talk: Exchange, text: bytes) -> Step:
    return talk.answer(b64encode(text))


def line_of(step: Step) -> bytes:
    assert isinstance(step, Challenge), step
    return step.line


def plain(message: bytes) -> Step:
    return exchange("PLAIN").begin(b64encode(message))


# what is offered


def test_the_best_comes_first() -> None:
    assert offered(scram=False, binding=b"") == ("PLAIN", "LOGIN")
    assert offered(scram=False, binding=BINDING) == ("PLAIN", "LOGIN")
    assert offered(scram=True, binding=b"") == (SCRAM, "PLAIN", "LOGIN")
    assert offered(scram=True, binding=BINDING) == (PLUS, SCRAM, "PLAIN", "LOGIN")


# PLAIN and LOGIN


def test_plain_with_an_initial_response_and_without() -> None:
    assert plain(b"\0alice\0sesame") == Password("alice", "sesame")
    talk = exchange("PLAIN")
    assert line_of(talk.begin(None)) == b""
    assert say(talk, b"\0alice\0sesame") == Password("alice", "sesame")
    assert talk.user == "alice"
    assert talk.granted() is DONE


def test_an_initial_response_of_a_sign_is_an_empty_one() -> None:
    assert exchange("PLAIN").begin(b"=") is Fault.MALFORMED
    assert exchange("LOGIN").begin(b"=") is Fault.MALFORMED


def test_login_asks_twice() -> None:
    talk = exchange("LOGIN")
    assert b64decode(line_of(talk.begin(None))) == b"Username:"
    assert b64decode(line_of(say(talk, b"alice"))) == b"Password:"
    assert say(talk, "pässwörd".encode()) == Password("alice", "pässwörd")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0",
        b"\0\0",
        b"\0\0\0",
        b"alice",
        b"\0alice",
        b"\0alice\0a\0b",
        b"\0\xff\xfe\0x",
        b"\0\0x",
        b"\0a\x07\0x",
    ],
)
def test_what_is_not_plain(message: bytes) -> None:
    assert plain(message) is Fault.MALFORMED


def test_nobody_acts_for_somebody_else() -> None:
    assert plain(b"alice\0alice\0x") == Password("alice", "x")
    assert plain(b"bob\0alice\0x") is Fault.OTHER_IDENTITY
    assert plain(b"ALICE\0alice\0x") is Fault.OTHER_IDENTITY
    assert exchange(SCRAM).begin(b64encode(b"n,a=bob,n=alice,r=x")) is Fault.OTHER_IDENTITY
    assert exchange(SCRAM).begin(b64encode(b"n,a=alice,n=alice,r=x")) == NeedVerifier("alice")


# lines


def test_the_longest_answer() -> None:
    password = "x" * (LINE_LIMIT // 4 * 3 - len("\0alice\0"))
    longest = b64encode(f"\0alice\0{password}".encode())
    assert len(longest) == LINE_LIMIT
    assert exchange("PLAIN").begin(longest) == Password("alice", password)
    assert exchange("PLAIN").begin(longest + b"AAAA") is Fault.TOO_LONG


@pytest.mark.parametrize(
    "line",
    [b"A", b"AA", b"AAA", b"AAAA=", b"AA=A", b"====", b"AAA A", b"AAA-", b"AAA\n", b"AAAA\xff", b"==", b"**"],
)
def test_what_is_not_base64(line: bytes) -> None:
    talk = exchange("PLAIN")
    talk.begin(None)
    assert talk.answer(line) is Fault.NOT_BASE64


def test_a_star_cancels() -> None:
    for name in offered(scram=True, binding=BINDING):
        talk = exchange(name, BINDING)
        talk.begin(None)
        assert talk.answer(b"*") is Fault.CANCELLED


# SCRAM


def test_the_example_of_rfc_7677() -> None:
    talk = exchange(SCRAM)
    assert line_of(talk.begin(None)) == b""
    assert say(talk, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == NeedVerifier("user")
    challenge = b64decode(line_of(talk.verify_by(PENCIL)))
    nonce = b"rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    assert challenge == b"r=" + nonce + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    proof = b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert say(talk, b"c=biws,r=" + nonce + b",p=" + proof) == Proven("user")
    last = b64decode(line_of(talk.granted()))
    assert last == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert say(talk, b"") is DONE


def scram(name: str, client: ScramClient, binding: bytes = b"") -> Step:
    """Up to the client's proof."""
    talk = exchange(name, binding)
    assert talk.begin(client.first) == NeedVerifier("user")
    return talk.answer(client.final(line_of(talk.verify_by(PENCIL))))


def test_a_login_bound_to_our_end_point() -> None:
    assert scram(PLUS, ScramClient("user", "pencil", binding=BINDING), BINDING) == Proven("user")
    assert scram(PLUS, ScramClient("user", "pencil", binding=b"another"), BINDING) == Disproved("user")
    assert scram(SCRAM, ScramClient("user", "pencil"), BINDING) == Proven("user")


def test_another_password_proves_nothing() -> None:
    assert scram(SCRAM, ScramClient("user", "pencils")) == Disproved("user")


@pytest.mark.parametrize(
    "final",
    [
        b"",
        b"c=biws",
        b"c=biws,r=" + NONCE.encode(),
        b"r=%b,c=biws,p=AAAA",
        b"c=biws,r=%b,p=AAAA",
        b"c=biws,r=%b,p=A",
        b"c=biws,r=%b,p=" + b64encode(bytes(32)) + b",x=y",
    ],
)
def test_what_is_no_proof(final: bytes) -> None:
    talk = exchange(SCRAM)
    talk.begin(b64encode(b"n,,n=user,r=abc"))
    talk.verify_by(PENCIL)
    assert say(talk, final.replace(b"%b", b"abc" + NONCE.encode())) is Fault.MALFORMED


def test_a_proof_for_another_exchange() -> None:
    client = ScramClient("user", "pencil", nonce="first")
    challenge = b"r=first-and-more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    talk = exchange(SCRAM)
    talk.begin(client.first)
    talk.verify_by(PENCIL)
    assert talk.answer(client.final(b64encode(challenge))) == Disproved("user")


def test_a_proof_that_names_another_nonce_than_it_was_given() -> None:
    """By somebody who knows the password, so that nothing else is wrong."""
    talk = exchange(SCRAM)
    talk.begin(b64encode(b"n,,n=user,r=abc"))
    challenge = b64decode(line_of(talk.verify_by(PENCIL)))
    salted = pbkdf2_hmac("sha256", b"pencil", PENCIL.salt, PENCIL.iterations)
    key = hmac.digest(salted, b"Client Key", "sha256")
    for nonce, verdict in ((b"abc" + NONCE.encode(), Proven("user")), (b"other", Disproved("user"))):
        unproved = b"c=biws,r=" + nonce
        signed = b",".join((b"n=user,r=abc", challenge, unproved))
        mask = hmac.digest(PENCIL.stored_key, signed, "sha256")
        proof = b64encode(bytes(a ^ b for a, b in zip(key, mask, strict=True)))
        again = exchange(SCRAM)
        again.begin(b64encode(b"n,,n=user,r=abc"))
        again.verify_by(PENCIL)
        assert say(again, unproved + b",p=" + proof) == verdict


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n=user,r=abc",
        b"n,n=user,r=abc",
        b"x,,n=user,r=abc",
        b"p,,n=user,r=abc",
        b"n,,n=,r=abc",
        b"n,,n=user",
        b"n,,n=user,r=",
        b"n,,n=us=er,r=abc",
        b"n,,n=us=2cer,r=abc",
        b"n,,r=abc,n=user",
        b"n,,m=must,n=user,r=abc",
        b"n,,n=user,r=a\x7fc",
        b"n,,n=us\0er,r=abc",
        b"n,,n=\xff,r=abc",
        b"n,,n=user,r=" + b"x" * 129,
        b"y,,n=user,r=abc",
        b"p=tls-server-end-point,,n=user,r=abc",
    ],
)
def test_what_begins_no_scram(first: bytes) -> None:
    assert exchange(SCRAM, BINDING).begin(b64encode(first)) is Fault.MALFORMED


@pytest.mark.parametrize("header", [b"n,,", b"y,,", b"p=tls-unique,,", b"p=tls-exporter,,"])
def test_the_bound_form_wants_the_binding_we_know(header: bytes) -> None:
    first = b64encode(header + b"n=user,r=abc")
    assert exchange(PLUS, BINDING).begin(first) is Fault.MALFORMED


def test_a_client_that_knows_bindings_and_was_offered_none() -> None:
    assert exchange(SCRAM).begin(b64encode(b"y,,n=user,r=abc")) == NeedVerifier("user")


def test_a_comma_and_an_equals_sign_in_a_name() -> None:
    assert exchange(SCRAM).begin(b64encode(b"n,,n=a=2Cb=3Dc,r=abc")) == NeedVerifier("a,b=c")


def test_an_extension_that_may_be_ignored() -> None:
    assert exchange(SCRAM).begin(b64encode(b"n,,n=user,r=abc,x=whatever")) == NeedVerifier("user")


# secrets


def test_no_secret_shows_itself() -> None:
    shown = repr([Password("alice", "sesame"), Challenge(b"secret"), PENCIL])
    assert "sesame" not in shown
    assert "secret" not in shown
    assert repr(PENCIL.stored_key) not in shown


# SASLprep (RFC 4013 3)


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("pa\u0308ss", "p\u00e4ss"),
        ("\u0627\u0628", "\u0627\u0628"),
        ("\U0001f511", "\U0001f511"),
    ],
)
def test_one_form_for_what_is_the_same(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    "text", ["\u0007", "\u0627\u0031", "a\u0000b", "\u200e", "\ue000", "\ufffd", "a\u0627"]
)
def test_what_no_name_or_password_may_have(text: str) -> None:
    with pytest.raises(ValueError, match="character"):
        saslprep(text)
