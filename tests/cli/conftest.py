"""What the tests of the commands about people use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.people import Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Desk:
    """An installation without any account yet."""
    return Desk(tmp_path, monkeypatch, capfd)
