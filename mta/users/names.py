"""What an account or an alias may be called.

Two questions, kept apart. `fold` brings what a client wrote into the one form that names are compared in;
it judges nothing, since what is not a name of ours is simply not found. `fit` judges what somebody wants to
be called, and is strict: a name becomes part of a path and of an address, and must look like what it is.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import idna

from mta.protocol.address import normal_domain
from mta.users.account import Key
from mta.users.errors import UnfitName

MOST_OCTETS: Final = 64
"""Of a local part (RFC 5321 4.5.3.1.1)."""

_ORDINARY: Final = re.compile(r"[a-z0-9][a-z0-9._=-]{0,63}")
_punctuation: Final = re.compile(r"[._=+-]")
_RULE: Final = "small letters and digits, with any of ._=-+ between them"
_MAILDIR: Final = frozenset({"tmp", "new", "cur"})


def fold(local: str) -> str:
    """`local` as it would be called here: NFC, and ASCII in lower case."""
    if local.isascii():
        return local.lower()
    normal = unicodedata.normalize("NFC", local)
    if normal.isascii():
        return local  # the Kelvin sign is no k
    return "".join(c.lower() if c.isascii() else c for c in normal)


def key_of_user(user: str, home: str) -> Key:
    """The address of whoever calls himself `user`: a name at the domain `home`, or `name@domain`. What can be
    no address stays as it is, and is nobody's."""
    local, at, domain = user.rpartition("@")
    return (fold(local), normal_domain(domain) or domain) if at else (fold(user), home)


def fit(local: str) -> str:
    """The name that somebody gets who wants to be called so. Raises UnfitName."""
    name = fold(local)
    if name in _MAILDIR:
        raise UnfitName(f"{name} is the name of a part of every mailbox, and can be no account")
    if _ORDINARY.fullmatch(name) is None:
        _judge(name)
    return name


def _judge(name: str) -> None:
    """A name beyond the ordinary: other scripts, and a little more punctuation.

    Letters are those of domain names (RFC 5892): none is invisible, or another way to write one."""
    shown = ascii(name)[1:-1][:80]
    try:
        octets = len(name.encode())
        for word in _punctuation.split(name):
            idna.check_label(word)
    except UnicodeError as error:
        raise UnfitName(f"'{shown}' cannot be the name of an account: {_RULE}") from error
    if octets > MOST_OCTETS:
        raise UnfitName(f"{shown} is longer than {MOST_OCTETS} octets")
