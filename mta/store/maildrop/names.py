"""Names of files in a Maildir, as a mail drop reads them (maildir(5), Maildir++).

The unique part of a name is what stays when a message moves from `new` to `cur`, when its flags change, and
when a program adds or corrects the sizes behind it. It makes the message's identity, so that this can be told
of any name at any time and nothing has to be remembered: it is stable for as long as the message is there,
and used again only by who uses a unique name again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, overload

_OURS: Final = re.compile(r"(\d{1,20}\.[0-9a-z]{20}\.[^:,]+),S=\d+,W=(\d{1,18})(?::[^:]*)?").fullmatch
_SIZES: Final = re.compile(r"(?:,S=\d+)?(?:,W=\d+)?\Z")
_FIT: Final = re.compile(r"[!-<>-~][!-~]{0,69}").fullmatch
"""What may be a unique-id (RFC 1939 7) and cannot be taken for one of our digests, which begin with `=`."""


class Name(NamedTuple):
    """What the name of a file tells."""

    unique: str
    wire_octets: int | None
    """Octets with CRLF line ends, when we ourselves have given the name; other programs are not believed."""


def read_name(name: str) -> Name:
    """The name of a file in `new` or `cur`, whatever it is."""
    ours = _OURS(name)
    if ours is not None:
        return Name(ours[1], int(ours[2]))
    return Name(_SIZES.sub("", name.partition(":")[0], count=1), None)


def renamed(name: str, inode: int) -> str:
    """A name with a unique part of its own, for a file whose unique part another one has as well."""
    unique = read_name(name).unique
    return f"{unique}-{inode:x}{name[len(unique) :]}"


def identity(unique: str) -> str:
    """The unique-id of the message with this unique name."""
    if _FIT(unique):
        return unique
    return "=" + hashlib.sha256(os.fsencode(unique)).hexdigest()[:48]


class Identities(Sequence[str]):
    """The unique-ids of the messages at these paths, made when they are asked for."""

    def __init__(self, paths: Sequence[str]) -> None:
        """`paths`: `new/NAME` or `cur/NAME`; they may change as long as the unique parts stay."""
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return Identities(self._paths[index])
        return identity(read_name(self._paths[index].partition("/")[2]).unique)

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))
