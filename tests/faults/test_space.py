"""A disk that is really full, of octets or of inodes: 452 and nothing left; room again, and mail again."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.rig import ONE, SEVERAL, Mail, Tree, comes_true, needs_root, running, send

MOST = 2000


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    needs_root()
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True
    )
    if mount.returncode != 0:
        pytest.skip(f"cannot mount: {mount.stderr.decode(errors='replace').strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def load(folder: Path) -> Path:
    """Something to throw out: octets and inodes."""
    folder.mkdir()
    (folder / "octets").write_bytes(bytes(8_000_000))
    for number in range(100):
        (folder / str(number)).touch()
    return folder


@pytest.mark.parametrize(
    ("options", "octets"), [("size=24m", 700_000), ("size=24m,nr_inodes=300", 10)], ids=["octets", "inodes"]
)
def test_full_and_free_again(tmp_path: Path, options: str, octets: int) -> None:
    with (
        small_disk(tmp_path / "disk", options) as maildir,
        running(tmp_path / "server", "--set", f"application.maildir.path={maildir}") as server,
    ):
        tree = Tree(maildir)
        ballast = load(maildir / ".ballast")
        mails: list[Mail] = []
        while not mails or (mails[-1].accepted and len(mails) < MOST):
            mails.append(send(server.port, SEVERAL if len(mails) % 2 else ONE, octets))
        assert mails[-1].code == 452
        assert len(mails) > 5
        assert tree.copies(mails[-1]) == [0] * len(mails[-1].recipients)
        shutil.rmtree(ballast)
        assert comes_true(lambda: send(server.port, SEVERAL, octets).accepted)
        # What was accepted and could not be linked everywhere (a link may need an inode) is finished now.
        assert comes_true(lambda: tree.drafts() == [])
        for mail in mails:
            tree.check(mail)
