"""What an operator sees of the queue: lists, single letters, and why they wait. Values for JSON.

Reasons come from the schedule as far as it has tried letters itself, and from their statuses otherwise; of
those only so many are read for one answer.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, NamedTuple

from mta.relay.letters import Letter
from mta.relay.outcome import Reason
from mta.relay.reporting.told import QUOTED
from mta.relay.requests.errand import OnDisk, breathe
from mta.relay.requests.wanted import Filter
from mta.relay.schedule import Schedule
from mta.relay.schedule import State as DomainState
from mta.store import Entry, OpenLetter, Queue, State
from mta.store.letters.queue import Opened

Message = dict[str, Any]
Opener = Callable[[Sequence[Entry]], list[Opened]]

PAGE: Final = 1000
"""Letters looked at for one page of a list."""
PIECE: Final = 256 << 10
"""Octets of a message in one answer."""
_LISTED: Final = 5
"""Recipients of a letter in a list."""
_HEADER: Final = 16 << 10
"""Octets of a header that are shown."""
_MOST_DOMAINS: Final = 20_000
"""Domains in one answer, those with the most letters first."""
_MOST_READ: Final = 10_000
"""Statuses read for one answer."""
_AT_ONCE: Final = 5000
"""Letters walked through in one turn of the loop: some ten milliseconds."""

NEW: Final = "new"
"""In the place of a reason: it waits for its turn."""
UNKNOWN: Final = "not-tried-yet"
"""In the place of a reason: this run has not tried it, and its status was not read."""
FINISHING: Final = "finishing"
"""In the place of a reason: a report on it is being made."""

_OTHERS: Final = {
    NEW: ("waiting for its turn", "nothing to do"),
    UNKNOWN: ("not tried since the server started", "nothing to do, or `mta queue retry`"),
    FINISHING: ("a report to the sender is being made", "nothing to do"),
}


def in_words(word: str) -> tuple[str, str]:
    """What happened and what to do about it, for the word of a reason; that of another version is shown."""
    try:
        reason = Reason.of(word)
    except KeyError:
        return _OTHERS.get(word, (word, ""))
    return reason.text, reason.advice


@dataclass(frozen=True, slots=True)
class Scene:
    """How things stand at the moment of a request."""

    now: float
    """Epoch seconds of the relay's clock."""
    states: Mapping[str, DomainState]
    is_out: Callable[[str, str], bool]
    enabled: bool
    works: bool
    """Somebody sends letters; not so on a locked tree."""
    errors: bool = False
    """It is about the error folders."""

    def of_errors(self) -> Scene:
        """The same moment there."""
        return replace(self, states={}, errors=True)


def reason_of(letter: OpenLetter) -> str:
    """Why it waits, as its last attempt says: the word of a reason; empty when it was never tried."""
    return next((s.reason for s in _standings(letter) if s.state is not State.DELIVERED), "")


def _standings(letter: OpenLetter) -> Iterator[Any]:
    known = letter.status.recipients
    return (known[each.address] for each in letter.recipients if each.address in known)


# lists


async def page(queue: Queue, scene: Scene, wanted: Filter, after: tuple[str, str]) -> Message:
    """The next letters of a list, which goes by domain and identifier, and where to go on; None: it is at its
    end."""
    domains = [wanted.domain] if wanted.domain else await OnDisk(queue.domains)
    look, open_all = (queue.kept, queue.open_kept) if wanted.errors else (queue.letters, queue.open)
    rows: list[Message] = []
    looked_at = 0
    for domain in [each for each in domains if each >= after[0]]:
        entries = await OnDisk(_in_order, look, domain, after)
        some = entries[: PAGE - looked_at]
        rows += await OnDisk(_rows, open_all, some, scene, wanted)
        looked_at += len(some)
        if looked_at >= PAGE:
            return _page(rows, scene, [domain, some[-1].id])
    return _page(rows, scene, None)


def _page(rows: list[Message], scene: Scene, after: list[str] | None) -> Message:
    return {"status": 0, "letters": rows, "after": after, "now": scene.now}


def _in_order(
    look: Callable[[str], Iterator[list[Entry]]], domain: str, after: tuple[str, str]
) -> list[Entry]:
    found = (entry for entries in look(domain) for entry in entries)
    return sorted((e for e in found if (domain, e.id) > after), key=lambda entry: entry.id)


