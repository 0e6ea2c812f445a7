"""The host of an SMTP session: it answers what the session tells.

The way of a message is one line of calls: Sender and Recipient are put to the policy, Data begins a delivery,
Text goes into it, the last Text commits it, and the outcome is the reply. What must not happen in the loop
(writing a large message, committing any) is given to the store's threads, while the session waits.

This module must never parse what a client said nor touch a file.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from mta.counters import (
    MESSAGES_ACCEPTED,
    OCTETS_ACCEPTED,
    RECIPIENTS_ACCEPTED,
)
from mta.log import events as tell
from mta.protocol.events import Data, Discarded, Event, Recipient, Sender, StartTls, Text, Verify
from mta.protocol.replies import (
    CANNOT_VERIFY,
    GO_AHEAD,
    LOCAL_FAULT,
    NO_SPACE,
    NO_TLS,
    READY_FOR_TLS,
    RECIPIENT_OK,
    SENDER_OK,
    Reply,
    queued,
)
from mta.protocol.smtp_server import SmtpServer
from mta.server.connection import Transport
from mta.server.desk import Client, Desk, Rules
from mta.server.memory import MOST
from mta.server.reasons import reason_of
from mta.server.service import Left, Service
from mta.server.tls import TlsFilter
from mta.server.trace import Hop
from mta.store import (
    Delivery,
    Domain,
    Envelope,
    Failed,
    Mailbox,
    Reason,
    failure,
)
from mta.store import Recipient as Place

_LEAST_READ: Final = 4096
"""Octets read at once from a session that has no share of the memory left."""

NO_ROOM_FOR_MAILBOX: Final = Reply(452, "4.2.2", "no room for another mailbox, try again later")
NO_ROOM_FOR_DOMAIN: Final = Reply(452, "4.3.1", "no room for another domain, try again later")


class SmtpHost:
    """One session's host; the session and the connection belong to it."""

    __slots__ = (
        "_desk", "_left", "_on_disk", "_rules", "_share", "_tls", "_writing", "accepted", "began", "client",
        "connection", "delivery", "recipients", "sender", "session", "session_id", "started",
    )  # fmt: skip

    def __init__(self, desk: Desk, rules: Rules, client: Client, left: Left) -> None:
        """`left` is called once the connection is closed."""
        self._desk = desk
        self._rules = rules
        self._left = left
        self._share = 0
        self._tls: TlsFilter | None = None
        self._writing = False
        self._on_disk = False
        self.client = client
        self.session_id = desk.identifiers.next()
        self.session = SmtpServer(rules.terms(self.session_id, client.trusted, tls=False))
        self.session.rejected = self._rejected
        self.connection: Transport | None = None
        self.started = desk.loop.clock()
        self.began = 0.0
        self.accepted = 0
        self.sender: Sender | None = None
        self.recipients: list[Place] = []
        self.delivery: Delivery | None = None

    def serve(self, connection: Transport, refusal: Reply | None) -> None:
        """Greet the client, or refuse it, and go on until it leaves."""
        self.connection = connection
        tell.connected(self._desk.log, self.session_id, self.client.service, self.client.peer)
        self.transcribe(self._desk.log.transcript)
        if refusal is None:
            self.session.open()
        else:
            self.session.refuse(refusal)
        connection.open()

    def transcribe(self, on: bool) -> None:
        """Record every line from now on, or no longer."""
        if on == (self.session.transcript is not None):
            return
        self.session.transcript = self._transcribe if on else None
        if on:
            tell.transcript_started(self._desk.log, self.session_id, self.client.service, self.client.peer)

    # Host of a Connection

    def handle(self, event: Event) -> None:
        """Answer one event."""
        _ANSWERS[type(event)](self, event)

    def tls_established(self, tls: TlsFilter) -> None:
        self._tls = tls
        tell.tls_started(self._desk.log, self.session_id, tls.version, tls.cipher)

    def disconnected(self, reason: str) -> None:
        seconds = self._desk.loop.clock() - self.started
        tell.transcript_completed(self._desk.log, self.session_id, seconds)
        tell.closed(self._desk.log, self.session_id, reason, seconds, self.accepted)
        if not self._writing:
            self._abandon()
        self._left(self)

    def failed(self, defect: Exception) -> None:
        where = "".join(traceback.format_exception(defect))
        tell.fault(self._desk.log, f"serving session {self.session_id}", where, repr(defect))

    # the envelope

    def _answer_sender(self, event: Sender) -> None:
        self._abandon()
        refusal = self._rules.policy.judge_sender(event.path)
        if refusal is None and not self._desk.has_space(event.size or 0):
            refusal = NO_SPACE
        if refusal is None:
            self.sender = event
            self.recipients = []
            self.began = self._desk.loop.clock()
        self.session.reply(refusal or SENDER_OK)

    def _answer_recipient(self, event: Recipient) -> None:
        way = self._rules.policy.judge_recipient(event.address, self.session.trusted)
        refusal = way if isinstance(way, Reply) else self._lack_of_room(way)
        if refusal is None:
            assert not isinstance(way, Reply)
            self.recipients.append(Place(str(event.address), way, event.notify, event.orcpt))
        self.session.reply(refusal or RECIPIENT_OK)

    def _lack_of_room(self, way: Mailbox | Domain) -> Reply | None:
        """Strangers may cause only so many folders (limits.mailboxes, limits.domains)."""
        store, limits = self._desk.store, self._rules.settings.limits
        if isinstance(way, Mailbox):
            full = store.mailboxes >= limits.mailboxes and not store.has_mailbox(way.folder)
            return NO_ROOM_FOR_MAILBOX if full else None
        full = store.domains >= limits.domains and not store.has_domain(way.name)
        return NO_ROOM_FOR_DOMAIN if full else None

    def _answer_verify(self, event: Verify) -> None:
        """Only what we know is a 250 (RFC 5321 3.5.3): who there is at other domains we do not."""
        way = self._rules.policy.judge_recipient(event.address, trusted=True)
        if isinstance(way, Mailbox):
            way = Reply(250, "2.1.5", f"<{event.address}>")
        self.session.reply(CANNOT_VERIFY if isinstance(way, Domain) else way)

    # the message

    def _answer_data(self, _event: Data) -> None:
        assert self.sender is not None
        if not self._desk.has_space(self.sender.size or 0):
            self.session.reply(NO_SPACE)
            return
        self._reserve(self.sender.size)
        self._on_disk = False
        self.delivery = self._begin(self.sender)
        self.session.reply(GO_AHEAD)

    def _begin(self, sender: Sender) -> Delivery:
        identifier = self._desk.identifiers.next()
        client = {
            "address": self.client.host,
            "helo": self.session.helo.decode("utf-8", "replace"),
            "protocol": self.session.protocol,
            "body": sender.body,
            "smtputf8": sender.smtputf8,
        }
        envelope = Envelope(
            id=identifier,
            sender=str(sender.path),
            arrived=self._desk.trace.now(),
            recipients=tuple(self.recipients),
            client=client,
            ret=sender.ret,
            envid=sender.envid,
        )
        return Delivery(envelope, self._desk.trace.received(self._hop(identifier)))

    def _hop(self, identifier: str) -> Hop:
        only = self.recipients[0].address if len(self.recipients) == 1 else ""
        return Hop(
            helo=self.session.helo.decode("utf-8", "replace"),
            client=self.client.host,
            hostname=self._rules.settings.hostname,
            protocol=self.session.protocol,
            identifier=identifier,
            recipient=only,
            tls=f"{self._tls.version} {self._tls.cipher}" if self._tls else "",
        )

    def _take_text(self, event: Text) -> None:
        delivery = self.delivery
        assert delivery is not None
        delivery.add(event.crlf, event.lf)
        if event.last and not self._on_disk:
            self._commit(delivery)
        else:
            self._write(delivery, event.last)

    def _write(self, delivery: Delivery, last: bool) -> None:
        """Too large to wait in memory: to disk, and nothing more from this client until it is there."""
        assert self.connection is not None
        self.connection.hold()
        self._writing = self._on_disk = True
        write = self._desk.store.seal if last else self._desk.store.append
        self._desk.helpers.run(
            partial(write, delivery, delivery.take()), partial(self._written, delivery, last)
        )

    def _written(self, delivery: Delivery, last: bool, result: OSError | None) -> None:
        assert self.connection is not None
        self._writing = False
        if self.connection.closed:
            self._abandon()
            return
        if isinstance(result, OSError):
            self._abandon()
            (self.session.reply if last else self.session.discard)(self._lament(delivery, failure(result)))
        elif last:
            self._commit(delivery)
        self.connection.release()

    def _commit(self, delivery: Delivery) -> None:
        self.delivery = None  # from here on it is the committer's
        self._desk.committer.submit(delivery, self._committed)

    def _committed(self, delivery: Delivery) -> None:
        """The message is durable, or nothing is left of it."""
        assert self.connection is not None
        self._release()
        if isinstance(delivery.outcome, Failed):
            self._remove(delivery)
            self.session.reply(self._lament(delivery, delivery.outcome))
        else:
            self._desk.store.note_stored(delivery)
            if delivery.in_letter:
                self._tell_relay(delivery)
            self._count(delivery)
            self.session.reply(queued(delivery.envelope.id))
        self.connection.resume()

    def _tell_relay(self, delivery: Delivery) -> None:
        for way in delivery.ways:
            if isinstance(way, Domain):
                self._desk.hints.add(way.name, delivery.envelope.id)

    def _lament(self, delivery: Delivery, failed: Failed) -> Reply:
        """Tell the operator what is wrong with the disk, and the client to come again."""
        tell.fault(self._desk.log, "storing a message", delivery.envelope.id, failed.text)
        return NO_SPACE if failed.reason is Reason.NO_SPACE else LOCAL_FAULT

    def _count(self, delivery: Delivery) -> None:
        self.accepted += 1
        envelope, desk = delivery.envelope, self._desk
        desk.row.add(MESSAGES_ACCEPTED)
        desk.row.add(OCTETS_ACCEPTED, delivery.wire_size)
        desk.row.add(RECIPIENTS_ACCEPTED, len(envelope.recipients))
        tell.accepted(
            desk.log,
            envelope.id,
            self.session_id,
            self.client.peer,
            envelope.sender,
            [recipient.address for recipient in envelope.recipients],
            delivery.wire_size,
            desk.loop.clock() - self.began,
            self._tls.version if self._tls else None,
        )

    def _discard(self, _event: Discarded) -> None:
        self._abandon()

    def _rejected(self, command: bytes, reply: Reply) -> None:
        self._desk.row.add(reason_of(reply))
        tell.rejected(self._desk.log, self.session_id, self.client.peer, command, reply.text)

    # TLS

    def _answer_starttls(self, _event: StartTls) -> None:
        assert self.connection is not None
        if self._rules.context is None:
            self.session.reply(NO_TLS)
        else:
            self.session.reply(READY_FOR_TLS)
            self.connection.start_tls(self._rules.context)

    # what is held

    def _reserve(self, size: int | None) -> None:
        assert self.connection is not None
        self._share = self._desk.memory.reserve(MOST if size is None else size + 1)
        self.session.hold = self._share
        self.connection.limit_reading(max(_LEAST_READ, self._share))

    def _release(self) -> None:
        self._desk.memory.release(self._share)
        self._share = 0

    def _abandon(self) -> None:
        """Forget a delivery that will not be committed."""
        delivery, self.delivery = self.delivery, None
        if delivery is None:
            return
        self._release()
        self._remove(delivery)

    def _remove(self, delivery: Delivery) -> None:
        if self._on_disk:
            self._desk.helpers.run(partial(self._desk.store.abort, delivery), self._aborted)

    def _aborted(self, result: OSError | None) -> None:
        if isinstance(result, OSError):
            tell.fault(self._desk.log, "removing an unfinished message", self.session_id, result)

    def _transcribe(self, direction: str, line: bytes) -> None:
        told = tell.transcript_sent if direction == "S" else tell.transcript_received
        told(self._desk.log, self.session_id, line)


_ANSWERS: Final[dict[type, Callable[[SmtpHost, Any], None]]] = {
    Sender: SmtpHost._answer_sender,
    Recipient: SmtpHost._answer_recipient,
    Data: SmtpHost._answer_data,
    Text: SmtpHost._take_text,
    Discarded: SmtpHost._discard,
    Verify: SmtpHost._answer_verify,
    StartTls: SmtpHost._answer_starttls,
}

SMTP: Final = Service(
    receive=SmtpHost,
    refuse=lambda reply: reply.octets,
    timeout=lambda settings: settings.limits.timeout,
)
"""Mail from other servers."""
