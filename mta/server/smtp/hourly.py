"""How much an account may send in an hour: who steals a password must not be able to do everything with it.

The hour slides: what was sent more than an hour ago counts no more, give or take a slot. What is kept is
a few numbers for each account that has sent something lately, and nothing outlives the process.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, NamedTuple

from mta.protocol.replies import Reply
from mta.users.account import Account

_SLOT: Final = 300
"""Seconds."""
_SLOTS: Final = 13
"""An hour, and the slot that has just begun: never more than the bound in any hour."""
_MOST: Final = 20_000
"""Accounts remembered."""


class _Sent(NamedTuple):
    slot: int
    messages: int
    recipients: int


class Hourly:
    """What all accounts have sent. For the loop's thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells seconds."""
        self._clock = clock
        self._sent: OrderedDict[int, deque[_Sent]] = OrderedDict()
        self.messages = 0
        self.recipients = 0
        """The bounds (`users.messages`, `users.recipients`)."""

    def lack_of_messages(self, account: Account) -> Reply | None:
        """The refusal of one more message, or None."""
        slots = self._slots(account)
        if sum(each.messages for each in slots) < self.messages:
            return None
        return self._refusal(f"{self.messages} messages", slots[0].slot)

    def lack_of_recipients(self, account: Account) -> Reply | None:
        """The refusal of one more recipient, or None."""
        slots = self._slots(account)
        if sum(each.recipients for each in slots) < self.recipients:
            return None
        return self._refusal(f"{self.recipients} recipients", slots[0].slot)

    def add(self, account: Account, *, messages: int = 0, recipients: int = 0) -> None:
        """So much more was sent."""
        slots, now = self._slots(account), int(self._clock()) // _SLOT
        last = slots.pop() if slots and slots[-1].slot == now else _Sent(now, 0, 0)
        slots.append(_Sent(now, last.messages + messages, last.recipients + recipients))
        self._sent[account.id] = slots
        self._sent.move_to_end(account.id)
        if len(self._sent) > _MOST:
            self._sent.popitem(last=False)

    def _slots(self, account: Account) -> deque[_Sent]:
        """What it has sent in the last hour, the oldest first."""
        slots = self._sent.get(account.id)
        if slots is None:
            return deque()
        oldest = int(self._clock()) // _SLOT - _SLOTS + 1
        while slots and slots[0].slot < oldest:
            slots.popleft()
        return slots

    def _refusal(self, what: str, oldest: int) -> Reply:
        seconds = (oldest + _SLOTS) * _SLOT - self._clock()
        minutes = max(1, -int(-seconds // 60))
        return Reply(
            452, "4.7.1", f"{what} in an hour are enough for one account, come again in {minutes} min"
        )
