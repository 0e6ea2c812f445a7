"""The part of a report that programs read: message/delivery-status (RFC 3464 2), or its UTF-8 twin
message/global-delivery-status (RFC 6533 4) when an address is not ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from mta.relay.reporting.mime import Part, field
from mta.relay.reporting.told import Action, Told
from mta.relay.reporting.wording import date
from mta.store import Envelope

_hidden = re.compile(r"\+([0-9A-F]{2})")
_embedded = re.compile(r"\\x\{([0-9A-F]{1,6})\}")
_status = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}").fullmatch
_UNKNOWN: Final = {Action.FAILED: "5.0.0", Action.DELAYED: "4.0.0"}


def status_part(hostname: str, envelope: Envelope, told: Sequence[Told]) -> Part:
    """Fields of the message, then those of each recipient."""
    groups = ["".join(_of_message(hostname, envelope)), *("".join(_of_recipient(each)) for each in told)]
    octets = "\n".join(groups).encode()
    kind = "delivery-status" if octets.isascii() else "global-delivery-status"
    return Part(f"message/{kind}", octets, "Delivery report")


def _of_message(hostname: str, envelope: Envelope) -> Iterator[str]:
    """RFC 3464 2.2."""
    if envelope.envid:
        yield field("Original-Envelope-Id", decode_xtext(envelope.envid))
    yield field("Reporting-MTA", f"dns; {hostname}")
    yield field("Arrival-Date", date(envelope.arrived))


def _of_recipient(told: Told) -> Iterator[str]:
    """RFC 3464 2.3, in its order."""
    original = original_recipient(told.recipient.orcpt)
    if original:
        yield field("Original-Recipient", original)
    yield field("Final-Recipient", _typed(told.recipient.address))
    yield field("Action", told.action)
    yield field("Status", told.status if _status(told.status) else _UNKNOWN.get(told.action, "2.0.0"))
    if told.host:
        yield field("Remote-MTA", f"dns; {told.host}")
    if told.reply:
        yield field("Diagnostic-Code", f"smtp; {told.reply}")
    elif told.detail:
        yield field("Diagnostic-Code", f"x-mta; {told.detail}")
    if told.attempted is not None:
        yield field("Last-Attempt-Date", date(told.attempted))
    if told.until is not None and told.action is Action.DELAYED:
        yield field("Will-Retry-Until", date(told.until))


def _typed(address: str) -> str:
    return f"rfc822; {address}" if address.isascii() else f"utf-8; {address}"


def original_recipient(orcpt: str) -> str:
    r"""ORCPT as a report shows it: xtext decoded, and of type utf-8 the `\x{...}` too (RFC 6533 3, 4).

    It may hold any character: whoever writes it must make it harmless. Empty when it is none."""
    kind, separator, xtext = orcpt.partition(";")
    if not (separator and xtext):
        return ""
    address = decode_xtext(xtext)
    return f"{kind}; {_embedded.sub(_character, address) if kind.lower() == 'utf-8' else address}"


def decode_xtext(xtext: str) -> str:
    """RFC 3461 4; what is no xtext stays as it is."""
    return _hidden.sub(lambda found: chr(int(found[1], 16)), xtext)


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return chr(number) if number <= 0x10FFFF else found[0]
