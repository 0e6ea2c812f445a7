"""A configuration with a database and a tree, and the commands about people run in this process."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from mta.cli.main import main
from mta.users.accounts import Accounts
from mta.users.database import Database
from tests.instance import CONFIGURATION


@contextmanager
def as_they_were(*numbers: signal.Signals) -> Iterator[None]:
    """A command takes these signals as programs do; the tests after it have handlers of their own."""
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _status_of(words: Sequence[str]) -> int:
    try:
        return main(words)
    except SystemExit as ended:
        return int(ended.code or 0)


class Said(NamedTuple):
    """What a command said, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def values(self) -> Any:  # noqa: ANN401 - whatever the JSON holds
        return json.loads(self.out)


class Desk:
    """One installation, used by its operator."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.configuration = folder / "etc" / "mta.conf"
        self.configuration.parent.mkdir()
        two = CONFIGURATION.replace('[ "example.org" ]', '[ "example.org", "example.net" ]')
        self.configuration.write_text(two)
        self.maildir = folder / "maildir"
        self.database = folder / "users.db"
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def run(self, *words: str, stdin: bytes = b"", settings: tuple[str, ...] = ()) -> Said:
        """`mta` with these words."""
        piped = self.configuration.with_name("stdin")
        piped.write_bytes(stdin)
        overrides = [word for setting in settings for word in ("--set", setting)]
        self._capfd.readouterr()
        with piped.open("r") as opened:
            self._monkeypatch.setattr(sys, "stdin", opened)
            with as_they_were(signal.SIGINT, signal.SIGPIPE):
                status = _status_of(["-f", str(self.configuration), *overrides, *words])
        return Said(status, *self._capfd.readouterr())

    def add(self, *words: str) -> None:
        """An account."""
        assert self.run("user", "add", *words, "--password-stdin", stdin=b"correct horse\n").status == 0

    def at_terminal(self, *typed: str) -> None:
        """Somebody sits there and answers questions so."""
        answers = iter(typed)
        self._monkeypatch.setattr("mta.cli.passwords.getpass", lambda _: next(answers))
        self._monkeypatch.setattr(
            "mta.cli.passwords.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
        )

    def accounts(self) -> Accounts:
        """What is in the database."""
        return Accounts(Database(f"sqlite:///{self.database}"))

    def mail(self, folder: str, *names: str) -> None:
        """Messages in a mailbox, each of ten octets whatever its name says."""
        for name in names:
            path = self.maildir / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"0123456789")
