"""A mailbox as a mail drop: what it shows, who has it, and what others may do to it meanwhile."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mta.store import InUse, MailDrop, OpenMessage, Store
from mta.store.maildrop.names import Identities, identity, read_name, renamed
from tests.store.stage import HOST

OURS = "1795202214.6advq11bj7g7g0qnlv{}.mx.example.org,S=14,W=17"
TEXT = b"Subject: x\n\ny\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path, host=HOST, commits=False)
    yield opened
    opened.close()


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    folder = tmp_path / "alice"
    for name in ("tmp", "new", "cur"):
        (folder / name).mkdir(parents=True)
    return folder


def put(folder: Path, name: str = OURS.format("p0"), text: bytes = TEXT) -> Path:
    path = folder / name
    path.write_bytes(text)
    return path


def opened(store: Store) -> MailDrop:
    return store.open_maildrop("alice")


def text_of(message: OpenMessage) -> bytes:
    try:
        return message.read(0, 1_000_000)
    finally:
        message.close()


def texts(drop: MailDrop) -> list[bytes]:
    return [text_of(drop.open(position)) for position in range(len(drop.sizes))]


def identities(store: Store) -> list[str]:
    drop = opened(store)
    try:
        return list(drop.identities)
    finally:
        drop.close()


# --- what it shows


def test_no_folder_is_an_empty_mail_drop(store: Store, tmp_path: Path) -> None:
    drop = store.open_maildrop("nobody/at/all")

    assert (list(drop.sizes), list(drop.identities), drop.octets) == ([], [], 0)
    assert not (tmp_path / "nobody").exists()


def test_messages_of_new_and_cur_in_the_order_of_arrival(store: Store, maildir: Path) -> None:
    put(maildir / "new", "1795202216.c.host", b"third\n")
    put(maildir / "cur", "1795202214.a.host:2,S", b"first\n")
    put(maildir / "new", "1795202215.b.host", b"second\n")

    assert texts(opened(store)) == [b"first\n", b"second\n", b"third\n"]


def test_sizes_are_read_off_our_own_names(store: Store, maildir: Path) -> None:
    put(maildir / "new", OURS.format("p0"), b"")
    put(maildir / "cur", OURS.format("p1") + ":2,FRS", b"")

    drop = opened(store)

    assert list(drop.sizes) == [17, 17]
    assert drop.octets == 34


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        (b"", 0),
        (b"a\nb\n", 6),
        (b"a\r\nb\r\n", 6),
        (b"a\nb\r\n", 6),
        (b"a", 3),
        (b"a\rb\n", 5),
        (b"a\r", 4),
        (b"\0\n", 3),
    ],
)
def test_sizes_of_other_programs_files_are_counted(
    store: Store, maildir: Path, text: bytes, octets: int
) -> None:
    put(maildir / "new", "1.foreign,S=1,W=1", text)

    assert list(opened(store).sizes) == [octets]


def test_a_size_is_counted_again_when_the_file_changes(store: Store, maildir: Path) -> None:
    path = put(maildir / "new", "1.foreign", b"a\n")
    opened(store).close()
    path.write_bytes(b"longer\n")

    assert list(opened(store).sizes) == [8]


def test_a_sparse_terabyte_is_counted_at_once(store: Store, maildir: Path) -> None:
    path = put(maildir / "new", "1.foreign", b"a\n")
    os.truncate(path, 1 << 40)

    assert list(opened(store).sizes) == [(1 << 40) + 1 + 2]


# --- unique-ids


def test_an_identity_outlives_moves_flags_and_corrected_sizes(store: Store, maildir: Path) -> None:
    path = put(maildir / "new", "1795202214.x.host,S=1")
    before = identities(store)
    for name in ("1795202214.x.host,S=1:2,", "1795202214.x.host,S=14,W=17:2,S", "1795202214.x.host:2,FRS"):
        path = path.rename(maildir / "cur" / name)

        assert identities(store) == before


@pytest.mark.parametrize(
    "name",
    [
        b"two\r\n+OK lines",
        b"\xff\xfe",
        b"with blank",
        b"x" * 255,
        b"=begins like a digest",
        "käse".encode(),
        b":2,S",
        b"a:2,S:2,F",
        b"-",
    ],
)
def test_an_identity_is_fit_whatever_a_file_is_called(store: Store, maildir: Path, name: bytes) -> None:
    with open(os.path.join(os.fsencode(maildir), b"cur", name), "wb") as file:
        file.write(TEXT)

    drop = opened(store)

    (only,) = drop.identities
    assert re.fullmatch(r"[!-~]{1,70}", only)
    assert texts(drop) == [TEXT]
    assert drop.remove([0]) == []
    assert os.listdir(maildir / "cur") == []


def test_different_names_have_different_identities() -> None:
    names = ["a", "a,b", "=" + "0" * 48, "x" * 71, "x" * 72, OURS.format("p0"), OURS.format("p1"), "\udcff"]

    assert len({identity(read_name(name).unique) for name in names}) == len(names)


def test_a_message_in_both_folders_at_once_is_one(store: Store, maildir: Path) -> None:
    """So it looks while a reader moves it by link and unlink."""
    path = put(maildir / "new")
    os.link(path, maildir / "cur" / f"{path.name}:2,S")

    assert len(identities(store)) == 1


def test_two_messages_of_one_unique_name_are_set_apart_for_ever(store: Store, maildir: Path) -> None:
    put(maildir / "cur", f"{OURS.format('p0')}:2,S", b"seen\n")
    put(maildir / "new", OURS.format("p0"), b"new\n")

    drop = opened(store)
    first = dict(zip(drop.identities, texts(drop), strict=True))
    drop.close()
    drop = opened(store)

    assert len(first) == 2
    assert first[read_name(OURS.format("p0")).unique] == b"seen\n"
    assert dict(zip(drop.identities, texts(drop), strict=True)) == first


def test_a_new_name_keeps_sizes_and_flags() -> None:
    name = renamed(f"{OURS.format('p0')}:2,S", 255)

    assert name.endswith("-ff,S=14,W=17:2,S")
    assert read_name(name).wire_octets == 17
    assert read_name(name).unique != read_name(OURS.format("p0")).unique


def test_identities_are_a_sequence() -> None:
    made = Identities(["new/a", "cur/b:2,S"])

    assert list(made) == list(made[0:2]) == ["a", "b"]
    assert "b" in made


# --- whose it is


def test_one_session_has_it_alone(store: Store, maildir: Path) -> None:
    drop = opened(store)
    with pytest.raises(InUse):
        opened(store)

    drop.close()

    opened(store)


def test_the_lock_ends_with_its_process(store: Store, maildir: Path) -> None:
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        drop = opened(store)
        os.write(writing, b"%d" % len(drop.sizes))
        os.kill(os.getpid(), 9)
    assert os.read(reading, 1) == b"0"
    os.waitpid(pid, 0)

    opened(store)
    os.close(reading)
    os.close(writing)


def test_the_lock_leaves_nothing_behind(store: Store, maildir: Path) -> None:
    opened(store).close()

    assert sorted(os.listdir(maildir)) == ["cur", "new", "tmp"]


# --- what others do meanwhile


def test_what_arrives_later_is_not_shown(store: Store, maildir: Path) -> None:
    put(maildir / "new", "2.b")
    drop = opened(store)
    put(maildir / "new", "1.a")

    assert list(drop.identities) == ["2.b"]


def mutt_reads_all(maildir: Path) -> None:
    for path in list((maildir / "new").iterdir()):
        path.rename(maildir / "cur" / f"{path.name}:2,S")


def flags_change(maildir: Path) -> None:
    mutt_reads_all(maildir)
    for path in list((maildir / "cur").iterdir()):
        path.rename(f"{path}F")


@pytest.mark.parametrize("change", [mutt_reads_all, flags_change])
def test_moved_messages_are_found_again(store: Store, maildir: Path, change: Callable[[Path], None]) -> None:
    for letter in "abc":
        put(maildir / "new", f"1.{letter}", letter.encode())
    drop = opened(store)

    change(maildir)

    assert texts(drop) == [b"a", b"b", b"c"]
    change(maildir)
    assert drop.remove([0, 2]) == []
    assert [path.read_bytes() for path in (maildir / "cur").iterdir()] == [b"b"]


def test_a_message_that_vanished_is_missed_alone(store: Store, maildir: Path) -> None:
    gone, stays = put(maildir / "new", "1.a"), put(maildir / "new", "2.b")
    drop = opened(store)
    gone.unlink()

    with pytest.raises(FileNotFoundError):
        drop.open(0)

    assert text_of(drop.open(1)) == TEXT
    assert drop.remove([0, 1]) == []
    assert not stays.exists()


def test_the_whole_maildir_vanishes(store: Store, maildir: Path) -> None:
    put(maildir / "new", "1.a")
    drop = opened(store)
    maildir.rename(maildir.with_name("elsewhere"))
    (maildir.with_name("elsewhere") / "new" / "1.a").unlink()

    with pytest.raises(FileNotFoundError):
        drop.open(0)

    assert drop.remove([0]) == []


def test_a_file_that_grows_is_read_as_it_was_opened(store: Store, maildir: Path) -> None:
    path = put(maildir / "new", "1.a")
    message = opened(store).open(0)
    with path.open("ab") as file:
        file.write(b"more")

    assert text_of(message) == TEXT


def test_a_whole_message_is_read_unless_it_is_too_large(store: Store, maildir: Path) -> None:
    put(maildir / "new", "1.a")
    drop = opened(store)

    assert drop.read(0, len(TEXT)) == TEXT
    assert drop.read(0, len(TEXT) - 1) is None


# --- what is no message


def test_only_regular_files_are_messages(store: Store, maildir: Path, tmp_path: Path) -> None:
    put(maildir / "new", "1.real")
    os.mkfifo(maildir / "new" / "2.fifo")
    (maildir / "new" / "3.folder").mkdir()
    (maildir / "new" / "4.link").symlink_to(put(tmp_path, "secret", b"secret"))
    (maildir / "cur" / "5.dangling").symlink_to("nowhere")
    put(maildir / "cur", ".hidden")

    assert identities(store) == ["1.real"]


@pytest.mark.parametrize("odd", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)])
def test_what_takes_the_place_of_a_message_is_not_opened(
    store: Store, maildir: Path, odd: Callable[[Path], None]
) -> None:
    path = put(maildir / "new", "1.a")
    drop = opened(store)
    path.unlink()
    odd(path)

    with pytest.raises(OSError, match=r"regular file|symbolic links"):
        drop.open(0)


@pytest.mark.parametrize("folder", ["new", "cur"])
@pytest.mark.parametrize("odd", [Path.touch, lambda path: path.symlink_to("/etc")])
def test_a_folder_that_is_none_is_left_out(
    store: Store, maildir: Path, folder: str, odd: Callable[[Path], None]
) -> None:
    put(maildir / ("cur" if folder == "new" else "new"), "1.a")
    (maildir / folder).rmdir()
    odd(maildir / folder)

    drop = opened(store)

    assert list(drop.identities) == ["1.a"]
    assert len(drop.troubles) == 1


def test_a_mailbox_that_is_a_link_is_not_opened(store: Store, maildir: Path) -> None:
    maildir.rename(maildir.with_name("real"))
    maildir.symlink_to("real")

    with pytest.raises(OSError, match="Not a directory"):
        opened(store)


# --- removing


def test_only_what_is_named_is_removed(store: Store, maildir: Path) -> None:
    for letter in "abcd":
        put(maildir / "new", f"1.{letter}")
    drop = opened(store)

    assert drop.remove([1, 2]) == []

    assert sorted(os.listdir(maildir / "new")) == ["1.a", "1.d"]


def test_what_cannot_be_removed_does_not_keep_the_others(store: Store, maildir: Path) -> None:
    for letter in "abc":
        put(maildir / "new", f"1.{letter}")
    drop = opened(store)
    (maildir / "new" / "1.b").unlink()
    (maildir / "new" / "1.b").mkdir()

    (failed,) = drop.remove([0, 1, 2])

    assert failed.name == "new/1.b"
    assert isinstance(failed.error, IsADirectoryError | PermissionError)
    assert os.listdir(maildir / "new") == ["1.b"]


def test_an_open_mail_drop_keeps_one_descriptor(store: Store, maildir: Path) -> None:
    put(maildir / "new", "1795202214.a.host", b"first\n")
    put(maildir / "cur", "1795202215.b.host:2,S", b"second\n")
    before = set(os.listdir("/proc/self/fd"))
    drop = opened(store)

    assert len(set(os.listdir("/proc/self/fd")) - before) == 1
    assert texts(drop) == [b"first\n", b"second\n"]
    drop.rest()
    assert len(set(os.listdir("/proc/self/fd")) - before) == 1
    assert drop.remove([0, 1]) == []
