"""The guard: decides who may log in, and takes its time with those who may not.

It works for the loop: questions come from it and verdicts are given in it, while two threads do the hashing
and ask the database. More than `MOST_WAITING` questions at once are not taken, so that a storm of guesses
costs a bounded amount of work and of memory.

What a stranger can learn is the same for every wrong answer. An unknown user costs one hash like a known one,
a disabled or banned one is refused like a wrong password, and the refusal of all of them comes at a moment
that does not depend on what was found: so long after the question, by how often this address and this account
failed before (`penalties`). Who knows the password is never kept waiting for others' failures.

It never knows protocols, sessions or sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, TypeVar

from mta.config.units import IPAddress
from mta.log import events as tell
from mta.log.log import Log
from mta.loop import Loop
from mta.protocol.scram import Verifier
from mta.store.threads import Helpers
from mta.users import passwords, scram
from mta.users.account import Account, Key
from mta.users.accounts import Accounts
from mta.users.directory import Directory
from mta.users.errors import DatabaseDown
from mta.users.names import key_of_user
from mta.users.passwords import Secrets
from mta.users.penalties import DELAYS, Penalties

T = TypeVar("T")

MOST_WAITING: Final = 200
THREADS: Final = 2


@dataclass(frozen=True, slots=True)
class Granted:
    account: Account


@dataclass(frozen=True, slots=True)
class Refused:
    """`why` is for the log: the client must not be able to tell one reason from another."""

    why: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Too many questions wait; come again later."""


@dataclass(frozen=True, slots=True)
class Down:
    """The database does not answer; `text` says why, for the log."""

    text: str


Verdict: TypeAlias = Granted | Refused | Busy | Down
Told: TypeAlias = Callable[[Verdict], None]


class Guard:
    """All methods are called in the loop's thread; `done` is called there too, never before they return."""

    def __init__(
        self,
        loop: Loop,
        accounts: Accounts,
        directory: Directory,
        log: Log,
        delays: Sequence[float] = DELAYS,
    ) -> None:
        """`delays`: seconds that refusals take, as `penalties` has them."""
        self._loop = loop
        self._accounts = accounts
        self._directory = directory
        self._log = log
        self._penalties = Penalties(loop, delays)
        self._helpers = Helpers(THREADS, loop.post)
        self._waiting = 0
        self._domains: tuple[str, ...] = ()
        self._scram = False
        self._secret = b""

    def configure(self, domains: Sequence[str], *, scram: bool) -> None:
        """`domains`: ours, the first one for users that name none; `scram`: verifiers are wanted."""
        self._domains = tuple(domains)
        self._scram = scram

    def check(self, user: str, password: str, client: IPAddress, done: Told) -> None:
        """May `user` (`name`, or `name@domain`) log in with this password from this address?"""
        key = self._key(user)
        self._ask(lambda: self._verify(key, password), key, client, done)

    def verifier(self, user: str, client: IPAddress, done: Callable[[Verifier | Busy | Down], None]) -> None:
        """What SCRAM is to be spoken by with `user`: an invented one for users that have none."""
        if not self._takes(client):
            self._loop.post(lambda: done(Busy()))
            return
        key = self._key(user)

        def found(result: Verifier | Down | OSError) -> None:
            self._waiting -= 1
            self._penalties.release(client)
            done(_expected(result))

        self._helpers.run(lambda: self._find_verifier(key), found)

    def admit(self, user: str, client: IPAddress, proven: bool, done: Told) -> None:
        """May `user` log in, who has `proven` to know the password, or failed to?"""
        key = self._key(user)
        self._ask(lambda: self._look_up(key, proven), key, client, done)

    def hurry(self) -> None:
        """The server stops: keep no refusal back."""
        self._penalties.hurry()

    def close(self) -> None:
        """Finish what the threads are at. Blocks; the results are with the loop when it returns."""
        self._helpers.close()

    # in the loop

    def _key(self, user: str) -> Key:
        return key_of_user(user, self._domains[0])

    def _takes(self, client: IPAddress) -> bool:
        if self._waiting >= MOST_WAITING or not self._penalties.admit(client):
            return False
        self._waiting += 1
        return True

    def _ask(self, look: Callable[[], Verdict], key: Key, client: IPAddress, done: Told) -> None:
        """Have it looked up in a thread, then answer, or answer later."""
        if not self._takes(client):
            self._loop.post(lambda: done(Busy()))
            return
        asked = self._loop.clock()

        def answer(verdict: Verdict) -> None:
            self._penalties.release(client)
            done(verdict)

        def looked_up(result: Verdict | OSError) -> None:
            self._waiting -= 1
            verdict = self._unless_banned(_expected(result), key, client)
            if isinstance(verdict, Refused):
                self._penalties.refuse(client, key, asked, lambda: answer(verdict))
            else:
                answer(verdict)

        self._helpers.run(look, looked_up)

    def _unless_banned(self, verdict: Verdict, key: Key, client: IPAddress) -> Verdict:
        if not isinstance(verdict, Granted):
            return verdict
        if self._directory.is_banned_user("@".join(key)) or self._directory.ban_of(client) is not None:
            return Refused("banned")
        return verdict

    # in a thread

    def _verify(self, key: Key, password: str) -> Verdict:
        try:
            found = self._find(key)
            # An unknown user costs a hash too, by which nobody can tell.
            verified = passwords.verify(found[1].hash if found else passwords.NOBODYS, password)
            if found is None:
                return Refused("no such user")
            if not verified.ok:
                return Refused("wrong password")
            return self._enter(*found, password, renew=verified.renew)
        except DatabaseDown as error:
            return Down(str(error))

    def _enter(self, account: Account, kept: Secrets, password: str, *, renew: bool) -> Verdict:
        """The password is right."""
        if not account.enabled:
            return Refused("disabled")
        if renew or self._scram != bool(kept.scram):
            self._renew(account, kept, password)
        return Granted(account)

    def _renew(self, account: Account, kept: Secrets, password: str) -> None:
        """Keep the password by our own rules; that it cannot be done now keeps nobody out."""
        try:
            new = passwords.make_secrets(password, scram=self._scram)
            self._accounts.renew_secrets(account.id, kept, new)
        except DatabaseDown as error:
            what = "renewing the hash of a password"
            self._loop.post(partial(tell.fault, self._log, what, account.address, str(error)))

    def _look_up(self, key: Key, proven: bool) -> Verdict:
        try:
            found = self._find(key)
        except DatabaseDown as error:
            return Down(str(error))
        if found is None or not proven:
            return Refused("wrong password" if found else "no such user")
        return Granted(found[0]) if found[0].enabled else Refused("disabled")

    def _find_verifier(self, key: Key) -> Verifier | Down:
        try:
            self._secret = self._secret or self._accounts.secret("scram")
            found = self._find(key)
        except DatabaseDown as error:
            return Down(str(error))
        invented = scram.decoy(self._secret, "@".join(key))
        return (scram.parse(found[1].scram) if found else None) or invented

    def _find(self, key: Key) -> tuple[Account, Secrets] | None:
        """Raises DatabaseDown."""
        local, domain = key
        if domain not in self._domains or "\0" in local:  # which no database takes
            return None
        return self._accounts.secrets_of(local, domain)


def _expected(result: T | OSError) -> T | Down:
    return Down(str(result)) if isinstance(result, OSError) else result
