"""Addressing: an SMTP host's half for the envelope. Senders and recipients are put to the policy, and what it
decides becomes the reply and the places of the message to come.

What the policy wants to know may have to be looked up first, and how full a mailbox is, counted. The session
stays paused meanwhile, nobody else waits, and the question is asked again. When the database does not answer,
that is 451 and never 550.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from mta.log import events as tell
from mta.policy import Asker, Book, Counts, Goal, lack_of_quota, lack_of_room
from mta.protocol.address import NULL_PATH, Address
from mta.protocol.events import Recipient, Sender, Verify
from mta.protocol.replies import (
    CANNOT_VERIFY,
    LOCAL_FAULT,
    NO_SPACE,
    RECIPIENT_OK,
    SENDER_OK,
    TOO_MANY_RECIPIENTS,
    Reply,
)
from mta.protocol.smtp.parameters import original_recipient
from mta.store import CONFIRMATIONS, Domain, Mailbox, NotCounted
from mta.store import Recipient as Place
from mta.users.directory import NotCached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mta.log.log import Log
    from mta.policy import Trace, Tree
    from mta.protocol.smtp.server import SmtpServer
    from mta.server.connection import Transport
    from mta.server.desk import Rules
    from mta.server.smtp.hourly import Hourly
    from mta.users.account import Account, Key
    from mta.users.errors import DatabaseDown


class Bookshelf(Book, Protocol):
    """Books in which something may be missing."""

    def fetch(self, keys: Iterable[Key], done: Callable[[DatabaseDown | None], None]) -> None:
        """What NotCached named; then `done`."""


class Scales(Counts, Protocol):
    """How full mailboxes are, some of them not counted yet."""

    def count(self, mailbox: Mailbox, done: Callable[[OSError | None], None]) -> None:
        """What NotCounted named; then `done`."""


class Clock(Protocol):
    @property
    def clock(self) -> Callable[[], float]: ...


class Office(Protocol):
    """The desk, as far as an envelope is concerned."""

    @property
    def books(self) -> Bookshelf: ...
    @property
    def usage(self) -> Scales: ...
    @property
    def hourly(self) -> Hourly: ...
    @property
    def store(self) -> Tree: ...
    @property
    def log(self) -> Log: ...
    @property
    def loop(self) -> Clock: ...
    def has_space(self, octets: int = 0) -> bool: ...


class Visit(Protocol):
    """The host of a session, as far as an envelope is concerned: the server's, or one that `mta explain`
    makes up."""

    @property
    def desk(self) -> Office: ...
    @property
    def rules(self) -> Rules: ...
    @property
    def session(self) -> SmtpServer: ...
    @property
    def account(self) -> Account | None: ...
    @property
    def connection(self) -> Transport | None: ...


_MOST_ROUNDS: Final = 50
"""Look-ups for one answer; more of them mean that the cache forgets faster than we ask."""
_MOST_PLACES: Final = 10_000
"""Places of one message, whatever aliases make of its recipients."""
_NOBODY_YET: Final = Asker(trusted=False)


class Addressing:
    """Of one session: the envelope of its present transaction."""

    __slots__ = ("_asker", "_host", "_named", "_outside", "_rounds", "began", "recipients", "sender", "trace")

    def __init__(self, host: Visit, trace: Trace | None = None) -> None:
        """`trace`: what is decided is added to it, with what decided it."""
        self._host = host
        self.trace = trace
        self._asker = _NOBODY_YET
        self._rounds = 0
        self._named: Address | None = None
        """The recipient as it was named last."""
        self._outside: set[str] | None = None
        """Addresses at other domains: a letter knows its recipients by them."""
        self.sender: Sender | None = None
        self.recipients: list[Place] = []
        self.began = 0.0

    @property
    def only(self) -> str:
        """The recipient as it was named, if there was only one; several are not told to each other."""
        return str(self._named) if self._host.session.recipients == 1 else ""

    @property
    def aliases(self) -> set[str]:
        """By which the message is going to be forwarded."""
        return {place.via for place in self.recipients if place.via}

    # MAIL

    def begin(self, event: Sender) -> None:
        """Answer MAIL."""
        host = self._host
        asker = Asker(host.session.trusted, host.account, event.path)
        try:
            refusal = host.rules.policy.judge_sender(asker, host.desk.books, self.trace)
        except NotCached as missing:
            self._look_up(missing, event.path, partial(self.begin, event))
            return
        if refusal is None and host.account is not None:
            refusal = host.desk.hourly.lack_of_messages(host.account)
        if refusal is None and not host.desk.has_space(event.size or 0):
            refusal = NO_SPACE
        if refusal is None:
            self._open(event, asker)
        self._reply(refusal or SENDER_OK)

    def _open(self, event: Sender, asker: Asker) -> None:
        self.sender = event
        self.recipients = []
        self.began = self._host.desk.loop.clock()
        self._asker = asker
        self._outside = None

    # RCPT

    def add(self, event: Recipient) -> None:
        """Answer RCPT."""
        try:
            reply = self._judge(event)
        except NotCached as missing:
            self._look_up(missing, event.address, partial(self.add, event))
        except NotCounted as wanted:
            again = partial(self._counted, wanted.mailbox, partial(self.add, event))
            self._host.desk.usage.count(wanted.mailbox, again)
        else:
            self._reply(reply)

    def _judge(self, event: Recipient) -> Reply:
        host = self._host
        policy = host.rules.policy
        verdict = policy.judge_recipient(event.address, self._asker, host.desk.books, self.trace)
        if isinstance(verdict, Reply):
            return verdict
        refusal = self._lack(verdict)
        if refusal is not None:
            return refusal
        if self._asker.account is not None:
            host.desk.hourly.add(self._asker.account, recipients=1)
        self._take(event, verdict)
        return RECIPIENT_OK

    def _take(self, event: Recipient, goals: Sequence[Goal]) -> None:
        self._named = event.address
        if len(goals) > 1 and "SUCCESS" in event.notify and self._asker.sender != NULL_PATH:
            event = self._expand(event)
        for goal in goals:
            if type(goal.way) is not Domain or self._is_new(goal.address):
                self.recipients.append(_place(goal, event))

    def _is_new(self, address: str) -> bool:
        """Whether an address at another domain has not been named before; from now on it has."""
        if self._outside is None:
            self._outside = set()  # not before: most sessions never need one, and idle ones are to be small
        if address in self._outside:
            return False
        self._outside.add(address)
        return True

    def _expand(self, event: Recipient) -> Recipient:
        """Success with an address that stands for several is that it was expanded; of the copies nothing but
        trouble is told any more (RFC 3461 5.2.7.3)."""
        self.recipients.append(Place(str(event.address), CONFIRMATIONS, "SUCCESS", event.orcpt))
        others = [wish for wish in event.notify.split(",") if wish != "SUCCESS"]
        return event._replace(notify=",".join(others) or "NEVER")

    # what there is no room for

    def _lack(self, goals: Sequence[Goal]) -> Reply | None:
        if len(self.recipients) + len(goals) > _MOST_PLACES:
            return TOO_MANY_RECIPIENTS
        account = self._asker.account
        if account is not None and (refusal := self._host.desk.hourly.lack_of_recipients(account)):
            return refusal
        store, limits = self._host.desk.store, self._host.rules.settings.limits
        for goal in goals:
            refusal = lack_of_room(goal.way, store, limits, self.trace) or self._lack_of_quota(goal)
            if refusal is not None:
                return refusal
        return None

    def _lack_of_quota(self, goal: Goal) -> Reply | None:
        assert self.sender is not None
        return lack_of_quota(goal, self._host.desk.usage, self.sender.size or 0, self.trace)

    # DATA

    def close(self) -> Reply | None:
        """There are no more recipients; the refusal of the text to come, or None."""
        account = self._asker.account
        if account is None:
            return None
        hourly = self._host.desk.hourly
        refusal = hourly.lack_of_messages(account)
        if refusal is None:
            hourly.add(account, messages=1)
        return refusal

    # VRFY

    def verify(self, event: Verify) -> None:
        """Only what we know is a 250 (RFC 5321 3.5.3): who there is at other domains we do not."""
        host = self._host
        try:
            verdict = host.rules.policy.judge_recipient(event.address, Asker(trusted=True), host.desk.books)
        except NotCached as missing:
            self._look_up(missing, event.address, partial(self.verify, event))
            return
        if isinstance(verdict, Reply):
            self._reply(verdict)
        elif event.address.domain in host.rules.policy.local_domains:
            self._reply(Reply(250, "2.1.5", f"<{event.address}>"))
        else:
            self._reply(CANNOT_VERIFY)

    # waiting

    def _look_up(self, missing: NotCached, address: Address, again: Callable[[], None]) -> None:
        """The session waits until it is known what is missing, then the question is asked again."""
        keys: Iterable[Key] = missing.keys
        if keys:
            keys = {*keys, *self._host.rules.policy.keys_of(address)}
        self._rounds += 1
        if self._rounds > _MOST_ROUNDS:
            self._reply(LOCAL_FAULT)
        else:
            self._host.desk.books.fetch(keys, partial(self._looked_up, again))

    def _looked_up(self, again: Callable[[], None], down: DatabaseDown | None) -> None:
        connection = self._host.connection
        assert connection is not None
        if connection.closed:
            return
        if down is not None:
            self._reply(LOCAL_FAULT)
        else:
            again()
        connection.resume()

    def _counted(self, mailbox: Mailbox, again: Callable[[], None], error: OSError | None) -> None:
        connection = self._host.connection
        assert connection is not None
        if error is not None:
            tell.fault(self._host.desk.log, "counting a mailbox", mailbox.folder, error)
        if connection.closed:
            return
        if error is not None:
            self._reply(LOCAL_FAULT)
        else:
            again()
        connection.resume()

    def _reply(self, reply: Reply) -> None:
        self._rounds = 0
        self._host.session.reply(reply)


def _place(goal: Goal, event: Recipient) -> Place:
    if not goal.via:
        return Place(goal.address, goal.way, event.notify, event.orcpt)
    orcpt = event.orcpt or original_recipient(str(event.address))
    return Place(goal.address, goal.way, event.notify, orcpt, goal.reverse_path, goal.via)
