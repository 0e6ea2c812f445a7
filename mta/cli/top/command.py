"""`mta top`: rates, sessions and queue of the running server, live."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mta.cli.interrupt import orderly
from mta.cli.top.drawing import draw
from mta.cli.top.figures import History, Sample
from mta.cli.top.state import QUEUE, SESSIONS, Screen
from mta.cli.top.terminal import keys, quiet
from mta.cli.words import duration
from mta.daemon.errors import USAGE, CannotStart
from mta.daemon.local import ask
from mta.daemon.reload import Source

Row = dict[str, Any]

_EVERY: Final = 1.0


def run(source: Source, words: Sequence[str]) -> int:
    """Show it until q is pressed. Raises ConfigError or CannotStart."""
    parser = argparse.ArgumentParser(prog="mta top", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "-d", dest="every", metavar="TIME", type=_pause, default=_EVERY, help="between looks (default 1s)"
    )
    parser.add_argument("--json", action="store_true", help="one look, as JSON")
    arguments = parser.parse_args(words)
    watcher = Watcher(source.socket())
    if arguments.json:
        watcher.look()
        print(json.dumps({**watcher.server, **watcher.screen.rows}, indent=2))
        return 0
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CannotStart(USAGE, "top: this is no terminal; --json prints one look")
    _show(watcher, arguments.every)
    return 0


def _pause(text: str) -> float:
    return max(0.1, duration(text))


class Watcher:
    """What is known of the server, and the screen that shows it. Each look asks three short questions."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self.history = History()
        self.screen = Screen()
        self.server: Row = {}

    def look(self) -> None:
        """Raises CannotStart when there is no server to look at."""
        self.server = ask(self._path, {"request": "counters"})
        self.history.add(Sample(self._clock(), self.server["counters"]))
        sessions = ask(self._path, {"child": "receiver", "request": {"request": "sessions"}})
        self.screen.rows[SESSIONS.title] = sessions.get("sessions", [])
        queue = ask(self._path, {"child": "relay", "request": {"request": "stats"}})
        now = queue.get("now", 0.0)
        self.screen.rows[QUEUE.title] = [{**row, "now": now} for row in queue.get("domains", [])]

    def look_again(self) -> None:
        """Unless the screen is stopped."""
        if not self.screen.paused:
            self.look()

    def drawing(self, width: int, height: int) -> Text:
        return draw(self.screen, self.history, self.server, width, height)

    def press(self, key: str) -> None:
        """One key; what it asks of the server is asked at once."""
        request = self.screen.press(key)
        if request is not None:
            answer = ask(self._path, request)
            self.screen.message = answer.get("text") or ("not done" if answer["status"] else "done")


def _show(watcher: Watcher, every: float) -> None:
    console = Console()
    fd = sys.stdin.fileno()
    watcher.look()  # before anything is drawn, so that what is wrong can be read
    following = time.monotonic() + every
    with orderly(), quiet(fd), Live(console=console, screen=True, auto_refresh=False) as live:
        while not watcher.screen.quit:
            live.update(watcher.drawing(*console.size), refresh=True)
            try:
                for key in keys(fd, following - time.monotonic()):
                    watcher.press(key)
            except EOFError:
                return
            if time.monotonic() >= following:
                following += every
                watcher.look_again()
