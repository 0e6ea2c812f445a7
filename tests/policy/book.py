"""Books without a database: accounts and aliases as a test writes them down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from mta.policy import Asker, Book, Goal, Policy, Step
from mta.protocol.address import NULL_PATH, Address, parse_path
from mta.protocol.replies import Reply
from mta.store import Way
from mta.users.account import NOBODY, Account, Entry, Role
from mta.users.srs import Srs

LOCAL, SECOND, FOREIGN = "local.example", "second.example", "foreign.example"

POLICY = Policy(
    local_domains=frozenset({LOCAL, SECOND}),
    relay_domains=frozenset({"backup.example"}),
    relay_from=(),
    any_mailbox=False,
    subaddress="+",
    any_sender=True,
    home_domain=LOCAL,
)
OPEN = replace(POLICY, any_mailbox=True)
"""Every name is a mailbox."""
STRANGER, TRUSTED = Asker(trusted=False), Asker(trusted=True)


class Notebook(Book):
    """Knows everything at once."""

    def __init__(
        self,
        accounts: Iterable[Account] = (),
        aliases: Mapping[str, Iterable[str]] | None = None,
        administrator: Account | None = None,
    ) -> None:
        self._accounts = {(each.name, each.domain): each for each in accounts}
        self._aliases = {
            (local, domain): tuple(targets)
            for address, targets in (aliases or {}).items()
            for local, _, domain in [address.rpartition("@")]
        }
        self._administrator = administrator
        self.asked: list[tuple[str, str]] = []

    def entry(self, local: str, domain: str) -> Entry:
        self.asked.append((local, domain))
        found = Entry(self._accounts.get((local, domain)), self._aliases.get((local, domain), ()))
        return found if found.account or found.targets else NOBODY

    def administrator(self) -> Account | None:
        return self._administrator

    def srs(self) -> Srs:
        return Srs(b"secret", 20_000)


def account(address: str, *, folder: str = "", **others: object) -> Account:
    """An account that is enabled and has no quota."""
    name, _, domain = address.rpartition("@")
    made = Account(hash(address), name, domain, folder or name, Role.USER, True, 0, 0)
    return replace(made, **others)  # type: ignore[arg-type]  # the fields of one test


def address_of(text: str) -> Address:
    """An address as it stands between the brackets of a path."""
    parsed = parse_path(f"<{text}>".encode())
    assert parsed is not None, text
    return parsed[0]


def judge(
    recipient: str,
    book: Book,
    policy: Policy = POLICY,
    *,
    sender: str = "someone@foreign.example",
    trusted: bool = False,
    trace: list[Step] | None = None,
) -> tuple[Goal, ...] | Reply:
    """Where mail for this address goes, or the refusal: the same, whether or not anybody asks why."""
    asker = Asker(trusted, None, address_of(sender) if sender else NULL_PATH)
    steps: list[Step] = [] if trace is None else trace
    verdict = policy.judge_recipient(address_of(recipient), asker, book, steps)
    assert policy.judge_recipient(address_of(recipient), asker, book) == verdict
    return verdict if isinstance(verdict, Reply) else tuple(verdict)


def ways(verdict: tuple[Goal, ...] | Reply) -> list[Way] | Reply:
    """Only where it goes."""
    return verdict if isinstance(verdict, Reply) else [goal.way for goal in verdict]
