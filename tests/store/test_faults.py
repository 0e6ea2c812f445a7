"""Every call of a commit fails once with every error: a message is stored whole or leaves nothing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mta.store import Delivery, Failed, Reason, Stored, Way
from tests.store.stage import (
    DOMAIN,
    MAILBOX,
    SEVERAL,
    FailOnce,
    FullFrom,
    Stage,
    Tree,
    Verdict,
    deliver,
    no_fault,
    open_store,
)

FULL = (errno.ENOSPC, errno.EDQUOT)
BROKEN = (errno.EIO,)
REFUSED = (errno.EACCES, errno.EROFS)
ERRORS: dict[str, tuple[int, ...]] = {
    "open": (*BROKEN, errno.EACCES, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    "create": (*FULL, *BROKEN, *REFUSED, errno.EEXIST, errno.EMFILE, errno.ENFILE),
    "write": (*FULL, *BROKEN, errno.EFBIG),
    "pwrite": (*FULL, *BROKEN),
    "pread": BROKEN,
    "start_write_out": BROKEN,
    "fsync": (*FULL, *BROKEN),
    "syncfs": (*FULL, *BROKEN),
    "close": (errno.EDQUOT, *BROKEN),
    "mkdir": (*FULL, *BROKEN, *REFUSED, errno.EEXIST, errno.EMLINK),
    "rename": (*FULL, *BROKEN, *REFUSED, errno.EEXIST, errno.EXDEV),
    # Not EEXIST: it says that the message is there, and must not be a lie.
    "link": (*FULL, *BROKEN, *REFUSED, errno.EXDEV, errno.EMLINK),
    "unlink": (*BROKEN, *REFUSED),
    "listdir": (*BROKEN, errno.ENOMEM),
    "stat": (*BROKEN, errno.EACCES),
    "fstat": BROKEN,
}
"""What may become of each call."""

SCENES: dict[str, list[tuple[Way, ...]]] = {
    "one mailbox": [MAILBOX],
    "one domain": [DOMAIN],
    "several": [SEVERAL],
    "a batch": [MAILBOX, DOMAIN, SEVERAL, MAILBOX],
}


def play(
    root: Path, scene: list[tuple[Way, ...]], verdict: Verdict, *, warm: bool
) -> tuple[Stage, list[Delivery]]:
    """Commit and finish a scene under a verdict, in a new tree; then let all be well and finish again."""
    stage = Stage(root)
    store = open_store(root, stage)
    if warm:
        batch = [deliver(*ways) for ways in scene]
        store.commit(batch)
        store.finish(batch)
    deliveries = [deliver(*ways) for ways in scene]
    stage.begin(verdict)
    store.commit(deliveries)
    store.finish(deliveries)
    stage.verdict = no_fault
    assert store.finish() == []
    assert store.pending == 0
    after = deliver(*SEVERAL)
    store.commit([after])
    store.finish([after])
    assert Tree(root).has_whole(after)
    return stage, deliveries


def all_or_nothing(root: Path, deliveries: list[Delivery]) -> None:
    tree = Tree(root)
    stored = [delivery for delivery in deliveries if isinstance(delivery.outcome, Stored)]
    for delivery in deliveries:
        assert tree.has_whole(delivery) == (delivery in stored)
    failed = [delivery.envelope.id for delivery in deliveries if delivery not in stored]
    assert [name for name in tree.files() if any(each in name for each in failed)] == []
    assert tree.unfinished() == []


@pytest.mark.parametrize("warm", [False, True], ids=["new folders", "known folders"])
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_one_error_anywhere(tmp_path: Path, scene: list[tuple[Way, ...]], warm: bool) -> None:
    (tmp_path / "calm").mkdir()
    stage, deliveries = play(tmp_path / "calm", scene, no_fault, warm=warm)
    calm = stage.calls
    assert all(delivery.outcome == Stored() for delivery in deliveries)
    failures = 0
    for number, call in enumerate(calm):
        for error in ERRORS[call.name]:
            root = tmp_path / f"{number}-{error}"
            root.mkdir()
            _, deliveries = play(root, scene, FailOnce(number, error), warm=warm)
            all_or_nothing(root, deliveries)
            failures += any(isinstance(delivery.outcome, Failed) for delivery in deliveries)
    assert failures >= 5 * len(scene)


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_the_disk_is_full_from_any_call_on(tmp_path: Path, scene: list[tuple[Way, ...]]) -> None:
    (tmp_path / "calm").mkdir()
    stage, _ = play(tmp_path / "calm", scene, no_fault, warm=False)
    for number in range(len(stage.calls)):
        root = tmp_path / str(number)
        root.mkdir()
        _, deliveries = play(root, scene, FullFrom(number), warm=False)
        all_or_nothing(root, deliveries)
        assert all(
            delivery.outcome.reason is Reason.NO_SPACE
            for delivery in deliveries
            if isinstance(delivery.outcome, Failed)
        )
