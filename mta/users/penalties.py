"""How long a refusal is kept back, so that guessing takes its time.

Each failed login counts against the address it came from (a /64 of IPv6, which is one customer's) and against
the account it was for; the refusal comes 2, 4, 8, then 15 seconds after the question, by whichever has failed
more often. Nothing is slept: a refusal is a timer. Whoever knows the password is answered at once, whatever
others did before, so a success has nothing to forgive; failures are forgotten when none came for a while.

Three bounds keep this from being turned against us. The tables forget the oldest when they are full. An
address that has failed may have only so many questions under way. And when too many refusals wait in all, the
one that has waited longest is let go, since each of them holds a connection.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Final

from mta.config.units import IPAddress
from mta.loop import Loop, Timer

DELAYS: Final = (2.0, 4.0, 8.0, 15.0)
"""Seconds from a question to its refusal, by the number of the failure; the last one repeats."""
FORGOTTEN_AFTER: Final = 600.0
"""Seconds without a failure."""
MOST_REMEMBERED: Final = 10_000
"""Addresses, and as many accounts."""
MOST_UNDER_WAY: Final = 8
"""Questions of one address that has failed."""
MOST_KEPT_BACK: Final = 1000
"""Refusals."""

Action = Callable[[], None]


def source_of(client: IPAddress) -> Hashable:
    """Who is behind this address, as far as it tells."""
    return client if client.version == 4 else int(client) >> 64


class Failures:
    """How often each of many failed of late; those who failed longest ago are forgotten first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()
        """The number, and the time of the last one."""

    def count(self, who: Hashable, now: float) -> int:
        """How many there were."""
        number, last = self._found.get(who, (0, now))
        return number if now - last < FORGOTTEN_AFTER else 0

    def add(self, who: Hashable, now: float) -> int:
        """One more; how many there are now."""
        number = self.count(who, now) + 1
        self._found[who] = (number, now)
        self._found.move_to_end(who)
        if len(self._found) > self._most:
            self._found.popitem(last=False)
        return number


class Penalties:
    """All of it is for the loop's thread."""

    def __init__(self, loop: Loop, delays: Sequence[float] = DELAYS) -> None:
        self._loop = loop
        self._delays = delays
        self._addresses = Failures(MOST_REMEMBERED)
        self._accounts = Failures(MOST_REMEMBERED)
        self._under_way: Counter[Hashable] = Counter()
        self._kept_back: OrderedDict[Timer, Action] = OrderedDict()
        self._hurried = False

    def admit(self, client: IPAddress) -> bool:
        """Whether a question from this address is taken now; if so, `release` it once it is answered."""
        source = source_of(client)
        failed = self._addresses.count(source, self._loop.clock())
        if failed and self._under_way[source] >= MOST_UNDER_WAY:
            return False
        self._under_way[source] += 1
        return True

    def release(self, client: IPAddress) -> None:
        """A question that was taken has been answered."""
        source = source_of(client)
        self._under_way[source] -= 1
        if self._under_way[source] <= 0:
            del self._under_way[source]

    def refuse(self, client: IPAddress, account: Hashable, asked: float, refusal: Action) -> None:
        """Do `refusal` when it is time; `asked`: when the question came, by the loop's clock."""
        now = self._loop.clock()
        number = max(self._addresses.add(source_of(client), now), self._accounts.add(account, now))
        delay = 0.0 if self._hurried else self._delays[min(number, len(self._delays)) - 1]
        timer = self._loop.call_at(asked + delay, lambda: self._let_go(timer))
        self._kept_back[timer] = refusal
        if len(self._kept_back) > MOST_KEPT_BACK:
            self._let_go(next(iter(self._kept_back)))

    def hurry(self) -> None:
        """Keep nothing back any more: the server stops."""
        self._hurried = True
        for timer in list(self._kept_back):
            self._let_go(timer)

    def _let_go(self, timer: Timer) -> None:
        timer.cancel()
        self._kept_back.pop(timer)()
