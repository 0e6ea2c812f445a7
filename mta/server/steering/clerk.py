"""What the administration protocol orders about users, done with the accounts in the database. All of it
blocks: for helper threads.

Users are named as at a login: `name` at the first local domain, or `name@domain`. Every outcome is an Answer
in the protocol's words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from mta.config import Settings
from mta.protocol.management.verbs import AddUser, DeleteUser, ResetPassword
from mta.users import passwords
from mta.users.account import Account, Key
from mta.users.accounts import Accounts
from mta.users.errors import (
    AlreadyExists,
    DatabaseDown,
    LastAdministrator,
    NotFound,
    Refused,
    TooManyUsers,
    UnfitName,
)
from mta.users.names import key_of_user

UserOrder = AddUser | DeleteUser | ResetPassword


class Answer(NamedTuple):
    """A reply: +OK or -ERR, its text, and the lines that follow bare."""

    ok: bool
    text: str
    lines: tuple[str, ...] = ()


_REFUSALS: Final[Mapping[type[Refused], str]] = {
    AlreadyExists: "USER ALREADY EXISTS",
    TooManyUsers: "MAX USERS REACHED",
    NotFound: "USER NOT FOUND",
    LastAdministrator: "ADMIN CANNOT BE DELETED",
}


class Clerk:
    """Works for one session, by the settings in force when it is asked."""

    def __init__(self, accounts: Accounts, settings: Settings) -> None:
        self._accounts = accounts
        self._settings = settings
        self._home = settings.local.domains[0]

    def answer(self, work: Callable[[], Answer]) -> Answer:
        """Do it; what cannot be is an answer too."""
        try:
            return work()
        except UnfitName as error:
            return Answer(False, f"UNFIT NAME: {error}")
        except Refused as error:
            return Answer(False, _REFUSALS.get(type(error), str(error)))
        except DatabaseDown:
            return Answer(False, "TRY AGAIN LATER: THE DATABASE DOES NOT ANSWER")

    def users(self) -> Answer:
        """Bare names for the first local domain."""
        names = tuple(self._called(account) for account in self._accounts.users())
        return Answer(True, "USERS", (f"USER COUNT: {len(names)}", "USER LIST:", *names))

    def count(self, told: Callable[[int], tuple[str, ...]], text: str) -> Answer:
        """An answer with the number of users in it."""
        return Answer(True, text, told(self._accounts.count()))

    def has_at_most(self, number: int) -> Answer:
        """Whether there could be a limit of so many users."""
        present = self._accounts.count()
        if number < present:
            return Answer(False, f"BELOW THE PRESENT NUMBER OF USERS: {present}")
        return Answer(True, "")

    def perform(self, order: UserOrder) -> Answer:
        """Raises what `answer` makes replies of."""
        return _WORK[type(order)](self, order)

    def change(self, account: Account, password: str) -> Answer:
        """A new password for somebody who has shown to know the old one."""
        fault = self._fault_of(password)
        if fault is not None:
            return fault
        self._set(account, password)
        return Answer(True, "CHANGE_PASSWORD", ("PASSWORD CHANGED SUCCESSFULLY",))

    # orders

    def _add(self, order: AddUser) -> Answer:
        fault = self._fault_of(order.password)
        if fault is not None:
            return fault
        name, domain = self._key(order.user)
        if domain not in self._settings.local.domains:
            raise UnfitName(f"{domain} is not a domain of ours")
        made = passwords.make_secrets(order.password, scram=self._settings.users.scram)
        self._accounts.add(name, domain, made, limit=self._settings.limits.users)
        return Answer(True, "ADD_USER", ("USER ADDED SUCCESSFULLY",))

    def _delete(self, order: DeleteUser) -> Answer:
        self._accounts.delete(self._found(order.user).id)
        return Answer(True, "DELETE_USER", ("USER DELETED SUCCESSFULLY",))

    def _reset(self, order: ResetPassword) -> Answer:
        account = self._found(order.user)
        password = account.name if self._settings.users.reset == "name" else passwords.generate()
        self._set(account, password)
        lines = ("PASSWORD RESET SUCCESSFULLY", f"NEW PASSWORD = {password}")
        return Answer(True, "RESET_USER_PASSWORD", lines)

    # accounts

    def _found(self, user: str) -> Account:
        account = self._accounts.find(*self._key(user))
        if account is None:
            raise NotFound(user)
        return account

    def _key(self, user: str) -> Key:
        return key_of_user(user, self._home)

    def _called(self, account: Account) -> str:
        return account.name if account.domain == self._home else account.address

    def _set(self, account: Account, password: str) -> None:
        made = passwords.make_secrets(password, scram=self._settings.users.scram)
        self._accounts.set_secrets(account.id, made)

    def _fault_of(self, password: str) -> Answer | None:
        least = self._settings.users.password_min
        if len(password) < least:
            return Answer(False, "PASSWORD TOO SHORT")
        fault = passwords.fault_of(password, least)
        return None if fault is None else Answer(False, f"UNFIT PASSWORD: {fault}")


_WORK: Final[Mapping[type, Callable[[Clerk, Any], Answer]]] = {
    AddUser: Clerk._add,
    DeleteUser: Clerk._delete,
    ResetPassword: Clerk._reset,
}
