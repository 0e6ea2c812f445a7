"""A courier: it takes letters of one domain to the exchangers of that domain, over one connection at a time.

    route      the hosts to try
    connect    to the first that answers; TLS as good as it comes
    carry      one letter after the other, the commands of the next in the segment of the text before, where
               the host allows that; when its own are used up, it asks for more
    part       QUIT

What is one letter's fault is told of that letter. What is the connection's goes to the next host, and when
none is left to the whole domain: the letters in hand are deferred and all others rest with the domain.

One letter at a time stands on the edge: the end of a text is not sent before what became of the letter before
is on disk. So whenever the relay is killed, at most one letter of each connection is sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from mta.config.units import Unfit
from mta.identifier import Identifiers
from mta.log.log import Log
from mta.loop import Loop
from mta.protocol.client.events import (
    ClientEvent,
    Decided,
    Failed,
    Fate,
    Fault,
    Ready,
    Refused,
    Stage,
    WantText,
)
from mta.protocol.client.session import ClientTerms, SmtpClient
from mta.relay.clock import SteadyClock
from mta.relay.connection import Cause, Connection, Unreached
from mta.relay.contexts import Contexts, Manner
from mta.relay.conversion.sevenbit import Unconvertible
from mta.relay.letters import Letter
from mta.relay.outcome import (
    Delivered,
    Never,
    Outcome,
    Reason,
    TryLater,
    another_host_may_help,
    judge,
)
from mta.relay.parcels import Loaded, Parcel
from mta.relay.routing.router import Router
from mta.relay.routing.routes import Decision, Hop, Route
from mta.relay.routing.targets import parse_target
from mta.relay.schedule import Schedule
from mta.relay.transcript import transcribe
from mta.relay.trip import NOWHERE, Bookkeeper, Trip
from mta.store import Helpers

MOST_LETTERS: Final = 16
"""Letters that a courier takes at once."""
_FEW: Final = 8
"""With so few letters left it looks for more, so that they are open when they are wanted."""

_STOPPED: Final = "the relay stops"

_OF_LETTER: Final = (Stage.DATA, Stage.TEXT, Stage.END)
"""When a connection breaks here, the letter may be what broke it: others may go through."""


@dataclass(slots=True)
class Desk:
    """What all couriers share."""

    loop: Loop
    clock: SteadyClock
    helpers: Helpers
    schedule: Schedule
    router: Router
    books: Bookkeeper
    contexts: Contexts
    identifiers: Identifiers
    log: Log
    hostname: bytes


class Courier:
    """One trip to a domain. `start` begins it; it ends by itself."""

    def __init__(self, desk: Desk, domain: str, ended: Callable[[Courier], None]) -> None:
        """`ended` is called when nothing is left to do, letters and connection being given back."""
        self.domain = domain
        self._desk = desk
        self._ended = ended
        self._parcels: deque[Parcel] = deque()
        self._loading = 0
        self._unrecorded = 0
        self._stopping = False
        self._via: str | None = None
        self._hops: deque[Hop] = deque()
        self._hop: Hop | None = None
        self._address = ""
        self._manner = Manner.CLEAR
        self._connection: Connection | None = None
        self._transcript: Callable[[float], None] | None = None
        self._ready = False
        self._is_asking = False
        self._current: Parcel | None = None
        self._next: Parcel | None = None
        """Given to the session behind the text of the current one."""
        self._awaited: Callable[[], None] | None = None
        self._cause: Cause = None
        self._carried = 0
        self._started = self._asked = self._sending = desk.loop.clock()
        self._dns_seconds = 0.0
        self._over = False

    def start(self, letters: Sequence[Letter]) -> None:
        """Go and take these letters."""
        self._load(letters)

    def check_time(self, now: float) -> None:
        """Called every now and then, monotonic seconds."""
        if self._connection is not None:
            self._connection.check_time(now)

    def stop(self) -> None:
        """Take no further letters; finish the one that is being sent."""
        self._stopping = True
        if self._ready:
            self._proceed()
        elif self._connection is None:
            self._end()

    def abandon(self) -> None:
        """Give up the one that is being sent too."""
        self.stop()
        if self._connection is not None:
            self._connection.abandon(_STOPPED)

    # letters

    def _load(self, letters: Sequence[Letter]) -> None:
        self._loading += len(letters)
        self._desk.books.load(self.domain, letters, self._loaded)

    def _loaded(self, letter: Letter, loaded: Loaded) -> None:
        self._loading -= 1
        if not isinstance(loaded, Parcel):
            self._desk.books.unreadable(self.domain, letter, loaded)
        elif self._over:
            self._give_back(loaded)
        else:
            self._take(loaded)
        if self._over:
            self._leave()
        elif self._ready:
            self._proceed()
        elif not self._loading and self._hop is None and not self._is_asking:
            self._find_route()

    def _take(self, parcel: Parcel) -> None:
        """All letters of a trip go the same way; one that is rerouted elsewhere waits for another trip."""
        if self._via is None:
            self._via = parcel.reroute
        if parcel.reroute == self._via:
            self._parcels.append(parcel)
        else:
            self._stopping = True
            self._give_back(parcel)

    def _replenish(self) -> None:
        if self._stopping or self._loading + len(self._parcels) >= _FEW:
            return
        letters = self._desk.schedule.more(self.domain, self._desk.clock(), MOST_LETTERS)
        if letters:
            self._load(letters)

    def _give_back(self, parcel: Parcel) -> None:
        if parcel.is_begun:
            self._record(parcel, parcel.outcomes(TryLater(Reason.INTERRUPTED)), NOWHERE)
            return
        parcel.close()
        self._desk.books.put_back(self.domain, (parcel.id,))

    def _put_back(self) -> None:
        while self._parcels:
            self._give_back(self._parcels.popleft())

    # the route

    def _find_route(self) -> None:
        if not self._parcels:
            self._end()
            return
        self._is_asking, self._asked = True, self._desk.loop.clock()
        try:
            via = (parse_target(self._via),) if self._via else ()
        except Unfit as error:
            self._decided(TryLater(Reason.LOCAL_FAULT, detail=f"reroute: {error}"))
        else:
            self._desk.router.find(self.domain, self._decided, via)

    def _decided(self, decision: Decision) -> None:
        self._is_asking = False
        self._dns_seconds = self._desk.loop.clock() - self._asked
        if self._over:
            return  # it was stopped meanwhile
        if isinstance(decision, Route):
            self._hops.extend(decision.hosts)
            self._next_hop()
        else:
            self._fail_as_a_whole(decision)

    def _next_hop(self) -> None:
        self._hop = self._hops.popleft()
        self._connect(self._desk.contexts.best(self._hop))

    def _connect(self, manner: Manner) -> None:
        hop = self._hop
        assert hop is not None
        self._manner = manner
        self._address = _shown(hop)
        terms = ClientTerms(
            self._desk.hostname,
            tls=manner.terms(hop),
            login=hop.login,
            login_in_clear=hop.address.is_loopback,
        )
        session, desk = SmtpClient(terms), self._desk
        self._transcript = transcribe(desk.log, session, desk.identifiers.next(), self._address, hop.name)
        self._connection = Connection(desk.loop, hop, desk.contexts.of(manner), session, self)
        self._connection.open()

    # Host of a Connection

    def handle(self, event: ClientEvent) -> None:
        """Answer one event."""
        match event:
            case Ready():
                self._ready = True
                self._proceed()
            case WantText():
                self._give_text()
            case Decided(fates):
                self._settle(fates)

    def ended(self, cause: Cause) -> None:
        """The connection is closed: was it the last of this trip?"""
        connection, hop = self._connection, self._hop
        assert connection is not None
        assert hop is not None
        self._connection, self._ready, self._awaited = None, False, None
        if self._transcript is not None:
            self._transcript(connection.seconds)
        if self._current is not None:  # it has no fate: it was given early, and not begun
            self._parcels.appendleft(self._current)
            self._current = None
        worse = self._desk.contexts.next_worse(hop, self._manner, connection, cause)
        if cause is None or self._carried or self._stopping:
            self._part(cause)
        elif worse is not None:
            self._connect(worse)
        elif self._hops and _is_of_host(cause):
            self._next_hop()
        else:
            self._give_up(cause)

    # carrying

    def _proceed(self) -> None:
        """The next letter, or the end."""
        connection = self._connection
        assert connection is not None
        self._replenish()
        if self._parcels and not self._stopping:
            self._ready = False
            self._sending = self._desk.loop.clock()
            self._current = self._hand_over(connection)
            connection.resume()
        elif not self._loading or self._stopping:
            self._ready = False
            connection.session.quit()
            connection.resume()

    def _hand_over(self, connection: Connection) -> Parcel:
        parcel = self._parcels.popleft()
        connection.session.send(parcel.mail())
        return parcel

    def _give_text(self) -> None:
        assert self._current is not None
        self._current.piece(self._desk.helpers, partial(self._read, self._current, self._connection))

    def _read(
        self, parcel: Parcel, connection: Connection | None, piece: bytes | OSError, last: bool
    ) -> None:
        if parcel is not self._current or connection is not self._connection or connection is None:
            return  # decided meanwhile
        if isinstance(piece, OSError):
            connection.session.abandon(str(piece))
            connection.resume()
        elif last and self._unrecorded:
            self._awaited = partial(self._say, connection, piece, last)
        else:
            self._say(connection, piece, last)

    def _say(self, connection: Connection, piece: bytes, last: bool) -> None:
        connection.session.text(piece, last=last)
        if last and self._carried and connection.session.takes_next:
            self._give_early(connection)
        connection.resume()

    def _give_early(self, connection: Connection) -> None:
        """The next letter. Not before one was taken: until then this may be the wrong host for them all."""
        self._replenish()
        if self._parcels and not self._stopping and self._current is not None and self._current.is_last:
            self._next = self._hand_over(connection)

    def _settle(self, fates: Sequence[Fate]) -> None:
        """The letter's fate is known."""
        parcel, self._current, self._next = self._current, self._next, None
        assert parcel is not None
        self._awaited = None
        self._judge(parcel, fates)
        self._sending = self._desk.loop.clock()

    def _judge(self, parcel: Parcel, fates: Sequence[Fate]) -> None:
        if self._hops and not self._carried and all(map(another_host_may_help, fates)):
            parcel.rewind()
            self._parcels.appendleft(parcel)
            return
        if all(map(_is_given_up_by_us, fates)):
            self._give_back(parcel)
            return
        if any(map(_wants_seven_bits, fates)):
            self._convert(parcel)
            return
        outcomes = [judge(fate) for fate in fates]
        now = self._desk.clock()
        if any(isinstance(outcome, TryLater) and outcome.slow for outcome in outcomes):
            self._desk.schedule.slowed(self.domain, now)
        if any(isinstance(outcome, Delivered) for outcome in outcomes):
            self._carried += 1
            self._desk.schedule.succeeded(self.domain, now)
        if parcel.is_last:
            self._record(parcel, parcel.outcomes(*outcomes), self._trip())
        else:
            parcel.keep(outcomes)
            self._parcels.appendleft(parcel)

    def _convert(self, parcel: Parcel) -> None:
        """Nothing of it was said yet; it goes again as a text that this host can take (RFC 6152 3)."""
        self._loading += 1
        parcel.convert(self._desk.helpers, partial(self._converted, parcel))

    def _converted(self, parcel: Parcel, trouble: Unconvertible | OSError | None) -> None:
        self._loading -= 1
        if trouble is not None:
            self._record(parcel, parcel.outcomes(_unsuited(trouble)), self._trip())
        elif self._over:
            self._give_back(parcel)
        else:
            self._parcels.appendleft(parcel)
        if self._over:
            self._leave()
        elif self._ready:
            self._proceed()

    def _record(self, parcel: Parcel, outcomes: Sequence[Outcome], trip: Trip) -> None:
        parcel.close()
        self._unrecorded += 1
        self._desk.books.record(parcel, outcomes, trip, self._recorded)

    def _recorded(self) -> None:
        self._unrecorded -= 1
        if not self._unrecorded and self._awaited is not None:
            say, self._awaited = self._awaited, None
            say()
        if self._over:
            self._leave()

    def _trip(self) -> Trip:
        connection, hop = self._connection, self._hop
        if connection is None or hop is None:
            return NOWHERE
        session = connection.session
        return Trip(
            host=hop.name,
            address=self._address,
            tls=connection.tls,
            certificate=self._desk.contexts.verdict(hop, self._manner) if connection.tls else "",
            dsn=session.features.dsn,
            dns_seconds=self._dns_seconds,
            connect_seconds=connection.connect_seconds,
            transfer_seconds=self._desk.loop.clock() - self._sending,
        )

    # the end

    def _part(self, cause: Cause) -> None:
        """The connection did what it could."""
        if isinstance(cause, Refused) and cause.reply.code == 421:
            self._desk.schedule.slowed(self.domain, self._desk.clock())
        self._end()

    def _give_up(self, cause: Cause) -> None:
        """No connection was of any use."""
        if _is_of_letter(cause):
            self._end()
        else:
            self._fail_as_a_whole(_outcome(cause))

    def _fail_as_a_whole(self, outcome: TryLater | Never) -> None:
        """Nobody takes, or ever will take, any letter of this domain."""
        if isinstance(outcome, Never):
            self._record_all(outcome)
            self._end()
            return
        if self._desk.schedule.failed(self.domain, outcome.reason.word, self._desk.clock()) is None:
            self._put_back()  # other connections work
        self._record_all(outcome)
        self._over = True
        self._leave()

    def _record_all(self, outcome: TryLater | Never) -> None:
        trip = Trip(host=self._hop.name) if self._hop else NOWHERE
        while self._parcels:
            parcel = self._parcels.popleft()
            self._record(parcel, parcel.outcomes(outcome), trip)

    def _end(self) -> None:
        """Well enough: what is left is for others."""
        if self._over:
            return
        self._put_back()
        self._over = True
        self._desk.schedule.closed(self.domain, self._desk.clock())
        self._leave()

    def _leave(self) -> None:
        """Once everything is given back and recorded; then nobody calls any more."""
        if not (self._loading or self._unrecorded):
            self._ended(self)


