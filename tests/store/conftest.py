from __future__ import annotations

from pathlib import Path

import pytest

from mta.store import Store
from tests.store.stage import Stage, Tree, open_store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def stage(root: Path) -> Stage:
    return Stage(root)


@pytest.fixture
def store(root: Path, stage: Stage) -> Store:
    return open_store(root, stage)


@pytest.fixture
def tree(root: Path) -> Tree:
    return Tree(root)
