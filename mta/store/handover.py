"""Deliveries as plain values, and frames of them: how a message crosses into the committer's process.

Both ends are the same program of the same version, and nobody else can write to the line between them: what
is read from it may be trusted. Deliveries cross as tuples; objects would cost the loop three times as much.
"""

from __future__ import annotations

import pickle
import struct
from typing import Any, TypeAlias

from mta.store.delivery import Delivery, Text
from mta.store.envelope import Domain, Envelope, Mailbox, Recipient, Way

Packed: TypeAlias = tuple[Any, ...]
SealedFile: TypeAlias = tuple[str, int]
"""Name and octets."""

_LENGTH = struct.Struct("!I")


def frame(value: object) -> bytes:
    """A value with its length in front."""
    octets = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(octets)) + octets


def unframe(received: bytearray) -> list[Any]:
    """The values of all whole frames, which are removed from `received`."""
    values = []
    start = 0
    while len(received) - start >= _LENGTH.size:
        end = start + _LENGTH.size + _LENGTH.unpack_from(received, start)[0]
        if end > len(received):
            break
        with memoryview(received) as view, view[start + _LENGTH.size : end] as octets:
            values.append(pickle.loads(octets))
        start = end
    del received[:start]
    return values


def pack_delivery(delivery: Delivery) -> Packed:
    """All of it but what concerns this process alone. Its text is not copied here."""
    envelope = delivery.envelope
    recipients = [
        (each.address, *_pack_way(each.way), each.notify, each.orcpt, each.reverse_path, each.via)
        for each in envelope.recipients
    ]
    wishes = (envelope.ret, envelope.envid)
    return (
        (envelope.id, envelope.sender, envelope.arrived, recipients, dict(envelope.client), *wishes),
        delivery.trace,
        tuple(delivery.text),
        (delivery.octets, delivery.wire_size),
        [(draft.name, draft.octets) for draft in delivery.drafts],
    )


def unpack_delivery(packed: Packed) -> tuple[Delivery, list[SealedFile]]:
    """The delivery, and the files that were sealed for it."""
    (identifier, sender, arrived, recipients, *rest), trace, text, sizes, drafts = packed
    places = tuple(
        Recipient(address, _unpack_way(kind, name), *wishes) for address, kind, name, *wishes in recipients
    )
    delivery = Delivery(Envelope(identifier, sender, arrived, places, *rest), trace)
    delivery.text = Text(*text)
    delivery.octets, delivery.wire_size = sizes
    return delivery, drafts


def _pack_way(way: Way) -> tuple[str, str]:
    return ("mailbox", way.folder) if isinstance(way, Mailbox) else ("domain", way.name)


def _unpack_way(kind: str, name: str) -> Way:
    return Mailbox(name) if kind == "mailbox" else Domain(name)