def _rows(open_all: Opener, entries: Sequence[Entry], scene: Scene, wanted: Filter) -> list[Message]:
    """In a helper thread."""
    scene = scene.of_errors() if wanted.errors else scene
    rows = []
    for start in range(0, len(entries), 100):  # each has a descriptor
        for letter in open_all(entries[start : start + 100]):
            if isinstance(letter, OpenLetter):
                with letter:
                    row = _row(letter, scene)
                    if _fits(letter, row, scene, wanted):
                        rows.append(row)
    return rows


def _row(letter: OpenLetter, scene: Scene) -> Message:
    entry = letter.entry
    reason = _reason(letter, scene)
    recipients = [each.address for each in letter.recipients if scene.errors or each in letter.waiting]
    return {
        "domain": entry.domain,
        "id": entry.id,
        "state": _state(entry, scene),
        "sender": letter.envelope.sender,
        "recipients": recipients[:_LISTED],
        "more": max(0, len(recipients) - _LISTED),
        "octets": letter.length,
        "arrived": letter.envelope.arrived,
        "attempts": letter.status.attempts,
        "next": _next(entry, scene),
        "reason": reason,
        "text": letter.status.note if scene.errors and letter.status.note else in_words(reason)[0],
    }


def _state(entry: Entry, scene: Scene) -> str:
    if scene.errors:
        return "error"
    if scene.is_out(entry.domain, entry.id):
        return "sending"
    return "held" if entry.is_held else FINISHING if entry.is_unfinished else "waiting"


def _reason(letter: OpenLetter, scene: Scene) -> str:
    entry = letter.entry
    if scene.errors:
        return reason_of(letter)
    if entry.is_held:
        return Reason.HELD.word
    if entry.is_unfinished:
        return FINISHING
    if not scene.enabled:
        return Reason.DISABLED.word
    state = scene.states.get(entry.domain)
    return reason_of(letter) or (state.error if state else "") or NEW


def _next(entry: Entry, scene: Scene) -> float | None:
    """When it is tried next, epoch seconds, perhaps past; None: not before somebody does something."""
    if scene.errors or entry.is_held or not scene.enabled:
        return None
    state = scene.states.get(entry.domain)
    domain = state.next_attempt if state else None
    return max(entry.due or 0, domain or scene.now)


def _fits(letter: OpenLetter, row: Message, scene: Scene, wanted: Filter) -> bool:
    return (
        _is_address(wanted.sender, [row["sender"]])
        and _is_address(wanted.recipient, [each.address for each in letter.recipients])
        and (not wanted.older or scene.now - row["arrived"] >= wanted.older)
        and wanted.reason in ("", row["reason"])
    )


def _is_address(wanted: str, addresses: Iterable[str]) -> bool:
    """Whether one of them is the wanted address, or at the wanted `@domain`."""
    if not wanted:
        return True
    wanted = "" if wanted == "<>" else wanted.casefold()
    if wanted.startswith("@"):
        return any(address.casefold().endswith(wanted) for address in addresses)
    return any(address.casefold() == wanted for address in addresses)


# one letter


def describe(open_all: Opener, entries: Sequence[Entry], scene: Scene) -> list[Message]:
    """All there is to know of these letters. In a helper thread."""
    shown = []
    for entry, letter in zip(entries, open_all(entries), strict=True):
        if isinstance(letter, OpenLetter):
            with letter:
                shown.append(_described(letter, scene))
        elif not isinstance(letter, FileNotFoundError):
            shown.append({"domain": entry.domain, "id": entry.id, "state": "broken", "note": str(letter)})
    return shown


def _described(letter: OpenLetter, scene: Scene) -> Message:
    envelope, status = letter.envelope, letter.status
    row = _row(letter, scene)
    del row["more"]
    return {
        **row,
        "client": dict(envelope.client),
        "ret": envelope.ret,
        "envid": envelope.envid,
        "reroute": status.reroute,
        "note": status.note or letter.trouble,
        "recipients": [_recipient(letter, each.address) for each in letter.recipients],
        "reports": [asdict(report) for report in status.reports],
        "header": _header(letter.read(0, _HEADER)),
    }


def _recipient(letter: OpenLetter, address: str) -> Message:
    standing = letter.status.recipients.get(address)
    if standing is None:
        return {"address": address, "state": State.WAITING.value}
    return {
        "address": address,
        "state": standing.state.value,
        "reason": standing.reason,
        "text": in_words(standing.reason)[0],
        "status": standing.status,
        "reply": standing.reply[:QUOTED],
        "detail": standing.detail,
        "host": standing.host,
        "when": standing.when,
    }


