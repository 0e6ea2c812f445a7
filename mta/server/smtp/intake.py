"""The intake: an SMTP host's half for the text of messages, from DATA to the outcome.

Data begins a delivery, Text goes into it, the last Text commits it, and the outcome is the reply. What must
not happen in the loop (writing a large message, committing any) is given to the store's threads, while the
session waits. Who sends to whom was decided before, by `addressing`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from mta.counters import MESSAGES_ACCEPTED, OCTETS_ACCEPTED, RECIPIENTS_ACCEPTED
from mta.log import events as tell
from mta.policy import BEEN_HERE
from mta.protocol.events import Text
from mta.protocol.replies import GO_AHEAD, LOCAL_FAULT, NO_SPACE, Reply, queued
from mta.protocol.smtp.header import Header
from mta.server.memory import MOST
from mta.server.smtp.fields import Fields, been_here, completion
from mta.server.smtp.trace import Hop
from mta.store import Delivery, Domain, Envelope, Failed, Reason, failure

if TYPE_CHECKING:
    from mta.server.smtp.host import SmtpHost

SUBMISSION_SERVICES: Final = ("submission", "submissions")
_LEAST_READ: Final = 4096
"""Octets read at once from a session that has no share of the memory left."""


class Intake:
    """Of one session."""

    __slots__ = ("_delivery", "_header", "_host", "_on_disk", "_share", "_writing")

    def __init__(self, host: SmtpHost) -> None:
        self._host = host
        self._delivery: Delivery | None = None
        self._header: Header | None = None
        """Of a message whose header matters, until all of it was seen."""
        self._share = 0
        self._on_disk = False
        self._writing = False

    def begin(self) -> Reply:
        """The reply to Data; the transaction has a sender and recipients."""
        host = self._host
        sender = host.envelope.sender
        assert sender is not None
        if not host.desk.has_space(sender.size or 0):
            return NO_SPACE
        self._reserve(sender.size)
        self._on_disk = False
        self._delivery = self._new_delivery()
        self._header = Header() if self._is_submission or host.envelope.aliases else None
        return GO_AHEAD

    @property
    def _is_submission(self) -> bool:
        return self._host.client.service in SUBMISSION_SERVICES

    def _new_delivery(self) -> Delivery:
        host, opened = self._host, self._host.envelope
        sender = opened.sender
        assert sender is not None
        identifier = host.desk.identifiers.next()
        client = {
            "address": host.client.host,
            "helo": host.session.helo.decode("utf-8", "replace"),
            "protocol": host.session.protocol,
            "body": sender.body,
            "smtputf8": sender.smtputf8,
        }
        if host.account is not None:
            client["submitter"] = host.account.address
        envelope = Envelope(
            id=identifier,
            sender=str(sender.path),
            arrived=host.desk.trace.now(),
            recipients=tuple(opened.recipients),
            client=client,
            ret=sender.ret,
            envid=sender.envid,
        )
        return Delivery(envelope, host.desk.trace.received(self._hop(identifier)))

    def _hop(self, identifier: str) -> Hop:
        host = self._host
        return Hop(
            helo=host.session.helo.decode("utf-8", "replace"),
            client=host.client.host,
            hostname=host.rules.settings.hostname,
            protocol=host.session.protocol,
            identifier=identifier,
            recipient=host.envelope.only,
            tls=f"{host.tls.version} {host.tls.cipher}" if host.tls else "",
        )

    def take(self, event: Text) -> None:
        """A piece of the text."""
        delivery = self._delivery
        assert delivery is not None
        delivery.add(event.crlf, event.lf)
        if self._header is not None and not self._inspect(self._header, delivery, event):
            return
        if event.last and not self._on_disk:
            self._commit(delivery)
        else:
            self._write(delivery, event.last)

    def _inspect(self, header: Header, delivery: Delivery, event: Text) -> bool:
        """Whether the text may go on: not before all of the header is here, and not in a circle."""
        if not header.feed(event.lf, last=event.last):
            return False
        self._header = None
        fields = header.fields()
        if been_here(fields, self._host.envelope.aliases):
            self._refuse(BEEN_HERE, event.last)
            return False
        if self._is_submission:
            delivery.trace += self._missing(delivery, header, fields)
        return True

    def _missing(self, delivery: Delivery, header: Header, fields: Fields) -> bytes:
        host, envelope = self._host, delivery.envelope
        present = {
            b"date": host.desk.trace.date(),
            b"message-id": f"<{envelope.id}@{host.rules.settings.hostname}>",
            b"from": envelope.sender,
        }
        return completion(present, header, fields)

    def _refuse(self, reply: Reply, last: bool) -> None:
        self.abandon()
        (self._host.session.reply if last else self._host.session.discard)(reply)

    def _write(self, delivery: Delivery, last: bool) -> None:
        """Too large to wait in memory: to disk, and nothing more from this client until it is there."""
        host = self._host
        assert host.connection is not None
        host.connection.hold()
        self._writing = self._on_disk = True
        write = host.desk.store.seal if last else host.desk.store.append
        host.desk.helpers.run(
            partial(write, delivery, delivery.take()), partial(self._written, delivery, last)
        )

    def _written(self, delivery: Delivery, last: bool, result: OSError | None) -> None:
        host = self._host
        assert host.connection is not None
        self._writing = False
        if host.connection.closed:
            self.abandon()
            return
        if isinstance(result, OSError):
            self._refuse(self._lament(delivery, failure(result)), last)
        elif last:
            self._commit(delivery)
        host.connection.release()

    def _commit(self, delivery: Delivery) -> None:
        self._delivery = None  # from here on it is the committer's
        self._host.desk.committer.submit(delivery, self._committed)

    def _committed(self, delivery: Delivery) -> None:
        """The message is durable, or nothing is left of it."""
        host = self._host
        assert host.connection is not None
        self._release()
        if isinstance(delivery.outcome, Failed):
            self._remove(delivery)
            host.session.reply(self._lament(delivery, delivery.outcome))
        else:
            host.desk.store.note_stored(delivery)
            host.desk.usage.note(delivery.ways, delivery.octets + len(delivery.trace))
            if delivery.in_letter:
                self._tell_relay(delivery)
            self._count(delivery)
            host.session.reply(queued(delivery.envelope.id))
        host.connection.resume()

    def _tell_relay(self, delivery: Delivery) -> None:
        for way in delivery.ways:
            if isinstance(way, Domain):
                self._host.desk.hints.add(way.name, delivery.envelope.id)

    def _lament(self, delivery: Delivery, failed: Failed) -> Reply:
        """Tell the operator what is wrong with the disk, and the client to come again."""
        tell.fault(self._host.desk.log, "storing a message", delivery.envelope.id, failed.text)
        return NO_SPACE if failed.reason is Reason.NO_SPACE else LOCAL_FAULT

    def _count(self, delivery: Delivery) -> None:
        host, desk, envelope = self._host, self._host.desk, delivery.envelope
        host.messages += 1
        desk.row.add(MESSAGES_ACCEPTED)
        desk.row.add(OCTETS_ACCEPTED, delivery.wire_size)
        desk.row.add(RECIPIENTS_ACCEPTED, len(envelope.recipients))
        tell.accepted(
            desk.log,
            envelope.id,
            host.session_id,
            host.client.peer,
            envelope.sender,
            [recipient.address for recipient in envelope.recipients],
            delivery.wire_size,
            desk.loop.clock() - host.envelope.began,
            host.tls.version if host.tls else None,
            host.account.address if host.account else None,
            [str(recipient.way) for recipient in envelope.recipients],
            [recipient.via for recipient in envelope.recipients if recipient.via],
        )

    # what is held

    def _reserve(self, size: int | None) -> None:
        host = self._host
        assert host.connection is not None
        self._share = host.desk.memory.reserve(MOST if size is None else size + 1)
        host.session.hold = self._share
        host.connection.limit_reading(max(_LEAST_READ, self._share))

    def _release(self) -> None:
        self._host.desk.memory.release(self._share)
        self._share = 0

    def leave(self) -> None:
        """The connection is closed: forget the delivery, unless it is being written, which sees to it."""
        if not self._writing:
            self.abandon()

    def abandon(self) -> None:
        """Forget a delivery that will not be committed."""
        delivery, self._delivery = self._delivery, None
        if delivery is None:
            return
        self._release()
        self._remove(delivery)

    def _remove(self, delivery: Delivery) -> None:
        if self._on_disk:
            desk = self._host.desk
            desk.helpers.run(partial(desk.store.abort, delivery), self._aborted)

    def _aborted(self, result: OSError | None) -> None:
        if isinstance(result, OSError):
            host = self._host
            tell.fault(host.desk.log, "removing an unfinished message", host.session_id, result)