def _is_given_up_by_us(fate: Fate) -> bool:
    """The relay stopped before they could have taken it: it was no attempt."""
    return isinstance(fate, Failed) and fate.detail == _STOPPED and not fate.ambiguous


def _wants_seven_bits(fate: Fate) -> bool:
    return isinstance(fate, Failed) and fate.fault is Fault.NO_8BITMIME


def _unsuited(trouble: Unconvertible | OSError) -> TryLater | Never:
    """What becomes of a letter that could not be converted."""
    if isinstance(trouble, OSError):
        return TryLater(Reason.LOCAL_FAULT, detail=str(trouble))
    return Never("5.6.3", Reason.CANNOT_CARRY, detail=f"8BITMIME is not offered, and {trouble}")


def _is_of_host(cause: Cause) -> bool:
    """Whether the next host may be tried."""
    return isinstance(cause, Unreached) or (cause is not None and another_host_may_help(cause))


def _is_of_letter(cause: Cause) -> bool:
    return isinstance(cause, Refused | Failed) and cause.stage in _OF_LETTER


def _outcome(cause: Cause) -> TryLater | Never:
    """What the end of the last connection means for the letters that it should have carried."""
    assert cause is not None
    if isinstance(cause, Unreached):
        return TryLater(cause.reason, status="4.4.1", detail=cause.detail)
    outcome = judge(cause)
    assert not isinstance(outcome, Delivered)
    return outcome


def _shown(hop: Hop) -> str:
    """Address and port, for the log."""
    return f"[{hop.address}]:{hop.port}" if hop.address.version == 6 else f"{hop.address}:{hop.port}"
