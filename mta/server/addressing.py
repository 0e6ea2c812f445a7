"""Addressing: an SMTP host's half for the envelope. Senders and recipients are put to the policy, and what it
decides becomes the reply and the places of the message to come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mta.protocol.events import Recipient, Sender, Verify
from mta.protocol.replies import CANNOT_VERIFY, NO_SPACE, RECIPIENT_OK, SENDER_OK, Reply
from mta.store import Domain, Mailbox
from mta.store import Recipient as Place

if TYPE_CHECKING:
    from mta.server.smtp import SmtpHost

NO_ROOM_FOR_MAILBOX: Final = Reply(452, "4.2.2", "no room for another mailbox, try again later")
NO_ROOM_FOR_DOMAIN: Final = Reply(452, "4.3.1", "no room for another domain, try again later")


class Addressing:
    """Of one session: the envelope of its present transaction."""

    __slots__ = ("_host", "began", "recipients", "sender")

    def __init__(self, host: SmtpHost) -> None:
        self._host = host
        self.sender: Sender | None = None
        self.recipients: list[Place] = []
        self.began = 0.0

    def begin(self, event: Sender) -> None:
        """Answer MAIL."""
        host = self._host
        refusal = host.rules.policy.judge_sender(event.path)
        if refusal is None and not host.desk.has_space(event.size or 0):
            refusal = NO_SPACE
        if refusal is None:
            self.sender = event
            self.recipients = []
            self.began = host.desk.loop.clock()
        host.session.reply(refusal or SENDER_OK)

    def add(self, event: Recipient) -> None:
        """Answer RCPT."""
        session = self._host.session
        way = self._host.rules.policy.judge_recipient(event.address, session.trusted)
        refusal = way if isinstance(way, Reply) else self._lack_of_room(way)
        if refusal is None:
            assert not isinstance(way, Reply)
            self.recipients.append(Place(str(event.address), way, event.notify, event.orcpt))
        session.reply(refusal or RECIPIENT_OK)

    def verify(self, event: Verify) -> None:
        """Only what we know is a 250 (RFC 5321 3.5.3): who there is at other domains we do not."""
        way = self._host.rules.policy.judge_recipient(event.address, trusted=True)
        if isinstance(way, Mailbox):
            way = Reply(250, "2.1.5", f"<{event.address}>")
        self._host.session.reply(CANNOT_VERIFY if isinstance(way, Domain) else way)

    def _lack_of_room(self, way: Mailbox | Domain) -> Reply | None:
        """Strangers may cause only so many folders (limits.mailboxes, limits.domains)."""
        store, limits = self._host.desk.store, self._host.rules.settings.limits
        if isinstance(way, Mailbox):
            full = store.mailboxes >= limits.mailboxes and not store.has_mailbox(way.folder)
            return NO_ROOM_FOR_MAILBOX if full else None
        full = store.domains >= limits.domains and not store.has_domain(way.name)
        return NO_ROOM_FOR_DOMAIN if full else None
