"""Passwords: hashed by our rules, verified by those of others, and what is kept of them for SCRAM."""

from __future__ import annotations

import base64
import hashlib
from hashlib import pbkdf2_hmac

import pytest

from mta.protocol.scram import keys_of
from mta.users import foreign, passwords, scram
from mta.users.passwords import Secrets, Verified, fault_of, generate, make_secrets, verify

RIGHT, WRONG, RENEW = Verified(ok=True), Verified(ok=False), Verified(ok=True, renew=True)


def digest(scheme: str, algorithm: str, salt: bytes = b"") -> str:
    """A hash of LDAP."""
    found = hashlib.new(algorithm, b"sesame" + salt).digest()
    return f"{{{scheme}}}{base64.b64encode(found + salt).decode()}"


WEAK = (
    "$argon2id$v=19$m=1024,t=1,p=1$G55J6FW2NmJnKNuK7SwvcA$ze9qJRVGrPko4KtINOEyESuIdfPVhIEEkWOLgsIXcvg",
    "$argon2i$v=19$m=1024,t=1,p=1$dFkcirb3Mn0MXCEx6OHvcA$TlPaLN8Tu4eYy2uLIBFUqdGcjhXlj1OJH6M00ybjgp0",
)
CRYPT = (
    "$6$rounds=1000$4W2efZk0RRHQnOC7$roT8hPwOwrm3xihD0EnemJJXl/KfqyZaqjlHcrMRCDb"
    ".zLkKq1UU3LtoIFh6ahJHQNu87wlH/AbsVVnOXgPHj0",
    "$5$rounds=1000$nllc7MeEL6gi4/J/$wa5DzSK1T.j6LEnaLWfQDGtAEKxyaywk3PH5X45bBp1",
    "$1$zyU9ypv2$YburAg2m2EbHRp8mgRY0T/",
    "EDtYZBVOawaok",
    "$2y$04$pvcB/AXYBXdM.fIwsHagn.Dy2rzEpGSb4dKybeuzYocpa7CZtp/iW",
)
SCHEMES = (
    "{PLAIN}sesame",
    "{cleartext}sesame",
    digest("MD5", "md5"),
    digest("SMD5", "md5", b"salt"),
    digest("SHA", "sha1"),
    digest("SSHA", "sha1", b"salt"),
    digest("SHA256", "sha256"),
    digest("ssha256", "sha256", b"a longer salt"),
    digest("SHA512", "sha512"),
    digest("SSHA512", "sha512", b"salt"),
    "{ARGON2ID}" + WEAK[0],
    "{SHA512-CRYPT}" + CRYPT[0],
    "{MD5}" + CRYPT[2],
    "{BLF-CRYPT}" + CRYPT[4],
)
UNREADABLE = (
    *("", "*", "!", "x", "sesame", "$", "$$", "$6$", "$6$rounds=x$a$b", "$2y$", "$2b$04$zz", "$argon2id$"),
    *("{", "{}", "{PLAIN", "{SSHA}", "{SSHA}???", "{SHA512}AAAA", "{NO-SUCH}sesame", "$argon2id$v=19$m=9"),
    *("\u20ac", "{PLAIN}\u20ac", "$2y$\u20ac", "$argon2id$\u20ac", "$argon2x$v=19", "$argon2", "$6$a\0b$c"),
)


# our own


def test_a_hash_by_our_rules() -> None:
    kept = make_secrets("sesame", scram=False)
    assert kept.hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert kept.scram == ""
    assert verify(kept.hash, "sesame") == RIGHT
    assert verify(kept.hash, "Sesame") == WRONG
    assert verify(kept.hash, "") == WRONG


def test_the_same_password_has_never_the_same_hash() -> None:
    assert make_secrets("sesame", scram=False).hash != make_secrets("sesame", scram=False).hash


def test_a_letter_is_the_same_however_it_was_typed() -> None:
    kept = make_secrets("p\u00e4ssword", scram=False)
    assert verify(kept.hash, "pa\u0308ssword") == RIGHT
    assert verify(kept.hash, "password") == WRONG


def test_what_is_no_password_by_the_standard_is_still_one() -> None:
    kept = make_secrets("a\x07b", scram=True)
    assert kept.scram == ""
    assert verify(kept.hash, "a\x07b") == RIGHT


