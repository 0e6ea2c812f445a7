"""What tests of all rooms may use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.instance import Instance

_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def needs(program: str) -> str:
    """The path of a program that comes with a Debian package.

    Without it the test is skipped; with CI=true in the environment it fails: there everything has to run.
    """
    found = shutil.which(program, path=_PATH)
    if found is not None:
        return found
    missing = f"{program} is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Instance]:
    """A running server: mail for example.org, listening for SMTP on a free port of 127.0.0.1."""
    with Instance(tmp_path).running() as instance:
        yield instance
