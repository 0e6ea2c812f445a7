"""What an account or an alias may be called (DESIGN 6).

Two questions, kept apart. `fold` brings what a client wrote into the one form that names are compared in;
it judges nothing, since what is not a name of ours is simply not found. `fit` judges what somebody wants to
be called, and is strict: a name becomes part of a path and of an address, and must look like what it is.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from mta.users.errors import UnfitName

MOST_OCTETS: Final = 64
"""Of a local part (RFC 5321 4.5.3.1.1)."""

_ORDINARY: Final = re.compile(r"[a-z0-9][a-z0-9._=-]{0,63}")
_PUNCTUATION: Final = frozenset("._=-+'&")
_MAILDIR: Final = frozenset({"tmp", "new", "cur"})


def fold(local: str) -> str:
    """`local` as it would be called here: NFC, and ASCII in lower case."""
    if local.isascii():
        return local.lower()
    return "".join(c.lower() if c.isascii() else c for c in unicodedata.normalize("NFC", local))


def fit(local: str) -> str:
    """The name that somebody gets who wants to be called so. Raises UnfitName."""
    name = fold(local)
    if name in _MAILDIR:
        raise UnfitName(f"{name} is the name of a part of every mailbox, and can be no account")
    if _ORDINARY.fullmatch(name) is None:
        _judge(name)
    return name


def _judge(name: str) -> None:
    """A name beyond the ordinary: other scripts, and a little more punctuation."""
    if not name:
        raise UnfitName("a name is needed")
    shown = ascii(name)[1:-1]
    odd = [c for c in name if c not in _PUNCTUATION and unicodedata.category(c)[0] not in "LMN"]
    if odd or not name[0].isalnum():
        what = f"{ascii(odd[0])} cannot be part of one" if odd else "it must begin with a letter or digit"
        raise UnfitName(f"{shown} is no name for an account: {what}")
    if len(name.encode()) > MOST_OCTETS:
        raise UnfitName(f"{shown[:20]}... is longer than {MOST_OCTETS} octets")
    # Whatever has another spelling that looks the same (RFC 8265 3.3) stays out, and so do capitals.
    if unicodedata.normalize("NFKC", name) != name or name.lower() != name:
        raise UnfitName(f"{shown} is not in its simplest form: small letters, no compatibility characters")