def test_the_hash_for_nobody_costs_what_a_real_one_costs() -> None:
    real = make_secrets("sesame", scram=False).hash
    assert passwords.NOBODYS.split("$")[:4] == real.split("$")[:4]
    assert len(passwords.NOBODYS) == len(real)
    assert verify(passwords.NOBODYS, "sesame") == WRONG


def test_nothing_secret_shows_itself() -> None:
    assert repr(make_secrets("sesame", scram=True)) == "Secrets()"
    assert "sesame" not in repr(Secrets("{PLAIN}sesame", "sesame"))


# those of others


@pytest.mark.parametrize("kept", [*WEAK, *CRYPT, *SCHEMES])
def test_what_others_have_made_is_right_and_to_be_renewed(kept: str) -> None:
    assert verify(kept, "sesame") == RENEW
    assert verify(kept, "sesam") == WRONG
    assert verify(kept, "") == WRONG


@pytest.mark.parametrize("kept", UNREADABLE)
def test_what_nobody_can_read_is_the_hash_of_no_password(kept: str) -> None:
    assert verify(kept, "sesame") == WRONG


def test_what_others_hashed_came_as_it_was_sent() -> None:
    kept = "{PLAIN}\u2168"
    assert verify(kept, "\u2168") == RENEW
    assert verify(kept, "IX") == WRONG


def test_bcrypt_looks_at_72_octets() -> None:
    import bcrypt

    kept = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert verify(kept, "x" * 100) == RENEW
    assert verify(kept, "x" * 71) == WRONG


@pytest.mark.parametrize("kept", CRYPT[:4])
def test_without_the_crypt_of_the_system(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "_crypt_of_system", lambda: None)
    assert verify(kept, "sesame") == RENEW
    assert verify(kept, "sesam") == WRONG
    assert verify("$6$", "sesame") == WRONG


def test_a_password_does_not_end_where_crypt_thinks() -> None:
    assert verify(CRYPT[0], "sesame\0more") == WRONG


# new ones


def test_what_a_new_password_must_be() -> None:
    assert fault_of("12345678", 8) is None
    assert fault_of("1234567", 8) == "a password has at least 8 characters"
    assert fault_of("\u20ac" * 400, 8) == "a password has at most 1024 octets"
    assert fault_of("sesame\x00sesame", 8) is not None
    assert fault_of("\U0001f511" * 8, 8) is None


def test_generated_ones_are_long_and_differ() -> None:
    made = {generate() for _ in range(100)}
    assert len(made) == 100
    assert all(fault_of(each, 20) is None for each in made)


# what SCRAM needs


def test_a_verifier_is_read_as_it_was_written() -> None:
    made = scram.make("sesame")
    assert made.iterations == 15_000
    assert scram.parse(scram.write(made)) == made
    salted = pbkdf2_hmac("sha256", b"sesame", made.salt, made.iterations)
    assert keys_of(salted) == (made.stored_key, made.server_key)


def test_it_is_kept_when_it_is_wanted() -> None:
    kept = make_secrets("sesame", scram=True)
    assert kept.scram.startswith("SCRAM-SHA-256$15000:")
    assert scram.parse(kept.scram) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256$15000:AAAA$AAAA:AAAA",
        "SCRAM-SHA-1$15000:AAAA$" + "A" * 43 + "=:" + "A" * 43 + "=",
        "SCRAM-SHA-256$0:AAAA$" + "A" * 43 + "=:" + "A" * 43 + "=",
        "SCRAM-SHA-256$15000:AAA$" + "A" * 43 + "=:" + "A" * 43 + "=",
    ],
)
def test_what_is_no_verifier(text: str) -> None:
    assert scram.parse(text) is None


def test_an_invented_one_looks_like_a_real_one_and_stays_the_same() -> None:
    real, invented = scram.make("sesame"), scram.decoy(b"secret", "alice@example.org")
    assert (len(invented.salt), invented.iterations) == (len(real.salt), real.iterations)
    assert scram.decoy(b"secret", "alice@example.org").salt == invented.salt
    assert scram.decoy(b"secret", "bob@example.org").salt != invented.salt
    assert scram.decoy(b"other", "alice@example.org").salt != invented.salt
