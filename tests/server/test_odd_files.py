"""Odd things in the tree, as far as reception meets them, for small and for large messages.

The owner of a mailbox may be hostile, or only somebody who moves folders about. Mail that cannot be put where
it belongs is refused for the moment (451); nothing is touched outside the tree; and the others get theirs.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.server.receiver import PATIENCE
from tests.server.ward import LARGE, TEXT, Ward

Oddity = Callable[[Path, Path], None]

ANOTHER_DISK = Path("/dev/shm")


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    made = Ward(tmp_path_factory.mktemp("ward"))
    yield made
    made.close()


@pytest.fixture
def own_ward(tmp_path: Path) -> Iterator[Ward]:
    made = Ward(tmp_path)
    yield made
    made.close()


def mailbox(folder: Path) -> None:
    for name in ("tmp", "new", "cur"):
        (folder / name).mkdir(parents=True)


def replaced(folder: Path, name: str) -> Path:
    """The place of one of a mailbox's three folders, empty."""
    mailbox(folder)
    (folder / name).rmdir()
    return folder / name


def new_leads_outside(folder: Path, outside: Path) -> None:
    replaced(folder, "new").symlink_to(outside)


def tmp_leads_outside(folder: Path, outside: Path) -> None:
    replaced(folder, "tmp").symlink_to(outside)


def tmp_leads_to_another_disk(folder: Path, outside: Path) -> None:
    replaced(folder, "tmp").symlink_to(ANOTHER_DISK)


def new_leads_to_a_neighbour(folder: Path, outside: Path) -> None:
    mailbox(folder.with_name(f"beside-{folder.name}"))
    replaced(folder, "new").symlink_to(f"../beside-{folder.name}/new")


def new_leads_nowhere(folder: Path, outside: Path) -> None:
    replaced(folder, "new").symlink_to(outside / "missing")


def new_leads_to_itself(folder: Path, outside: Path) -> None:
    replaced(folder, "new").symlink_to("new")


def cur_is_a_file(folder: Path, outside: Path) -> None:
    replaced(folder, "cur").write_bytes(b"")


def new_is_a_fifo(folder: Path, outside: Path) -> None:
    os.mkfifo(replaced(folder, "new"))


def tmp_is_a_socket(folder: Path, outside: Path) -> None:
    mailbox(folder)
    (folder / "tmp").rmdir()
    here = os.getcwd()
    os.chdir(folder)  # the name of a socket may be only so long
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind("tmp")
    finally:
        os.chdir(here)


def it_leads_outside(folder: Path, outside: Path) -> None:
    mailbox(outside / "maildir")
    folder.symlink_to(outside / "maildir")


def it_is_a_file(folder: Path, outside: Path) -> None:
    folder.write_bytes(b"mine")


def it_is_a_fifo(folder: Path, outside: Path) -> None:
    os.mkfifo(folder)


ODDITIES: list[Oddity] = [
    new_leads_outside, tmp_leads_outside, tmp_leads_to_another_disk, new_leads_to_a_neighbour,
    new_leads_nowhere, new_leads_to_itself, cur_is_a_file, new_is_a_fifo, tmp_is_a_socket, it_leads_outside,
    it_is_a_file, it_is_a_fifo,
]  # fmt: skip


def tree(*folders: Path) -> set[tuple[Path, int]]:
    """Whatever is in these folders, links not followed, with its size."""
    found = [path for folder in folders for path in folder.rglob("*")]
    return {(path, 0 if path.is_dir() else path.lstat().st_size) for path in found}


