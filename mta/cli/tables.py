"""What `mta queue` prints for people. Answers come in, lines go out.

Addresses, replies and headers were written by strangers: what is not printable shows as an escape.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

Row = Mapping[str, Any]

EMPTY: Final = "the queue is empty"
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def printable(text: str, kept: str = "") -> str:
    """`text` with escapes for what is not printable, other than the characters in `kept`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


def counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def duration(seconds: float) -> str:
    """In the largest unit of which there are two: `12 min`, `30 h`."""
    seconds = max(0, round(seconds))
    size, unit = next((each for each in _UNITS if seconds >= 2 * each[0]), _UNITS[-1])
    return f"{seconds // size} {unit}"


def octets(number: int) -> str:
    """`4.1 kB`."""
    size = float(number)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table, its columns as wide as they must be."""
    table = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()


def _due(when: float | None, now: float) -> str:
    if when is None:
        return "no next try"
    return f"next try in {duration(when - now)}" if when > now + 0.5 else "next try now"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


# lists


def letters(rows: Sequence[Row], now: float) -> Iterator[str]:
    """Three lines for each letter, or more."""
    for row in rows:
        age, size = duration(now - row["arrived"]), octets(row["octets"])
        yield f"{row['domain']}/{row['id']}  {size}, {age} old, from {_path(row['sender'])}"
        for recipient in row["recipients"]:
            yield f"    to {_path(recipient)}"
        if row["more"]:
            yield f"    and {counted(row['more'], 'more recipient')}"
        yield f"    {_standing(row, now)}"


def _path(address: str) -> str:
    return f"<{printable(address)}>"


def _standing(row: Row, now: float) -> str:
    text = printable(row["text"])
    if row["state"] == "sending":
        return "being sent now"
    if row["state"] == "waiting":
        tried = f"tried {counted(row['attempts'], 'time')}, " if row["attempts"] else ""
        return f"{text} ({row['reason']}); {tried}{_due(row['next'], now)}"
    return f"{row['state']}: {text}" if text and row["state"] != row["reason"] else str(row["state"])


def why(answer: Row) -> Iterator[str]:
    """Two lines for each domain and reason, those with the most letters first."""
    groups = answer["groups"]
    if not groups:
        yield EMPTY
    width = max((len(group["domain"]) for group in groups), default=0)
    for group in groups:
        yield f"{group['domain']:<{width}}  {counted(group['letters'], 'letter')}: {printable(group['text'])}"
        yield " " * width + f"  {group['reason']}: {'; '.join(_advice(group, answer))}"
    if groups and not answer["works"]:
        yield "no server is running: nothing is sent before one is"
    yield from _left_off(answer)


def _advice(group: Row, answer: Row) -> Iterator[str]:
    if group["advice"]:
        yield group["advice"]
    if group["next"] is not None and answer["works"]:
        yield _due(group["next"], answer["now"])


_HEAD: Final = ("domain", "letters", "out", "held", "oldest", "next", "connections", "pause", "last error")


def stats(answer: Row) -> Iterator[str]:
    """A table of the domains."""
    if not answer["domains"]:
        yield EMPTY
        return
    yield from columns(_HEAD, (_stat(each, answer["now"]) for each in answer["domains"]))
    yield from _left_off(answer)


def _stat(state: Row, now: float) -> tuple[str, ...]:
    oldest, following = state["oldest"], state["next_attempt"]
    return (
        state["domain"],
        str(state["letters"]),
        str(state["out"]),
        str(state["held"]),
        duration(now - oldest) if oldest is not None else "-",
        "-" if following is None else "now" if following <= now else f"in {duration(following - now)}",
        f"{state['connections']} of {state['window']}",
        f"{state['pause']:.1f} s" if state["pause"] else "-",
        state["error"] or "-",
    )


def _left_off(answer: Row) -> Iterator[str]:
    if answer["left_off"]:
        yield f"and {counted(answer['left_off'], 'more domain')}"


# one letter


def shown(answer: Row) -> Iterator[str]:
    """All there is to know of a letter, at each of its domains."""
    for number, letter in enumerate(answer["letters"]):
        if number:
            yield ""
        yield f"{letter['domain']}/{letter['id']}"
        if letter["state"] == "broken":
            yield f"    this is no letter: {printable(letter['note'])}"
        else:
            yield from _shown(letter, answer["now"])
    yield from _left_off(answer)


def _shown(letter: Row, now: float) -> Iterator[str]:
    size, arrived = octets(letter["octets"]), _time(letter["arrived"])
    yield f"    from {_path(letter['sender'])}, {size}, arrived {arrived}"
    client = (f"{key}={printable(str(value))}" for key, value in letter["client"].items())
    yield f"    came by {', '.join(client) or 'nobody knows what way'}"
    yield f"    {_standing(letter, now)}"
    for key in ("ret", "envid", "reroute", "note"):
        if letter[key]:
            yield f"    {key}: {printable(letter[key])}"
    for recipient in letter["recipients"]:
        yield from _recipient(recipient)
    for report in letter["reports"]:
        made = "made" if report["made"] else "to be made"
        yield f"    report of {report['kind']} {report['id']}: {made}"
    yield ""
    for line in letter["header"].splitlines():
        yield f"    {printable(line, kept=chr(9))}"


def _recipient(recipient: Row) -> Iterator[str]:
    yield f"    to {_path(recipient['address'])}: {recipient['state']}"
    if "when" not in recipient:
        return
    why = f": {printable(recipient['text'])} ({recipient['reason']})" if recipient["reason"] else ""
    yield f"        {_time(recipient['when'])} at {printable(recipient['host']) or 'no host'}{why}"
    for said in (recipient["reply"], recipient["detail"]):
        if said:
            yield f"        {printable(said)}"
