"""The power fails at the moment of a 250: what was acknowledged is on the disk.

The tree lies in an ext4 image that is copied when the reply has come. The copy holds exactly what the file
system has given to its disk, as after a cut; mounting it replays the journal. Two servers that break the
promise, one by not syncing folders and one by not syncing at all, must be caught: a test that they
pass would be blind.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import instance
from tests.conftest import needs
from tests.faults.rig import LONG, ONE, SEVERAL, Mail, Server, Tree, comes_true, needs_root, running, send

FORGETFUL = Path(__file__).parent / "forgetful"
REMOTE = ("a@other.example",)


def run(*words: str | Path) -> None:
    subprocess.run([needs(str(words[0])), *words[1:]], check=True, capture_output=True)


def make_image(path: Path, *options: str) -> Path:
    with path.open("wb") as image:
        image.truncate(64 << 20)
    run("mkfs.ext4", "-q", *options, path)
    return path


@contextmanager
def mounted(image: Path, folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    try:
        run("mount", "-o", f"loop,{options}", image, folder)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"cannot mount: {error.stderr.decode(errors='replace').strip()}")
    try:
        yield folder
    finally:
        run("umount", folder)


class Disk:
    """A server on a file system of its own, whose power can fail."""

    def __init__(self, folder: Path, server: Server) -> None:
        self._folder = folder
        self.server = server
        self._cuts = 0

    def cut(self) -> Path:
        """What is on the disk now. The server goes on."""
        self._cuts += 1
        copy = self._folder / f"cut-{self._cuts}"
        run("cp", "--sparse=always", self._folder / "image", copy)
        return copy

    def survivors(self, cut: Path, mails: Sequence[Mail]) -> list[bool]:
        """Start a server on what was on the disk, and see which of these messages are where they belong."""
        with mounted(cut, self._folder / "after", "rw") as after:
            tree = Tree(after / "maildir")
            if tree.root.is_dir():
                with running(
                    self._folder / f"{cut.name}-server", "--set", f"application.maildir.path={tree.root}"
                ):
                    assert comes_true(lambda: tree.drafts() == [])
            return [all(copies == 1 for copies in tree.copies(mail)) for mail in mails]


@contextmanager
def disk(folder: Path, data: str = "ordered") -> Iterator[Disk]:
    """A new server, on an image whose file system writes nothing unless it is told to."""
    needs_root()
    needs("losetup")
    image = make_image(folder / "image")
    with mounted(image, folder / "mounted", f"commit=300,data={data}") as root:
        (root / "maildir").mkdir()
        run("sync", "-f", root)
        with running(folder / "server", "--set", f"application.maildir.path={root / 'maildir'}") as server:
            yield Disk(folder, server)


@pytest.mark.parametrize("data", ["ordered", "writeback"])
def test_what_was_acknowledged_is_there_after_a_cut(tmp_path: Path, data: str) -> None:
    with disk(tmp_path, data) as it:
        mails: list[Mail] = []
        cuts = []
        for recipients in (ONE, REMOTE, SEVERAL, ONE, REMOTE):
            mails.append(send(it.server.port, recipients))
            cuts.append((it.cut(), list(mails)))
        assert all(mail.accepted for mail in mails)
        for cut, before in cuts:
            assert all(it.survivors(cut, before))


def test_a_cut_under_load(tmp_path: Path) -> None:
    mails: list[Mail] = []
    with disk(tmp_path) as it, ThreadPoolExecutor(16) as clients:
        for _ in range(10 if LONG else 2):
            jobs = [
                clients.submit(lambda to: mails.append(send(it.server.port, to)), to)
                for to in (ONE, REMOTE, SEVERAL) * 20
            ]
            jobs[len(jobs) // 2].result()
            with it.server.stopped():
                before = [mail for mail in mails if mail.accepted]
                cut = it.cut()
            for job in jobs:
                job.result()
            assert len(before) >= 8
            assert all(it.survivors(cut, before))


@pytest.mark.parametrize("recipients", [ONE, REMOTE, SEVERAL], ids=["mailbox", "domain", "several"])
def test_a_server_that_does_not_sync_folders_is_caught(
    tmp_path: Path, recipients: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"import sys; sys.path.insert(0, {str(FORGETFUL)!r}); " + instance.MTA[-1].removeprefix(
        "import sys; "
    )
    monkeypatch.setattr(instance, "MTA", (*instance.MTA[:-1], code))
    assert not _survives(tmp_path, recipients, monkeypatch)


@pytest.mark.parametrize("recipients", [ONE, REMOTE, SEVERAL], ids=["mailbox", "domain", "several"])
def test_a_server_that_does_not_sync_is_caught(
    tmp_path: Path, recipients: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "MTA", (needs("eatmydata"), *instance.MTA))
    assert not _survives(tmp_path, recipients, monkeypatch)


def _survives(folder: Path, recipients: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a message is there after a cut; the server that looks is again the one we ship."""
    with disk(folder) as it:
        mail = send(it.server.port, recipients)
        assert mail.accepted
        cut = it.cut()
        monkeypatch.undo()
        return it.survivors(cut, [mail])[0]