@pytest.mark.parametrize("text", [TEXT, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda oddity: oddity.__name__)
def test_an_odd_mailbox_is_451_and_nobody_else_suffers(
    ward: Ward, tmp_path: Path, oddity: Oddity, text: bytes
) -> None:
    name = f"{oddity.__name__}_{len(text)}".replace("_", "-")
    oddity(ward.mail / name, tmp_path)
    before = tree(tmp_path, ward.mail)
    assert ward.greeted().deliver(text, b"%b@example.org" % name.encode()).startswith(b"451 4.3.0 ")
    assert tree(tmp_path, ward.mail) == before
    assert not list(ANOTHER_DISK.glob("*.receiver"))
    both = ward.greeted().deliver(text, b"good@example.org", b"%b@example.org" % name.encode())
    assert both.startswith(b"451 4.3.0 ")
    assert ward.files("good/new") == ward.leftovers() == []
    assert ward.greeted().deliver(text, b"fine@example.org").startswith(b"250 ")
    ward.wait_until_alone()


@pytest.mark.parametrize(
    "oddity", [it_leads_outside, it_is_a_file, it_is_a_fifo], ids=lambda odd: odd.__name__
)
def test_an_odd_domain_is_451_too(ward: Ward, tmp_path: Path, oddity: Oddity) -> None:
    name = f"{oddity.__name__}.example".replace("_", "-")
    ward.configure("relay.from=[]", f'relay.domains=["{name}"]')
    domain = ward.mail / ".OTHER_SERVERS" / name
    oddity(domain, tmp_path)
    before = tree(tmp_path, ward.mail)
    for text in (TEXT, LARGE):
        assert ward.greeted().deliver(text, b"x@%b" % name.encode()).startswith(b"451 4.3.0 ")
    assert tree(tmp_path, ward.mail) == before
    domain.unlink()
    assert ward.greeted().deliver(TEXT, b"x@%b" % name.encode()).startswith(b"250 ")
    ward.wait_until_alone()


def test_what_a_folder_holds_is_no_business_of_reception(own_ward: Ward) -> None:
    """Nothing in `new`, `cur` or `tmp` is opened, followed or waited for."""
    folder = own_ward.mail / "full-of-oddities"
    mailbox(folder)
    for each in ("tmp", "new", "cur"):
        os.mkfifo(folder / each / "fifo")
        (folder / each / "link").symlink_to("/etc/passwd")
        (folder / each / "folder").mkdir()
        (folder / each / "line\nend:2,S:2,S").write_bytes(b"")
        (folder / each / b"\xff".decode("utf-8", "surrogateescape")).write_bytes(b"")
    before = tree(folder)
    assert own_ward.greeted().deliver(LARGE, b"full-of-oddities@example.org").startswith(b"250 ")
    after = tree(folder)
    assert before < after
    assert len(after - before) == 1


def test_oddities_from_before_the_start_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    for oddity in ODDITIES:
        outside = tmp_path / oddity.__name__
        outside.mkdir()
        (outside / "old").write_bytes(b"")
        os.utime(outside / "old", (0, 0))
        oddity(tmp_path / "mail" / oddity.__name__, outside)
    before = tree(tmp_path)
    ward = Ward(tmp_path)
    ward.put_forward(60)
    assert ward.greeted().deliver(TEXT, b"a@example.org").startswith(b"250 ")
    ward.close()
    ours = (ward.mail / "a", ward.mail / ".OTHER_SERVERS", tmp_path / "mta.conf", tmp_path / "users.db")
    left = {each for each in tree(tmp_path) if not any(map(each[0].is_relative_to, ours))}
    assert left == before


# while it runs


def keep_sending(ward: Ward, until: Callable[[], bool]) -> int:
    """Deliver to `moving` until it is so; how many messages were accepted. What is not is 451."""
    accepted, end = 0, time.monotonic() + PATIENCE
    peer = ward.greeted()
    peer.say(b"EHLO client.example\r\n", b"250")
    while not until():
        assert time.monotonic() < end, "it never comes"
        peer.send(b"MAIL FROM:<>\r\nRCPT TO:<moving@example.org>\r\nDATA\r\n")
        for reply in (b"250 ", b"250 ", b"354 "):
            peer.expect(reply)
        reply = peer.say(TEXT + b".\r\n", b"")
        assert reply.startswith((b"250 ", b"451 4.3.0 "))
        accepted += reply.startswith(b"250 ")
    return accepted


@pytest.mark.parametrize("beyond", [False, True], ids=["small, within the tree", "by disk, out of it"])
def test_a_mailbox_that_is_moved_is_made_again(own_ward: Ward, tmp_path: Path, beyond: bool) -> None:
    """Each message accepted is in the old one or in the new one, whole."""
    own_ward.receiver._memory.limit(0 if beyond else 64_000_000)
    assert keep_sending(own_ward, lambda: bool(own_ward.files("moving/new"))) == 1
    moved = tmp_path / "elsewhere" if beyond else own_ward.mail / "moved"
    (own_ward.mail / "moving").rename(moved)
    accepted = keep_sending(own_ward, lambda: bool(own_ward.files("moving/new")))
    files = [*own_ward.files("moving/new"), *(moved / "new").iterdir()]
    assert len(files) == 1 + accepted
    assert all(path.read_bytes().endswith(b"\nhello\n") for path in files)
    own_ward.until(lambda: not own_ward.leftovers())
    assert list((moved / "tmp").iterdir()) == []


@pytest.mark.parametrize("memory", ["64MB", "0"], ids=["from memory", "by disk"])
def test_a_mailbox_that_is_removed_is_made_again(own_ward: Ward, memory: str) -> None:
    own_ward.receiver._memory.limit(0 if memory == "0" else 64_000_000)
    assert keep_sending(own_ward, lambda: bool(own_ward.files("moving/new"))) == 1
    shutil.rmtree(own_ward.mail / "moving")
    assert keep_sending(own_ward, lambda: bool(own_ward.files("moving/new"))) == 1


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder that we may not write to, even as root."""
    if os.geteuid() != 0:
        folder.chmod(0o500)
        try:
            yield
        finally:
            folder.chmod(0o700)
        return
    if subprocess.run([needs("chattr"), "+i", folder], check=False, capture_output=True).returncode != 0:
        pytest.skip("this file system cannot protect a folder from root")
    try:
        yield
    finally:
        subprocess.run([needs("chattr"), "-i", folder], check=True)


@pytest.mark.parametrize("text", [TEXT, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("folder", ["", "tmp", "new"])
def test_a_mailbox_that_may_not_be_written_is_451_until_it_may(ward: Ward, folder: str, text: bytes) -> None:
    name = f"locked{folder}{len(text)}"
    if folder:
        mailbox(ward.mail / name)
    else:
        (ward.mail / name).mkdir()
    with read_only(ward.mail / name / folder):
        before = tree(ward.mail)
        assert ward.greeted().deliver(text, b"%b@example.org" % name.encode()).startswith(b"451 4.3.0 ")
        ward.wait_until_alone()
        assert tree(ward.mail) == before
    assert ward.greeted().deliver(text, b"%b@example.org" % name.encode()).startswith(b"250 ")
    ward.wait_until_alone()
