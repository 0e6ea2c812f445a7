"""The same tests on both kinds of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.users.accounts import Accounts
from tests.users.library import Library, Server, in_file


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """One PostgreSQL for all tests that need one."""
    server = Server()
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Library]:
    """An empty database."""
    in_a_file = request.param == "sqlite"
    made = in_file(tmp_path) if in_a_file else request.getfixturevalue("postgresql").library()
    yield made
    made.close()


@pytest.fixture
def accounts(library: Library) -> Accounts:
    """The accounts of an empty database."""
    return library.accounts()
