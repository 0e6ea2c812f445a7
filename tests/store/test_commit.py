"""What a commit leaves on disk, and in which order it does things."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from mta.store import Delivery, Domain, Mailbox, Store, Stored, Way
from tests.store.stage import (
    CRLF,
    DOMAIN,
    HOST,
    LF,
    MAILBOX,
    SEVERAL,
    Stage,
    Tree,
    deliver,
    open_store,
    stored_form,
)


def commit(store: Store, *batch: Delivery) -> None:
    store.commit(batch)
    assert [delivery.outcome for delivery in batch] == [Stored()] * len(batch)
    assert store.finish(batch) == []


@pytest.mark.parametrize(
    "ways", [MAILBOX, DOMAIN, SEVERAL, SEVERAL[:2], SEVERAL[2:], (Mailbox("a.example/b"),)]
)
@pytest.mark.parametrize("pieces", [0, 1, 3000])
def test_each_place_gets_its_form_once(store: Store, tree: Tree, ways: tuple[Way, ...], pieces: int) -> None:
    delivery = deliver(*ways, pieces=pieces)
    commit(store, delivery)
    assert [tree.copies(delivery, way) for way in ways] == [[stored_form(delivery, way)] for way in ways]
    assert len(tree.files()) == len(ways)
    assert store.pending == 0


def test_the_name_tells_seconds_id_host_and_both_sizes(store: Store, root: Path) -> None:
    delivery = deliver(*MAILBOX)
    commit(store, delivery)
    [path] = root.glob("user1/new/*")
    name = re.fullmatch(r"(\d+)\.([0-9a-z]{20})\.(.+),S=(\d+),W=(\d+)", path.name)
    assert name is not None
    content = path.read_bytes()
    sizes = (len(content), len(content.replace(b"\n", b"\r\n")))
    assert (name[1], name[2], name[3]) == ("1800000000", delivery.envelope.id, HOST)
    assert (int(name[4]), int(name[5])) == sizes


def test_a_host_name_cannot_lead_out_of_the_folder(root: Path, stage: Stage) -> None:
    store = Store(root, host="a/b:c,d", system=stage)
    commit(store, deliver(*MAILBOX))
    [path] = root.glob("user1/new/*")
    assert r".a\057b\072c\054d,S=" in path.name


def test_two_recipients_in_one_mailbox_are_one_copy(store: Store, tree: Tree) -> None:
    delivery = deliver(MAILBOX[0], MAILBOX[0])
    commit(store, delivery)
    assert len(tree.files()) == 1


def test_several_mailboxes_share_one_file(store: Store, root: Path) -> None:
    commit(store, deliver(*SEVERAL))
    new, letters = list(root.glob("*/new/*")), list(root.glob(".OTHER_SERVERS/*.example/*"))
    assert [path.stat().st_nlink for path in new + letters] == [2, 2, 2, 2]


def test_everything_is_for_the_owner_only(store: Store, root: Path) -> None:
    commit(store, deliver(*SEVERAL), deliver(*MAILBOX))
    modes = {path.stat().st_mode & 0o777 for path in root.rglob("*") if path.is_file()}
    folders = {path.stat().st_mode & 0o777 for path in root.rglob("*") if path.is_dir()}
    assert (modes, folders) == ({0o600}, {0o700})


def test_a_large_message_goes_to_disk_as_it_comes(store: Store, stage: Stage, tree: Tree) -> None:
    delivery = deliver(*SEVERAL)
    for _ in range(3):
        store.append(delivery, delivery.take())
        assert delivery.held == 0
        delivery.add(CRLF, LF)
    store.seal(delivery, delivery.take())
    stage.begin()
    commit(store, delivery)
    assert tree.has_whole(delivery)
    assert delivery.wire_size == 4 * len(CRLF)
    assert not any(call.name in ("create", "write", "pwrite") for call in stage.calls)


def test_what_was_appended_may_be_committed_unsealed(store: Store, tree: Tree) -> None:
    delivery = deliver(*SEVERAL)
    store.append(delivery, delivery.take())
    delivery.add(CRLF, LF)
    commit(store, delivery)
    assert tree.has_whole(delivery)


def test_the_disk_begins_with_a_large_file_early(store: Store, stage: Stage) -> None:
    delivery = deliver(*MAILBOX)
    delivery.add(b"x" * 8_000_000, b"x" * 8_000_000)
    store.append(delivery, delivery.take())
    assert [call.name for call in stage.calls[-2:]] == ["write", "start_write_out"]


def test_abort_leaves_nothing(store: Store, tree: Tree) -> None:
    for delivery in (deliver(*SEVERAL), deliver(*SEVERAL)):
        store.append(delivery, delivery.take())
        store.abort(delivery)
    store.abort(deliver(*SEVERAL))
    assert tree.files() == []


def test_memory_is_counted_in_the_forms_that_are_kept() -> None:
    assert deliver(*MAILBOX).held == len(LF)
    assert deliver(*DOMAIN).held == len(CRLF)
    assert deliver(*SEVERAL).held == len(CRLF) + len(LF)
    assert deliver(*SEVERAL[:2]).held == len(CRLF) + len(LF)


# the order of calls, which is the promise behind a 250


def order(stage: Stage) -> list[str]:
    """The calls that matter, with identifiers and names in `new` left out."""
    wanted = ("create", "write", "fsync", "syncfs", "rename", "link", "unlink", "mkdir")
    calls = "\n".join(str(call) for call in stage.calls if call.name in wanted)
    calls = re.sub("[0-9a-z]{20}", "ID", calls)
    return re.sub(r"\d+\.ID\.mx\.example\.org,S=\d+,W=\d+", "NAME", calls).splitlines()


def warm(root: Path, stage: Stage, *ways: Way) -> Store:
    """A store that has these places open."""
    store = open_store(root, stage)
    commit(store, deliver(*ways))
    stage.begin()
    return store


def test_order_for_one_mailbox(root: Path, stage: Stage) -> None:
    store = warm(root, stage, *MAILBOX)
    store.commit([deliver(*MAILBOX)])
    assert order(stage) == [
        "create user1/tmp/ID.receiver",
        "write user1/tmp/ID.receiver",
        "fsync user1/tmp/ID.receiver",
        "rename user1/tmp/ID.receiver user1/new/NAME",
        "fsync user1/new",
    ]


def test_order_for_one_domain(root: Path, stage: Stage) -> None:
    store = warm(root, stage, *DOMAIN)
    store.commit([deliver(*DOMAIN)])
    assert order(stage) == [
        "create .OTHER_SERVERS/.tmp/ID.receiver",
        "write .OTHER_SERVERS/.tmp/ID.receiver",
        "fsync .OTHER_SERVERS/.tmp/ID.receiver",
        "rename .OTHER_SERVERS/.tmp/ID.receiver .OTHER_SERVERS/other.example/ID",
        "fsync .OTHER_SERVERS/other.example",
    ]


def test_order_for_several_places(root: Path, stage: Stage) -> None:
    store = warm(root, stage, *SEVERAL)
    batch = [deliver(*SEVERAL)]
    store.commit(batch)
    tmp = ".OTHER_SERVERS/.tmp/ID.receiver"
    assert order(stage) == [
        f"create {tmp}",
        f"write {tmp}",
        f"create {tmp}.mail",
        f"write {tmp}.mail",
        f"fsync {tmp}",
        f"fsync {tmp}.mail",
        f"rename {tmp} .OTHER_SERVERS/.commit/ID",
        "fsync .OTHER_SERVERS/.commit",
    ]
    stage.begin()
    store.finish(batch)
    assert order(stage) == [
        f"link {tmp}.mail user1/new/NAME",
        f"link {tmp}.mail user2/new/NAME",
        "link .OTHER_SERVERS/.commit/ID .OTHER_SERVERS/other.example/ID",
        "link .OTHER_SERVERS/.commit/ID .OTHER_SERVERS/third.example/ID",
        "syncfs .",
        "unlink .OTHER_SERVERS/.commit/ID",
        f"unlink {tmp}.mail",
    ]


def test_a_batch_shares_its_syncs(root: Path, stage: Stage) -> None:
    ways = (Mailbox("user1"), Mailbox("user2"), Domain("other.example"))
    store = warm(root, stage, *ways)
    store.commit([deliver(way) for way in ways * 3])
    calls = [call.split()[0] for call in order(stage)]
    assert calls == ["create", "write"] * 9 + ["syncfs"] + ["rename"] * 9 + ["syncfs"]


def test_a_batch_for_few_folders_syncs_these(root: Path, stage: Stage) -> None:
    store = warm(root, stage, *MAILBOX)
    store.commit([deliver(*MAILBOX) for _ in range(9)])
    assert order(stage)[-1] == "fsync user1/new"


def test_sync_by_file_syncs_nothing_else(root: Path, stage: Stage) -> None:
    store = Store(root, host=HOST, sync="file", system=stage)
    commit(store, *(deliver(way) for way in SEVERAL))
    assert "syncfs" not in [call.name for call in stage.calls]
    assert [call.name for call in stage.calls].count("fsync") == 4 + 4 + 4  # files, folders, parents


def test_new_folders_are_synced_with_their_parents(store: Store, stage: Stage) -> None:
    stage.begin()
    store.commit([deliver(Mailbox("a.example/b"))])
    made = [call for call in order(stage) if call.startswith("mkdir")]
    assert made == [f"mkdir a.example{folder}" for folder in ("", "/b", "/b/tmp", "/b/new", "/b/cur")]
    assert order(stage)[-1] == "syncfs ."
    stage.begin()
    store.commit([deliver(Mailbox("a.example/b"))])
    assert order(stage)[-1] == "fsync a.example/b/new"


def test_a_folder_found_is_synced_like_one_made(root: Path, store: Store, stage: Stage) -> None:
    """Whoever made it may have died before it was durable."""
    for folder in ("tmp", "new", "cur"):
        (root / "user1" / folder).mkdir(parents=True)
    stage.begin()
    store.commit([deliver(*MAILBOX)])
    assert order(stage)[-1] == "syncfs ."


def test_a_mailbox_lost_before_the_links_is_made_again_with_its_parents(
    root: Path, store: Store, stage: Stage, tree: Tree
) -> None:
    delivery = deliver(MAILBOX[0], DOMAIN[0])
    store.commit([delivery])
    shutil.rmtree(root / "user1")
    store.close()
    stage.begin()
    assert store.finish([delivery]) == []
    assert tree.has_whole(delivery)
    assert "syncfs ." in order(stage)
