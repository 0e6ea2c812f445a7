"""Who a message is from and where it goes: the values a store is handed.

A way is where a recipient's copy ends for us: a Maildir folder of ours, or the folder of letters for a
foreign domain. The names in a way become file names, so this is the one gate for them: no value of these
types exists whose name could leave the tree, follow anything or hide. Whoever maps addresses to ways
(policy, accounts) has refused strange names long before; a ValueError here is a fault of the program.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from mta import identifier

_PART = re.compile(r"[^\W_][\w.=+-]*")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]")
_MAILDIR = frozenset(("tmp", "new", "cur"))
_NAME_MAX = 255


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A Maildir of ours. `folder` is a local part, or `domain/local part` for an account whose local part
    was taken."""

    folder: str

    def __post_init__(self) -> None:
        parts = self.folder.split("/")
        # The second part stands where the first one, were it a mailbox too, has its own three folders.
        hidden = len(parts) == 2 and parts[1] in _MAILDIR
        if not all(map(_is_part, parts)) or len(parts) > 2 or hidden:
            raise ValueError(f"no mailbox has the folder {self.folder!r}")

    def __str__(self) -> str:
        return self.folder


@dataclass(frozen=True, slots=True)
class Domain:
    """A foreign domain as lower-case A-labels, without the final dot: its letters wait for the relay."""

    name: str

    def __post_init__(self) -> None:
        if _DOMAIN.fullmatch(self.name) is None:
            raise ValueError(f"{self.name!r} is no domain in lower-case A-labels")

    def __str__(self) -> str:
        return f"@{self.name}"


Way: TypeAlias = Mailbox | Domain

CONFIRMATIONS: Final = Domain("confirmations.invalid")
"""Where a message waits whose sender wants to hear of success here: the relay makes the report. There can be
no such domain (RFC 6761 6.4). A recipient with this way is an alias that was expanded (RFC 3461 5.2.7.3)."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One accepted forward-path, and its way."""

    address: str
    way: Way
    notify: str = ""
    """What the sender wants to be told of it: `NEVER`, or some of `SUCCESS,FAILURE,DELAY` (RFC 3461 4.1)."""
    orcpt: str = ""
    """The address it was sent to first: `rfc822;xtext` (RFC 3461 4.2)."""
    reverse_path: str = ""
    """What this copy leaves with, where that is not the sender: a forwarded one has our own, so that its
    bounces come to us first; empty: the sender's."""
    via: str = ""
    """The alias of ours by which it is forwarded; empty for what was addressed to where it goes."""

    def __post_init__(self) -> None:
        if self.via or self.reverse_path:
            _check_line(self.via)
            _check_line(self.reverse_path)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is known of a message besides its text. It never leaves this machine."""

    id: str
    """Twenty characters of `mta.identifier`."""
    sender: str
    """The reverse-path without its angle brackets; empty for `<>`."""
    arrived: float
    """Epoch seconds."""
    recipients: tuple[Recipient, ...]
    client: Mapping[str, object] = field(default_factory=dict)
    """How it came: helo, address, protocol, body, smtputf8 and the like. JSON values only."""
    ret: str = ""
    """What a report returns: `FULL` or `HDRS` (RFC 3461 4.3); empty when the sender did not say."""
    envid: str = ""
    """The sender's own name for the message: xtext (RFC 3461 4.4)."""

    def __post_init__(self) -> None:
        if identifier.PATTERN.fullmatch(self.id) is None:
            raise ValueError(f"{self.id!r} is no identifier")
        _check_line(self.sender)
        if not self.recipients:
            raise ValueError("a message for nobody")

    @property
    def ways(self) -> tuple[Way, ...]:
        """Each way once, in the order of the recipients: two recipients in one mailbox are one copy. Success
        to be confirmed is a way more, so that the commit of a message makes sure of the report too."""
        ways = dict.fromkeys(recipient.way for recipient in self.recipients)
        if self.at(CONFIRMATIONS):
            ways[CONFIRMATIONS] = None
        return tuple(ways)

    def at(self, domain: Domain) -> Sequence[Recipient]:
        """Those for whom the letter in the folder of this domain stands."""
        if domain != CONFIRMATIONS:
            return [each for each in self.recipients if each.way == domain]
        return [each for each in self.recipients if self.sender and _is_to_be_confirmed(each)]


def _is_to_be_confirmed(recipient: Recipient) -> bool:
    is_here = isinstance(recipient.way, Mailbox) or recipient.way == CONFIRMATIONS
    return is_here and "SUCCESS" in recipient.notify


def _check_line(path: str) -> None:
    path.encode()  # what UTF-8 cannot express (a lone surrogate) is a ValueError here already
    if _UNSENDABLE.search(path) is not None:
        raise ValueError(f"the path {path!r} would break its header line")


def _is_part(part: str) -> bool:
    return (
        _PART.fullmatch(part) is not None
        and part == part.lower()
        and unicodedata.is_normalized("NFC", part)
        and len(part.encode()) <= _NAME_MAX
    )
