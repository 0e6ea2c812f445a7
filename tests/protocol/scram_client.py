"""The client's side of SCRAM-SHA-256, by the book (RFC 5802 3), for tests of the server's."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode


class ScramClient:
    """One login. What it says and hears is in base64, as SASL's profiles put it on the wire."""

    def __init__(self, user: str, password: str, nonce: str = "client", binding: bytes | None = None) -> None:
        """`binding`: bind it to this end point, by SCRAM-SHA-256-PLUS."""
        header = b"n,," if binding is None else b"p=tls-server-end-point,,"
        self._password = password.encode()
        self._bound = b64encode(header + (binding or b"")).decode()
        self._bare = f"n={user},r={nonce}"
        self._signature = b""
        self.first = b64encode(header + self._bare.encode())

    def final(self, challenge: bytes) -> bytes:
        """The proof, for the server's first message."""
        first = b64decode(challenge).decode()
        fields = dict(part.split("=", 1) for part in first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self._password, b64decode(fields["s"]), int(fields["i"]))
        without_proof = f"c={self._bound},r={fields['r']}"
        signed = f"{self._bare},{first},{without_proof}".encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        mask = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        self._signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, mask, strict=True))
        return b64encode(f"{without_proof},p={b64encode(proof).decode()}".encode())

    def is_server(self, last: bytes) -> bool:
        """Whether the server has proven to know the verifier."""
        return b64decode(last) == b"v=" + b64encode(self._signature)
