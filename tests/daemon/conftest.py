"""Servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.manager import Manager
from tests.daemon.supervised import Supervised

Maker = Callable[..., Supervised]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Maker]:
    """Makes servers, not started yet; whatever still runs at the end of the test is ended, hard."""
    made: list[Supervised] = []

    def one(**arguments: object) -> Supervised:
        made.append(Supervised(tmp_path / f"server{len(made)}", **arguments))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for each in made:
        if each.running_now():
            each.kill()


@pytest.fixture
def server(make: Maker) -> Supervised:
    """One that serves."""
    started = make()
    started.start()
    return started


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(tmp_path / "notify")
    with listening.socket:
        yield listening
