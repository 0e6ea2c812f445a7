"""SCRAM-SHA-256 (RFC 5802, RFC 7677) as a server speaks it: messages read and written, proofs checked.

The client proves to know the password without sending it, and so does the server, who has not even got it. A
proof covers everything both have said (the AuthMessage), the channel binding included, so that nobody between
them can have changed a letter.

SASLprep (RFC 4013) is here too, since both sides must mean the same password.
"""

from __future__ import annotations

import hmac
import re
import stringprep
from base64 import b64encode
from binascii import Error, a2b_base64
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final
from unicodedata import ucd_3_2_0


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a server keeps to recognise a password without knowing it (RFC 5802 3)."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


class Unfit(Exception):
    """A message that is none of SCRAM's, or one that we must not go on after."""


BINDING: Final = "tls-server-end-point"
"""The one channel binding we know (RFC 5929 4)."""

_NAME: Final = rb"(?:[^,=\0]|=2C|=3D)+"
_first = re.compile(
    rb"(?P<header>(?:(?P<flag>[ny])|p=(?P<binding>[A-Za-z0-9.-]+)),(?:a=(?P<authzid>%b))?,)"
    rb"(?P<bare>n=(?P<user>%b),r=(?P<nonce>[!-+\--~]{1,128})(?:,[A-Za-z]=[^,\0]+)*)" % (_NAME, _NAME)
).fullmatch
"""client-first-message. A mandatory extension (`m=`) does not match, as it must not (RFC 5802 5.1); a nonce
is bounded so that the challenge that repeats it fits a reply."""
_final = re.compile(
    rb"(?P<unproved>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>[!-+\--~]+)(?:,[A-Za-oq-z]=[^,\0]+)*)"
    rb",p=(?P<proof>[A-Za-z0-9+/=]+)"
).fullmatch


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """What a client says first."""

    header: bytes
    """The gs2-header: how the client thinks of channel bindings, and for whom it acts."""
    flag: str
    """`n`: knows no bindings; `y`: thinks that we know none; empty: `binding` is the one it uses."""
    binding: str
    authzid: str
    user: str
    nonce: bytes
    bare: bytes


def read_first(message: bytes) -> ClientFirst:
    """Raises Unfit."""
    found = _first(message)
    if found is None:
        raise Unfit("client-first-message")
    return ClientFirst(
        header=found["header"],
        flag=(found["flag"] or b"").decode("ascii"),
        binding=(found["binding"] or b"").decode("ascii"),
        authzid=_name(found["authzid"] or b""),
        user=_name(found["user"]),
        nonce=found["nonce"],
        bare=found["bare"],
    )


def _name(octets: bytes) -> str:
    try:
        return octets.replace(b"=2C", b",").replace(b"=3D", b"=").decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unfit("a name is not UTF-8") from error


class Proving:
    """From the client's first message to the server's proof."""

    def __init__(self, first: ClientFirst, verifier: Verifier, nonce: str, binding: bytes) -> None:
        """`binding`: the data that the client has bound its messages to, b"" for none."""
        self._verifier = verifier
        self._nonce = first.nonce + nonce.encode("ascii")
        self._bound = b64encode(first.header + binding)
        salt = b64encode(verifier.salt)
        self.challenge: Final = b"r=%b,s=%b,i=%d" % (self._nonce, salt, verifier.iterations)
        """server-first-message."""
        self._message = first.bare + b"," + self.challenge

    def proves(self, message: bytes) -> bool:
        """Whether this client-final-message proves that its sender knows the password and speaks to us in
        this exchange, over this channel. Raises Unfit for what is no such message."""
        found = _final(message)
        if found is None:
            raise Unfit("client-final-message")
        if found["nonce"] != self._nonce or found["binding"] != self._bound:
            return False
        self._message += b"," + found["unproved"]
        signature = _hmac(self._verifier.stored_key, self._message)
        key = _xor(_decoded(found["proof"]), signature)
        return hmac.compare_digest(sha256(key).digest(), self._verifier.stored_key)

    def signature(self) -> bytes:
        """server-final-message: our own proof."""
        return b"v=" + b64encode(_hmac(self._verifier.server_key, self._message))


def keys_of(salted_password: bytes) -> tuple[bytes, bytes]:
    """StoredKey and ServerKey (RFC 5802 3)."""
    stored = sha256(_hmac(salted_password, b"Client Key")).digest()
    return stored, _hmac(salted_password, b"Server Key")


def _decoded(octets: bytes) -> bytes:
    try:
        proof = a2b_base64(octets, strict_mode=True)
    except Error as error:
        raise Unfit("not base64") from error
    if len(proof) != sha256().digest_size:
        raise Unfit("a proof of another length")
    return proof


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


# SASLprep


def saslprep(text: str) -> str:
    """`text` in the one form in which two of them are compared (RFC 4013). Raises ValueError for what cannot
    be a name or a password.

    Characters that Unicode 3.2 did not know pass as they are, in queries and in what is kept alike: people
    have them in their passwords."""
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    prepared = ucd_3_2_0.normalize("NFKC", mapped)
    if any(forbids(character) for character in prepared for forbids in _FORBIDDEN):
        raise ValueError("a character that no name or password may have")
    if not _reads_one_way(prepared):
        raise ValueError("characters that are written in both directions")
    return prepared


_FORBIDDEN: Final = (
    *(stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4),
    *(stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8),
    stringprep.in_table_c9,
)


def _reads_one_way(text: str) -> bool:
    """RFC 3454 6."""
    leftward = [stringprep.in_table_d1(character) for character in text]
    if not any(leftward):
        return True
    return leftward[0] and leftward[-1] and not any(map(stringprep.in_table_d2, text))
