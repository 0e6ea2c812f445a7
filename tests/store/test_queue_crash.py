"""The relay dies, fails or loses its power at any call: no recipient is lost, and none is reported twice."""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.store import Domain, Mailbox, State, Way
from tests.store.relaying import ANSWERED, LATER, NEVER, OK, Relay, World, accept, kept
from tests.store.stage import Call, Crash, CrashAt, FailOnce, FullFrom, Stage, Tree, Verdict
from tests.store.test_crash import Disk, build

SENDER = Mailbox("sender")


@dataclass
class Scene:
    """A letter, and what the other servers say to it."""

    answers: Mapping[str, Sequence[State]]
    reports_go_to: Way | None = SENDER
    sender: str = "s@example"


SCENES = {
    "delivered": Scene({"a@x": [OK]}),
    "deferred": Scene({"a@x": [LATER, LATER, OK]}),
    "partial": Scene({"a@x": [OK], "b@x": [LATER, OK]}),
    "failed": Scene({"a@x": [NEVER]}),
    "each": Scene({"a@x": [OK], "b@x": [LATER, NEVER], "c@x": [NEVER], "d@x": [LATER, OK]}),
    "reported elsewhere": Scene({"a@x": [LATER, NEVER]}, Domain("sender.example")),
    "nobody to tell": Scene({"a@x": [NEVER]}, None, ""),
}
scenes = pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)


def begin(root: Path, scene: Scene) -> None:
    """The letter is there."""
    root.mkdir()
    accept(root, *scene.answers, sender=scene.sender)


def is_stopped(root: Path, scene: Scene, world: World, verdict: Verdict) -> bool:
    """One life with this verdict, and whether it came to no good end."""
    stage = Stage(root)
    relay = Relay(root, world, stage, scene.reports_go_to)
    stage.begin(verdict)
    try:
        relay.live()
    except (Crash, OSError):
        return True
    return False


def carry_on(root: Path, scene: Scene, world: World) -> None:
    """The next life, to the end."""
    relay = Relay(root, world, sender=scene.reports_go_to)
    relay.live()
    relay.store.clean()


def reported(root: Path, world: World, scene: Scene) -> Counter[str]:
    """How many different reports tell of each address."""
    texts = [path.read_text("latin-1") for path in root.glob("sender/new/*")]
    if isinstance(scene.reports_go_to, Domain):
        told = len(set(world.letters_for("s@example")))
        return Counter({address: told for address in scene.answers if NEVER in scene.answers[address]})
    return Counter(word for text in texts for word in text.split() if word in scene.answers)


def each_ended_once(root: Path, scene: Scene, world: World, repeats: int) -> None:
    """Delivered (at most so many times more than once), or failed, kept and reported."""
    buried = [letter.status for letter in kept(root)]
    for address, answers in scene.answers.items():
        fails = NEVER in answers
        assert len(world.letters_for(address)) in (range(1) if fails else range(1, 2 + repeats))
        assert reported(root, world, scene)[address] == (1 if fails and scene.reports_go_to else 0)
        assert sum(address in s.recipients and not s.waits(address) for s in buried) >= fails
    assert len(buried) <= 1
    assert Tree(root).unfinished() == []


@scenes
def test_the_relay_dies_at_any_call(tmp_path: Path, scene: Scene) -> None:
    number, crashed = 0, True
    while crashed:
        root = tmp_path / str(number)
        begin(root, scene)
        world = World(scene.answers)
        crashed = is_stopped(root, scene, world, CrashAt(number))
        carry_on(root, scene, world)
        each_ended_once(root, scene, world, repeats=1)
        number += 1
    assert number > 20


@scenes
def test_the_relay_dies_again_while_it_recovers(tmp_path: Path, scene: Scene) -> None:
    """At a few places of the first life, and anywhere in the second."""
    chance = random.Random(1981)
    for first in (20, 35, 50, 65):
        for run in range(12):
            root = tmp_path / f"{first}-{run}"
            begin(root, scene)
            world = World(scene.answers)
            is_stopped(root, scene, world, CrashAt(first))
            is_stopped(root, scene, world, CrashAt(chance.randrange(60)))
            carry_on(root, scene, world)
            each_ended_once(root, scene, world, repeats=2)


