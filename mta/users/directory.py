"""The loop's view of the accounts: a cache that answers at once or says that it cannot.

What is asked for stays, whether there is such an address or not, until it changes: a thread of the
directory's own reads twice a second what was changed, by whatever process, and forgets that here. So an
answer is never older than a second, and none is asked for twice. When the database does not answer, what is
known stays good.

Everything that goes to the database goes through that one thread, in order: an answer that was read before a
change can not arrive after the news of it. Questions that come while it is busy are asked together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from mta.config.units import IPAddress
from mta.loop import Loop
from mta.users.account import NOBODY, Account, Ban, Entry, Key
from mta.users.bans import Bans
from mta.users.errors import DatabaseDown

if TYPE_CHECKING:  # for whoever only wants to know what NotCached is
    from mta.users.accounts import Accounts
    from mta.users.changes import Changes, Mark

T = TypeVar("T")
Down = DatabaseDown | None
Ask = Callable[[], Callable[[], None]]
"""Asks the database; what it returns is done in the loop."""

MOST_KNOWN: Final = 200_000
MOST_UNKNOWN: Final = 20_000
"""Bounds of the cache; strangers can ask for as many addresses as they like that do not exist."""

_INTERVAL: Final = 0.5
"""Seconds between looks at what was changed."""


class NotCached(Exception):
    """These are not known yet: `fetch` them and ask again."""

    def __init__(self, keys: Iterable[Key]) -> None:
        super().__init__()
        self.keys = tuple(keys)


class _Fetch(NamedTuple):
    keys: tuple[Key, ...]
    done: Callable[[Down], None]


class Directory:
    """Everything here is for the loop's thread, and returns at once."""

    def __init__(
        self, loop: Loop, accounts: Accounts, fault: Callable[[str], None], interval: float = _INTERVAL
    ) -> None:
        """`fault`: told in the loop, once, when the database does not answer any more."""
        self._known: dict[Key, Entry] = {}
        self._unknown: dict[Key, Entry] = {}
        self._bans = Bans()
        self._jobs: SimpleQueue[_Fetch | Ask | None] = SimpleQueue()
        self._reader = _Reader(self, loop, accounts, self._jobs, fault, interval)

    def __len__(self) -> int:
        return len(self._known) + len(self._unknown)

    def entry(self, local: str, domain: str) -> Entry:
        """What the database says of this address. Raises NotCached."""
        key = local, domain
        found = self._known.get(key) or self._unknown.get(key)
        if found is None:
            raise NotCached((key,))
        return found

    def fetch(self, keys: Iterable[Key], done: Callable[[Down], None]) -> None:
        """Look these up, then say so; never before this returns."""
        self._jobs.put(_Fetch(tuple(keys), done))

    def ask(self, question: Callable[[], T], done: Callable[[T | DatabaseDown], None]) -> None:
        """Put this question (a method of Accounts, say) to the database, then tell the answer."""

        def asked() -> Callable[[], None]:
            try:
                return partial(done, question())
            except DatabaseDown as down:
                return partial(done, down)

        self._jobs.put(asked)

    def sender_addresses(
        self, account: Account, done: Callable[[frozenset[str] | DatabaseDown], None]
    ) -> None:
        """The addresses that this account may send as: its own, and aliases that lead to it alone."""
        self.ask(lambda: self._reader.sender_addresses(account), done)

    def ban_of(self, address: IPAddress) -> Ban | None:
        """The ban that this client is under."""
        return self._bans.of(address, time.time())

    def is_banned_user(self, user: str) -> bool:
        """Whether `name@domain` may not log in."""
        return self._bans.of_user(user, time.time()) is not None

    def close(self) -> None:
        """Nobody is told anything any more. Does not wait: a question may take long and changes nothing."""
        self._reader.close()
        self._jobs.put(None)

    # what the reader brings, in the loop

    def learn(self, entries: Mapping[Key, Entry]) -> None:
        """Remember these, and forget the oldest where there are too many."""
        for key, entry in entries.items():
            if entry is NOBODY:
                self._unknown[key] = entry
            else:
                self._known[key] = entry
        _shrink(self._known, MOST_KNOWN)
        _shrink(self._unknown, MOST_UNKNOWN)

    def forget(self, changes: Changes) -> None:
        """What was changed is not known any more."""
        if changes.everything:
            self._known.clear()
            self._unknown.clear()
        for key in changes.keys:
            self._known.pop(key, None)
            self._unknown.pop(key, None)

    def use_bans(self, bans: Bans) -> None:
        """These are in force now."""
        self._bans = bans


