"""Hashes that other servers made: whether a password is theirs.

Known are the words of crypt(3) (bcrypt, yescrypt, SHA-512, SHA-256, MD5, DES, with or without a scheme in
braces before them), the digests of LDAP, salted or not (`{SSHA}`, `{SHA256}` ...), and passwords as they are
(`{PLAIN}`), which nobody should keep longer than to the next login.

The system's own crypt(3) is asked where there is one: it works beside the interpreter, while a hash in Python
would keep the loop from its turns.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, TypeAlias, cast

_Crypt: TypeAlias = Callable[[bytes, bytes, "ctypes.Array[ctypes.c_char]"], bytes | None]

_scheme = re.compile(r"\{(?P<name>[A-Za-z0-9.-]{1,20})\}(?P<rest>.*)", re.DOTALL).fullmatch

_CLEAR: Final = frozenset(("PLAIN", "CLEARTEXT", "CLEAR"))
_DIGESTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("MD5", "LDAP-MD5", "SMD5"), "md5"),
    **dict.fromkeys(("SHA", "SHA1", "SSHA"), "sha1"),
    **dict.fromkeys(("SHA256", "SSHA256"), "sha256"),
    **dict.fromkeys(("SHA512", "SSHA512"), "sha512"),
}
_CRYPT: Final = ("sha512_crypt", "sha256_crypt", "md5_crypt", "des_crypt")
_CRYPT_DATA: Final = 1 << 18
"""Octets of a `struct crypt_data`, with room to spare."""
_BCRYPT_LIMIT: Final = 72
"""Octets of a password that bcrypt looks at."""


def fits(hash: str, password: bytes) -> bool:  # noqa: A002 - the field of Secrets
    """Whether this password has this hash; False for a hash that nobody can read. Blocks."""
    found = _scheme(hash)
    if found is None:
        return _crypt(hash, password)
    name, rest = found["name"].upper(), found["rest"]
    if name in _CLEAR:
        return hmac.compare_digest(rest.encode("utf-8", "surrogatepass"), password)
    if name in _DIGESTS and not rest.startswith("$"):
        return _digest(_DIGESTS[name], rest, password)
    return _crypt(rest, password)


def _digest(algorithm: str, rest: str, password: bytes) -> bool:
    """The digest, then its salt, if any, both in one piece of base64."""
    try:
        octets = base64.b64decode(rest, validate=True)
    except (binascii.Error, ValueError):
        return False
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size
    digest, salt = octets[:size], octets[size:]
    found = hashlib.new(algorithm, password + salt, usedforsecurity=False).digest()
    return hmac.compare_digest(digest, found)


def _crypt(word: str, password: bytes) -> bool:
    try:
        return _bcrypt(word, password) if word.startswith("$2") else _unix(word, password)
    except ValueError:
        return False


def _bcrypt(word: str, password: bytes) -> bool:
    import bcrypt

    return bcrypt.checkpw(password[:_BCRYPT_LIMIT], word.encode("ascii", "replace"))


def _unix(word: str, password: bytes) -> bool:
    if b"\0" in password or not word:
        return False
    crypt = _crypt_of_system()
    if crypt is None:
        # A large module that only those need who came from elsewhere.
        from passlib.context import CryptContext

        return bool(CryptContext(schemes=list(_CRYPT)).verify(password, word))
    found = crypt(password, word.encode("ascii", "replace"), ctypes.create_string_buffer(_CRYPT_DATA))
    return found is not None and hmac.compare_digest(found, word.encode("ascii", "replace"))


@cache
def _crypt_of_system() -> _Crypt | None:
    """crypt_r(3): the word of a password and of the word it is compared with."""
    try:
        found = ctypes.CDLL("libcrypt.so.1").crypt_r
    except (OSError, AttributeError):
        return None
    found.restype = ctypes.c_char_p
    found.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p)
    return cast(_Crypt, found)
