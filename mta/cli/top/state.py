"""What is on the screen, and what a key does to it. Pure: a key in, perhaps something to ask the server out.

    Tab, 1, 2   sessions, queue          s   sort by the next column      /   filter
    j k, arrows another row              r   retry the domain             d   drop the session
    space       stop and go on           ?   help                         q   quit

To drop a session is asked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Row = dict[str, Any]
Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its heading, the value to sort by, and whether the largest comes first."""

    heading: str
    key: str
    descending: bool = False

    def of(self, row: Row) -> Any:  # noqa: ANN401 - of one type in one column, which is all that sorting asks
        value = row[self.key]
        return value if value is not None else 0


@dataclass(frozen=True, slots=True)
class View:
    """A table that can be shown: where its rows come from, and which column names a row."""

    title: str
    columns: tuple[Column, ...]
    name: str
    empty: str


SESSIONS: Final = View(
    "sessions",
    (
        Column("age", "age", descending=True),
        Column("service", "service"),
        Column("peer", "peer"),
        Column("phase", "phase"),
        Column("waits for", "waits_for"),
    ),
    "session",
    "nobody is connected",
)
QUEUE: Final = View(
    "queue",
    (
        Column("letters", "letters", descending=True),
        Column("domain", "domain"),
        Column("next", "next_attempt"),
        Column("conn", "connections", descending=True),
        Column("pause", "pause", descending=True),
        Column("last error", "text"),
    ),
    "domain",
    "no letter waits",
)
VIEWS: Final = (SESSIONS, QUEUE)


@dataclass(slots=True)
class Screen:
    """All that the drawing needs beside the figures."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {view.title: [] for view in VIEWS})
    view: View = SESSIONS
    sort: dict[str, int] = field(default_factory=lambda: {view.title: 0 for view in VIEWS})
    filter: str = ""
    typing: str | None = None
    """A filter that is being typed."""
    selected: int = 0
    paused: bool = False
    helping: bool = False
    confirming: str = ""
    """The session that is to be dropped when the answer is y."""
    message: str = ""
    quit: bool = False

    def shown(self) -> list[Row]:
        """The rows of the view, filtered and sorted."""
        column = self.view.columns[self.sort[self.view.title]]
        found = [row for row in self.rows[self.view.title] if self._passes(row)]
        return sorted(found, key=column.of, reverse=column.descending)

    def _passes(self, row: Row) -> bool:
        return not self.filter or any(self.filter.lower() in str(value).lower() for value in row.values())

    def chosen(self) -> Row | None:
        rows = self.shown()
        self.selected = max(0, min(self.selected, len(rows) - 1))
        return rows[self.selected] if rows else None

    def press(self, key: str) -> Request | None:
        """One key: a character, or `up`, `down`, `enter`, `escape`, `backspace`."""
        if self.typing is not None:
            self._type(key)
            return None
        if self.confirming:
            return self._confirm(key)
        self.message = ""
        act = _KEYS.get(key)
        return act(self) if act else None

    def _type(self, key: str) -> None:
        assert self.typing is not None
        if key in ("enter", "escape"):
            self.filter = self.typing if key == "enter" else self.filter
            self.typing = None
            self.selected = 0
        elif key == "backspace":
            self.typing = self.typing[:-1]
        elif len(key) == 1 and key.isprintable():
            self.typing += key

    def _confirm(self, key: str) -> Request | None:
        session, self.confirming = self.confirming, ""
        if key != "y":
            return None
        return {"child": "receiver", "request": {"request": "drop", "session": session}}

    # keys

    def _turn_to(self, view: View) -> None:
        self.view = view
        self.selected = 0

    def _next_view(self) -> None:
        self._turn_to(VIEWS[(VIEWS.index(self.view) + 1) % len(VIEWS)])

    def _sort(self) -> None:
        title = self.view.title
        self.sort[title] = (self.sort[title] + 1) % len(self.view.columns)

    def _begin_filter(self) -> None:
        self.typing = ""

    def _move(self, by: int) -> None:
        self.selected = max(0, self.selected + by)

    def _pause(self) -> None:
        self.paused = not self.paused

    def _help(self) -> None:
        self.helping = not self.helping

    def _leave(self) -> None:
        self.quit = True

    def _retry(self) -> Request | None:
        row = self.chosen() if self.view is QUEUE else None
        if row is None:
            self.message = "choose a domain of the queue first (2)"
            return None
        return {"child": "relay", "request": {"request": "retry", "which": [row["domain"]]}}

    def _drop(self) -> None:
        row = self.chosen() if self.view is SESSIONS else None
        if row is None:
            self.message = "choose a session first (1)"
        else:
            self.confirming = row["session"]


def _keys() -> dict[str, Callable[[Screen], Request | None]]:
    def silently(act: Callable[[Screen], None]) -> Callable[[Screen], Request | None]:
        def pressed(screen: Screen) -> Request | None:
            act(screen)
            return None

        return pressed

    silent: Sequence[tuple[str, Callable[[Screen], None]]] = (
        ("\t", Screen._next_view),
        ("1", lambda screen: screen._turn_to(SESSIONS)),
        ("2", lambda screen: screen._turn_to(QUEUE)),
        ("s", Screen._sort),
        ("/", Screen._begin_filter),
        ("j", lambda screen: screen._move(1)),
        ("down", lambda screen: screen._move(1)),
        ("k", lambda screen: screen._move(-1)),
        ("up", lambda screen: screen._move(-1)),
        (" ", Screen._pause),
        ("?", Screen._help),
        ("q", Screen._leave),
        ("d", Screen._drop),
    )
    return {**{key: silently(act) for key, act in silent}, "r": Screen._retry}


_KEYS: Final = _keys()