def _shrink(entries: dict[Key, Entry], most: int) -> None:
    while len(entries) > most:
        del entries[next(iter(entries))]


class _Reader:
    """The thread: asks the database, and brings the answers to the loop."""

    def __init__(
        self,
        directory: Directory,
        loop: Loop,
        accounts: Accounts,
        jobs: SimpleQueue[_Fetch | Ask | None],
        fault: Callable[[str], None],
        interval: float,
    ) -> None:
        self._directory = directory
        self._loop = loop
        self._accounts = accounts
        self._jobs = jobs
        self._fault = fault
        self._interval = interval
        self._mark: Mark | None = None
        self._down = False
        self._ending = Lock()
        self._ended = False
        Thread(target=self._run, name="directory", daemon=True).start()

    def close(self) -> None:
        """From the loop's thread."""
        with self._ending:
            self._ended = True

    def sender_addresses(self, account: Account) -> frozenset[str]:
        """As the database has it now."""
        return frozenset((account.address, *self._accounts.aliases_of(account)))

    # the thread

    def _run(self) -> None:
        finished = False
        try:
            self._serve()
            finished = True
        finally:
            if not finished:
                self._bring(_died)

    def _serve(self) -> None:
        due = 0.0
        while not self._ended:
            if time.monotonic() >= due:
                self._poll()
                due = time.monotonic() + self._interval
            self._do(self._waiting(due))

    def _waiting(self, due: float) -> list[_Fetch | Ask | None]:
        """All that there is to do, once there is something or the next look is due."""
        jobs: list[_Fetch | Ask | None] = []
        try:
            jobs.append(self._jobs.get(timeout=max(0.0, due - time.monotonic())))
            while True:
                jobs.append(self._jobs.get_nowait())
        except Empty:
            return jobs

    def _do(self, jobs: Iterable[_Fetch | Ask | None]) -> None:
        fetches = []
        for job in jobs:
            if isinstance(job, _Fetch):
                fetches.append(job)
            elif job is not None:
                self._bring(job())
        if fetches:
            self._fetch(fetches)

    def _fetch(self, fetches: list[_Fetch]) -> None:
        down: Down = None
        try:
            entries = self._accounts.lookup([key for fetch in fetches for key in fetch.keys])
            self._bring(partial(self._directory.learn, entries))
        except DatabaseDown as error:
            down = error
        for fetch in fetches:
            self._bring(partial(fetch.done, down))

    def _poll(self) -> None:
        try:
            changes = self._accounts.changes_since(self._mark)
            bans = Bans(self._accounts.bans()) if changes.bans else None
        except DatabaseDown as error:
            if not self._down:
                self._down = True
                self._bring(partial(self._fault, str(error)))
            return
        self._down = False
        if bans is not None:
            self._bring(partial(self._directory.use_bans, bans))
        if changes.everything or changes.keys:
            self._bring(partial(self._directory.forget, changes))
        self._mark = changes.mark

    def _bring(self, result: Callable[[], None]) -> None:
        # The loop may be gone by now, and its descriptor belong to somebody else.
        with self._ending:
            if not self._ended:
                self._loop.post(result)


def _died() -> None:
    raise RuntimeError("the directory ended in a mistake; its traceback is on standard error")
