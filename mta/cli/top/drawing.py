"""The screen as lines. At 80 columns and 24 rows everything is there; more room shows more rows and minutes.

Peers and domains were written by strangers: what is not printable shows as an escape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.text import Text

from mta.cli.tables import duration, octets, printable
from mta.cli.top.figures import History, graph
from mta.cli.top.state import VIEWS, Row, Screen

_LABEL: Final = 12
_FIGURE: Final = 11
_FOOTER: Final = "Tab view  s sort  / filter  j k choose  r retry  d drop  ? help  q quit"
_HELP: Final = (
    "Tab 1 2    the sessions, or the queue by domain",
    "s          sort by the next column",
    "/          show only rows with a word; Enter takes it, Escape does not",
    "j k        choose a row, as the arrows do",
    "r          try the letters of the chosen domain now",
    "d          drop the chosen session, after a question; it is told 421",
    "space      stop, and go on",
    "q          quit",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of figures: its label, the values of the last minutes, and how the last one reads."""

    label: str
    values: Callable[[History], Sequence[float]]
    written: Callable[[float], str]


def _per_second(value: float) -> str:
    return f"{value:,.0f}/s" if value >= 10 or value == 0 else f"{value:.1f}/s"


def _milliseconds(value: float) -> str:
    return f"{value / 1000:.1f} ms"


LINES: Final = (
    Line("accepted", lambda history: history.rates("accepted_messages"), _per_second),
    Line(
        "bytes in", lambda history: history.rates("accepted_bytes"), lambda value: f"{octets(round(value))}/s"
    ),
    Line("rejected", lambda history: history.rates("rejects"), _per_second),
    Line("sent", lambda history: history.rates("sent_messages"), _per_second),
    Line("sessions", lambda history: history.values("connections_current"), lambda value: f"{value:,.0f}"),
    Line("commit", lambda history: history.means("commit_time", "commits"), _milliseconds),
)


def draw(screen: Screen, history: History, server: Row, width: int, height: int) -> Text:
    """The whole screen; `server` is the last answer to the question for counters."""
    lines = [*_head(screen, history, server), *_figures(history, width), Text()]
    lines += _help() if screen.helping else _table(screen, height - len(lines) - 1)
    lines += [Text()] * (height - len(lines) - 1)
    lines.append(_foot(screen))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines[:height])


def _head(screen: Screen, history: History, server: Row) -> Iterator[Text]:
    name = f"mta {printable(str(server.get('hostname', '')))}"
    up = f"up {duration(server['uptime'])}" if "uptime" in server else ""
    waiting = f"{history.now('queue_letters'):,} letters wait"
    state = "stopped, space goes on" if screen.paused else up
    text = Text(name, style="bold")
    text.append(f"   {waiting}   {state}", style="not bold")
    yield text
    yield Text()


def _figures(history: History, width: int) -> Iterator[Text]:
    for line in LINES:
        values = line.values(history)
        last = line.written(values[-1]) if values else "-"
        text = Text(f"{line.label:<{_LABEL}}{last:>{_FIGURE}}  ")
        text.append(graph(values, width - _LABEL - _FIGURE - 2), style="green")
        yield text


def _table(screen: Screen, height: int) -> list[Text]:
    view = screen.view
    chosen = screen.chosen()
    rows = screen.shown()
    body = max(height - 2, 1)
    first = max(0, screen.selected - body + 1)
    cells = [[_cell(column.key, row) for column in view.columns] for row in rows[first : first + body]]
    headings = [column.heading for column in view.columns]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    lines = [_tabs(screen, len(rows)), _headings(screen, headings, widths)]
    for row, line in zip(rows[first:], cells, strict=False):
        lines.append(Text(_aligned(line, widths), style="reverse" if row is chosen else ""))
    return lines if rows else [lines[0], Text(f"  {view.empty}", style="dim")]


def _tabs(screen: Screen, count: int) -> Text:
    text = Text()
    for number, view in enumerate(VIEWS, 1):
        shown = view is screen.view
        label = f"{number} {view.title} ({count})" if shown else f"{number} {view.title}"
        text.append(f"{label}  ", style="bold" if shown else "dim")
    if screen.filter:
        text.append(f"with {printable(screen.filter)!r}", style="yellow")
    return text


def _headings(screen: Screen, headings: Sequence[str], widths: Sequence[int]) -> Text:
    text = Text()
    for number, (heading, width) in enumerate(zip(headings, widths, strict=True)):
        sorted_by = number == screen.sort[screen.view.title]
        text.append(f"{heading:<{width}}", style="underline bold" if sorted_by else "underline")
        text.append("  ")
    return text


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def _cell(key: str, row: Row) -> str:
    return _CELLS.get(key, _plain)(row[key], row)


def _plain(value: object, _row: Row) -> str:
    return printable(str(value))


def _due(value: float | None, row: Row) -> str:
    if value is None:
        return "-"
    return "now" if value <= row["now"] else duration(value - row["now"])


_CELLS: Final[dict[str, Callable[[Any, Row], str]]] = {
    "age": lambda value, _row: duration(value),
    "next_attempt": _due,
    "connections": lambda value, row: f"{value} of {row['window']}",
    "pause": lambda value, _row: f"{value:.1f} s" if value else "-",
}


def _help() -> list[Text]:
    return [Text(line) for line in _HELP]


def _foot(screen: Screen) -> Text:
    if screen.typing is not None:
        return Text(f"filter: {screen.typing}▏", style="yellow")
    if screen.confirming:
        return Text(f"drop session {screen.confirming}? y or n", style="red")
    return Text(screen.message, style="yellow") if screen.message else Text(_FOOTER, style="dim")
