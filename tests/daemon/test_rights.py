"""Started as root: the supervisor alone stays root."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from mta.daemon.errors import CannotStart
from mta.daemon.privileges import User, own_database, own_file
from tests.conftest import needs
from tests.daemon.conftest import Maker
from tests.daemon.manager import Manager
from tests.daemon.supervised import MODULES, Supervised
from tests.instance import PATIENCE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its rights")

NOBODY = pwd.getpwnam("nobody")
AS_USER = (
    *("--set", "application.user=nobody"),
    *("--set", "users.database=sqlite:///../accounts/users.db"),
)


def status_of(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


@pytest.fixture
def reachable(tmp_path: Path) -> None:
    """Let others through to the folders of this test, as they would be below /var."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(0o711)


@pytest.fixture
def python(reachable: None) -> str:
    """An interpreter that others may execute, and find our modules with; ours may lie in root's home."""
    for each in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        if can_run(each):
            return each
    pytest.skip("user nobody can run no Python here that finds our modules")


def can_run(python: str) -> bool:
    """Whether user nobody can run it, and find our modules."""
    words = [python, "-P", "-c", "import mta.config.schema"]
    environment = {**os.environ, **MODULES}
    try:
        subprocess.run(
            words, env=environment, user="nobody", extra_groups=[], capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@pytest.fixture
def dropped(make: Maker, python: str) -> Supervised:
    server = make(more=AS_USER, python=python)
    server.start()
    return server


def test_children_are_the_user_and_nothing_else(dropped: Supervised) -> None:
    processes = dropped.processes()
    assert status_of(processes.pop("supervisor"))["Uid"] == ["0"] * 4
    for pid in processes.values():
        status = status_of(pid)
        assert status["Uid"] == [str(NOBODY.pw_uid)] * 4
        assert status["Gid"] == [str(NOBODY.pw_gid)] * 4
        assert status["Groups"] == [str(NOBODY.pw_gid)]
        assert {int(status[each][0], 16) for each in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == ["1"]


def test_a_child_has_no_descriptors_but_its_own(dropped: Supervised) -> None:
    fds = Path(f"/proc/{dropped.processes()['receiver']}/fd")
    targets = {os.readlink(each) for each in fds.iterdir() if int(each.name) > 2}
    files = {target for target in targets if target.startswith("/")}
    assert files == {str(dropped.maildir / ".lock"), "/memfd:mta-counters (deleted)"}


def test_the_folders_become_the_users(make: Maker, python: str, manager: Manager, tmp_path: Path) -> None:
    var = tmp_path / "var"
    places = {
        "application.maildir.path": var / "maildir",
        "application.log.path": var / "log" / "mta.log",
        "application.socket": var / "run" / "sock",
    }
    words = [word for key, path in places.items() for word in ("--set", f"{key}={path}")]
    server = make(more=(*AS_USER, *words), environment={"NOTIFY_SOCKET": str(manager.path)}, python=python)
    server.spawn()
    manager.hear_until("READY")
    assert server.stop() == 0
    for path in (
        var / "maildir",
        var / "maildir" / ".lock",
        var / "log",
        var / "log" / "mta.log",
        var / "run",
    ):
        assert path.stat().st_uid == NOBODY.pw_uid, path
    assert var.stat().st_uid == 0
    assert server.run("queue", "list").returncode == 0  # as the owner of the tree, who has to lock it


def test_the_local_socket_hears_root_and_the_user_only(dropped: Supervised) -> None:
    setpriv = needs("setpriv")
    path = dropped.configuration.parent.parent / "mta.sock"
    assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (0o600, NOBODY.pw_uid)
    for user, status in (("nobody", 0), ("daemon", 77)):
        prefix = (setpriv, f"--reuid={user}", "--clear-groups", "--")
        assert dropped.run("config", prefix=prefix).returncode == status


def test_rights_that_cannot_be_given_up_end_the_start(make: Maker, reachable: None) -> None:
    prefix = (needs("setpriv"), "--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid", "--")
    server = make(more=AS_USER, prefix=prefix)
    server.spawn()
    assert server.wait() == 77
    assert server.output() == "mta: the logger cannot be executed as nobody: Operation not permitted\n"


def test_a_child_that_finds_itself_root_will_not_begin() -> None:
    words = [sys.executable, "-m", "mta.daemon.child", "receiver", "no:matter", "user=65534:65534"]
    done = subprocess.run(
        words, env={**os.environ, **MODULES}, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 77
    assert (
        done.stderr
        == "mta: the receiver has rights it must not have: still not user 65534, group 65534 alone\n"
    )


def test_what_is_somebody_elses_or_shared_is_not_given_away(tmp_path: Path) -> None:
    user = User("nobody", NOBODY.pw_uid, NOBODY.pw_gid)
    shared = tmp_path / "shared"
    shared.mkdir()
    own_file(shared / "mta.log", user)
    secret = tmp_path / "secret"
    secret.touch()
    (shared / "link").hardlink_to(secret)
    own_file(shared / "link", user)
    own_file(Path("/dev/null"), user)
    assert [each.stat().st_uid for each in (shared, shared / "mta.log", secret, Path("/dev/null"))] == [
        0,
        NOBODY.pw_uid,
        0,
        0,
    ]
    (shared / "symbolic").symlink_to(secret)
    with pytest.raises(CannotStart) as refusal:
        own_file(shared / "symbolic", user)
    assert refusal.value.status == 77


def test_a_database_whose_journal_the_user_could_not_write_ends_the_start(tmp_path: Path) -> None:
    user = User("nobody", NOBODY.pw_uid, NOBODY.pw_gid)
    file = tmp_path / "made" / "users.db"
    own_database(f"sqlite:///{file}", user)
    assert file.parent.stat().st_uid == NOBODY.pw_uid
    file.touch()
    own_database(f"sqlite:///{file}", user)
    assert file.stat().st_uid == NOBODY.pw_uid
    os.chown(file.parent, 0, 0)
    with pytest.raises(CannotStart, match="nobody must be able to write here") as refusal:
        own_database(f"sqlite:///{file}", user)
    assert refusal.value.status == 77
    file.parent.chmod(0o777)
    own_database(f"sqlite:///{file}", user)
    own_database("postgresql://somewhere/mta", user)
    own_database(f"sqlite:///{tmp_path}/nobody/asks", None)


def test_a_user_that_does_not_exist(make: Maker) -> None:
    server = make(more=("--set", "application.user=no-such-user"))
    server.spawn()
    assert server.wait() == 78
    assert "there is no user no-such-user" in server.output()


def test_a_tree_that_is_not_ours(make: Maker, python: str) -> None:
    server = make(python=python, prefix=(needs("setpriv"), "--reuid=nobody", "--clear-groups", "--"))
    server.spawn()
    assert server.wait() == 77
    assert f"mta: {server.maildir}/.lock: cannot be opened: Permission denied" in server.output()