@scenes
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
def test_any_call_fails(tmp_path: Path, scene: Scene, error: int) -> None:
    number, failed = 0, True
    calls = _calls(tmp_path / "calm", scene)
    while number <= calls:
        root = tmp_path / str(number)
        begin(root, scene)
        world = World(scene.answers)
        failed = is_stopped(root, scene, world, FailOnce(number, error))
        carry_on(root, scene, world)
        each_ended_once(root, scene, world, repeats=failed)
        number += 1
    assert not failed


@scenes
def test_the_disk_is_full_for_a_while(tmp_path: Path, scene: Scene) -> None:
    for number in range(0, _calls(tmp_path / "calm", scene), 5):
        root = tmp_path / str(number)
        begin(root, scene)
        world = World(scene.answers)
        failed = is_stopped(root, scene, world, FullFrom(number))
        carry_on(root, scene, world)
        each_ended_once(root, scene, world, repeats=failed)


def _calls(root: Path, scene: Scene) -> int:
    """How many there are when nothing goes wrong."""
    begin(root, scene)
    return len(_played(root, scene))


@scenes
def test_the_power_fails_after_any_call(tmp_path: Path, scene: Scene) -> None:
    """Removals may come undone: then a message is sent again, but still nobody is told twice."""
    chance = random.Random(5321)
    begin(tmp_path / "calm", scene)
    disk = _as_it_is(tmp_path / "calm")
    world, states = World(scene.answers), 0
    calls = _played(tmp_path / "calm", scene)
    for number, call in enumerate(calls):
        if call.name == ANSWERED:
            world.note(call)
        # A file that is not there is no change; its removal was called for just in case.
        if call.name != "unlink" or call.paths[0] in disk.now:
            disk.apply(call)
        # The end, where things are removed, is where a wrong order hides best.
        mixtures = 1 if number < len(calls) - 8 else 8
        for state, (folders, files) in enumerate(disk.states(chance, mixtures)):
            root = tmp_path / f"{number}-{state}"
            build(root, folders, files)
            again = world.again()
            carry_on(root, scene, again)
            each_ended_once(root, scene, again, repeats=9)
            states += 1
    assert states > 50


def _played(root: Path, scene: Scene) -> list[Call]:
    """All calls of an undisturbed life, and the answers of the world among them."""
    stage = Stage(root)
    relay = Relay(root, World(scene.answers, stage.calls), stage, scene.reports_go_to)
    relay.live()
    return stage.calls


def _as_it_is(root: Path) -> Disk:
    paths = sorted(root.rglob("*"))
    folders = [str(path.relative_to(root)) for path in paths if path.is_dir()]
    files = {str(path.relative_to(root)): path.read_bytes() for path in paths if path.is_file()}
    return Disk.after_a_cut(folders, files)


fates = st.builds(lambda waits, end: [LATER] * waits + [end], st.integers(0, 2), st.sampled_from([OK, NEVER]))
anything = st.builds(
    Scene,
    st.dictionaries(st.sampled_from(["a@x", "b@x", "c@x", "d@x"]), fates, min_size=1),
    st.just(SENDER),
)


@settings(max_examples=60, deadline=None)
@given(scene=anything, deaths=st.lists(st.integers(0, 120), max_size=4))
def test_any_letter_and_any_number_of_deaths(scene: Scene, deaths: list[int]) -> None:
    with TemporaryDirectory() as folder:
        root, world = Path(folder, "tree"), World(scene.answers)
        begin(root, scene)
        died = [is_stopped(root, scene, world, CrashAt(number)) for number in deaths]
        carry_on(root, scene, world)
        each_ended_once(root, scene, world, repeats=sum(died))