def _header(octets: bytes) -> str:
    return octets.partition(b"\r\n\r\n")[0].decode(errors="backslashreplace").replace("\r\n", "\n") + "\n"


class Piece(NamedTuple):
    """Of a message."""

    octets: str
    """In base64."""
    last: bool


def read_piece(open_all: Opener, entry: Entry, offset: int) -> Piece:
    """The message from `offset` on, as much as fits. In a helper thread; OSError."""
    [letter] = open_all([entry])
    if not isinstance(letter, OpenLetter):
        raise OSError(str(letter))
    with letter:
        octets = letter.read(offset, PIECE)
        return Piece(b64encode(octets).decode("ascii"), offset + len(octets) >= letter.length)


# domains


def stats(scene: Scene) -> Message:
    """Every domain: letters, the oldest, the pace, the last error."""
    states = sorted(scene.states.values(), key=lambda state: (-state.letters, state.domain))
    return {
        "status": 0,
        "now": scene.now,
        "domains": [_domain(state) for state in states[:_MOST_DOMAINS]],
        "left_off": max(0, len(states) - _MOST_DOMAINS),
    }


def _domain(state: DomainState) -> Message:
    return {**state._asdict(), "text": in_words(state.error)[0]}


@dataclass(slots=True)
class _Group:
    letters: int = 0
    next: float | None = None
    unread: list[Letter] = field(default_factory=list)

    def add(self, when: float | None, count: int = 1) -> None:
        self.letters += count
        if when is not None:
            self.next = when if self.next is None else min(self.next, when)


async def why(queue: Queue, schedule: Schedule, scene: Scene) -> Message:
    """The queue as domain, reason, number of letters, next attempt and advice."""
    groups: list[Message] = []
    left = _MOST_READ
    states = sorted(scene.states.values(), key=lambda state: (-state.letters, state.domain))
    for state in states[:_MOST_DOMAINS]:
        found = await _grouped(state, schedule.waiting(state.domain), scene, left)
        unread = found[UNKNOWN].unread if UNKNOWN in found else []
        for reason, letter in await OnDisk(_read_reasons, queue, state.domain, unread):
            found.setdefault(reason, _Group()).add(max(letter.due, state.next_attempt or 0))
        left -= len(unread)
        groups += [_group(state.domain, reason, group) for reason, group in found.items() if group.letters]
    left_off = max(0, len(states) - _MOST_DOMAINS)
    return {"status": 0, "now": scene.now, "groups": groups, "left_off": left_off, "works": scene.works}


async def _grouped(
    state: DomainState, letters: Iterable[Letter], scene: Scene, most: int
) -> dict[str, _Group]:
    """By reason. Of those whose statuses know more, at most so many are there to be read, and not counted."""
    groups: dict[str, _Group] = {}
    if state.held:
        groups[Reason.HELD.word] = _Group(state.held)
    if not scene.enabled:
        groups[Reason.DISABLED.word] = _Group(state.letters - state.held)
        return groups
    for number, letter in enumerate(letters, start=1):
        _sort(groups, letter, state, scene, most)
        if number % _AT_ONCE == 0:
            await breathe()
    return groups


def _sort(groups: dict[str, _Group], letter: Letter, state: DomainState, scene: Scene, most: int) -> None:
    reason = letter.reason
    if not reason and state.failures:
        reason = state.error  # nobody tries it while the domain fails as a whole
    if not reason and letter.attempts:
        unknown = groups.setdefault(UNKNOWN, _Group())
        if len(unknown.unread) < most:
            unknown.unread.append(letter)
        else:
            unknown.add(state.next_attempt)
        return
    when = max(letter.due, state.next_attempt or 0) if scene.works else letter.due
    groups.setdefault(reason or NEW, _Group()).add(when)


def _read_reasons(queue: Queue, domain: str, letters: Sequence[Letter]) -> list[tuple[str, Letter]]:
    """In a helper thread."""
    found = []
    for start in range(0, len(letters), 100):  # each has a descriptor
        some = letters[start : start + 100]
        opened = queue.open([Entry(domain, each.id, each.due, each.attempts) for each in some])
        for letter, each in zip(some, opened, strict=True):
            if isinstance(each, OpenLetter):
                with each:
                    found.append((reason_of(each) or NEW, letter))
    return found


def _group(domain: str, reason: str, group: _Group) -> Message:
    text, advice = in_words(reason)
    return {
        "domain": domain,
        "reason": reason,
        "letters": group.letters,
        "next": group.next,
        "text": text,
        "advice": advice,
    }
