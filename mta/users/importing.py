"""Many accounts at once: lines of text become rows, in portions.

Hashes that stand in the lines cost nothing. Passwords have to be hashed, and that is nearly all of the time
an import takes; a thread for each processor does it, as a hash lets other threads run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from mta.users import passwd
from mta.users.account import Key
from mta.users.accounts import Accounts
from mta.users.errors import Refused, UnfitName
from mta.users.names import fit
from mta.users.passwd import BadLine, Line
from mta.users.passwords import Secrets
from mta.users.people import Newcomer

_PORTION: Final = 1000
"""Lines of one transaction."""


@dataclass(slots=True)
class Outcome:
    """What has become of the lines so far."""

    lines: int = 0
    added: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    """Numbers of lines, and why; nothing secret stands there."""


class Import:
    """One import. `domains`: ours; an account at another one could get no mail."""

    def __init__(
        self,
        accounts: Accounts,
        domains: Sequence[str],
        domain: str,
        hashed: Callable[[str], Secrets],
        judged: Callable[[str], str | None],
        limit: int,
    ) -> None:
        """`domain`: of lines that name none. `hashed`: makes what is kept of a password; `judged`: why it can
        be none. `limit`: how many accounts there may be in the end."""
        self._accounts = accounts
        self._domains = frozenset(domains)
        self._domain = domain
        self._hashed = hashed
        self._judged = judged
        self._limit = limit
        self.outcome = Outcome()

    def run(self, lines: Iterable[bytes]) -> Iterator[Outcome]:
        """Add what the lines say; yields after each portion. Raises TooManyUsers, DatabaseDown: what was
        added until then stays."""
        numbered = enumerate(lines, 1)
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="hash") as pool:
            while portion := list(islice(numbered, _PORTION)):
                newcomers = pool.map(self._newcomer, self._fresh(portion))
                self._add(list(newcomers))
                self.outcome.lines = portion[-1][0]
                yield self.outcome

    def _add(self, newcomers: Sequence[Newcomer]) -> None:
        if newcomers:
            self._accounts.add_all(newcomers, self._limit)
            self.outcome.added += len(newcomers)

    def _fresh(self, portion: Sequence[tuple[int, bytes]]) -> list[Line]:
        """The accounts of these lines that can be added; why the others cannot is noted."""
        wanted: dict[Key, tuple[int, Line]] = {}
        for number, octets in portion:
            try:
                line = self._read(octets)
            except (BadLine, Refused) as error:
                self.outcome.refused.append((number, str(error)))
                continue
            if line is not None and wanted.setdefault(line.key, (number, line))[0] != number:
                self._exists(number, line)
        known = self._accounts.lookup(wanted)
        for number, line in wanted.values():
            if known[line.key].account is not None:
                self._exists(number, line)
        return [line for _, line in wanted.values() if known[line.key].account is None]

    def _exists(self, number: int, line: Line) -> None:
        self.outcome.refused.append((number, f"{line.name}@{line.domain} exists already"))

    def _read(self, octets: bytes) -> Line | None:
        try:
            line = passwd.read(octets.decode("utf-8"), self._domain)
        except UnicodeDecodeError as error:
            raise BadLine("it is not UTF-8") from error
        if line is None:
            return None
        fit(line.name)
        if line.domain not in self._domains:
            raise UnfitName(f"{line.domain} is not in local.domains")
        fault = self._judged(line.password) if line.secrets is None else None
        if fault is not None:
            raise BadLine(fault)
        return line

    def _newcomer(self, line: Line) -> Newcomer:
        """In a thread of the pool."""
        secrets = line.secrets if line.secrets is not None else self._hashed(line.password)
        return Newcomer(
            line.name,
            line.domain,
            secrets,
            line.role,
            enabled=line.enabled,
            quota_octets=line.quota_octets,
            quota_messages=line.quota_messages,
        )
