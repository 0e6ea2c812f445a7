"""A terminal for programs that want one: a tmux of our own, whose screen is read as text."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import needs
from tests.instance import ROOT, eventually


class Terminal:
    """One window of 80 columns and 24 lines; `folder` is where its socket and the exit status lie."""

    def __init__(self, folder: Path) -> None:
        self._program = needs("tmux")
        self._socket = folder / "tmux"
        self._status = folder / "status"

    @contextmanager
    def running(self, words: Sequence[str]) -> Iterator[Terminal]:
        """With this program in it, and nothing of either afterwards."""
        command = f"{shlex.join(words)}; echo $? > {shlex.quote(str(self._status))}; sleep 60"
        self._tmux("new-session", "-d", "-x", "80", "-y", "24", command)
        try:
            yield self
        finally:
            self._tmux("kill-server")

    def type(self, *keys: str) -> None:
        """Press these keys, named as tmux(1) does; text as it is."""
        self._tmux("send-keys", *keys)

    def screen(self) -> str:
        """What is to be seen now."""
        return self._tmux("capture-pane", "-p").rstrip()

    def await_text(self, text: str) -> str:
        """The screen, once this can be read on it."""
        seen = eventually(lambda: text in (screen := self.screen()) and screen)
        assert seen, f"{text!r} never shows on:\n{self.screen()}"
        return str(seen)

    def await_status(self) -> int:
        """How the program ended, once it has."""
        text = eventually(lambda: self._status.exists() and self._status.read_text().strip())
        assert text, f"it does not end:\n{self.screen()}"
        return int(text)

    def _tmux(self, *words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        environment.pop("TMUX", None)
        command = [self._program, "-f", "/dev/null", "-S", str(self._socket), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
