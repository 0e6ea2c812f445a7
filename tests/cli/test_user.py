"""`mta user`: every action, and every way it can be refused."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from mta.users.account import Role
from mta.users.database import Database
from mta.users.passwords import verify
from tests.cli.people import Desk
from tests.instance import mta


def password_of(desk: Desk, name: str) -> str:
    found = desk.accounts().secrets_of(name, "example.org")
    assert found is not None
    return found[1].hash


# add


def test_the_first_account_makes_the_database(desk: Desk) -> None:
    said = desk.run("user", "add", "Alice", "--password-stdin", stdin=b"correct horse\nnot this\n")
    assert said == (0, "alice@example.org: added\n", "")
    assert verify(password_of(desk, "alice"), "correct horse").ok
    assert desk.database.stat().st_mode & 0o777 == 0o600


def test_a_password_made_up(desk: Desk) -> None:
    said = desk.run("user", "add", "alice", "--generate", "--role", "administrator")
    password = said.out.splitlines()[1].removeprefix("password: ")
    assert verify(password_of(desk, "alice"), password).ok
    values = desk.run("user", "passwd", "alice", "--generate", "--json").values
    assert values["address"] == "alice@example.org"
    assert verify(password_of(desk, "alice"), values["password"]).ok


def test_a_password_typed_twice(desk: Desk) -> None:
    desk.at_terminal("correct horse", "correct horse")
    assert desk.run("user", "add", "alice").status == 0
    assert verify(password_of(desk, "alice"), "correct horse").ok


def test_a_password_typed_twice_in_two_ways(desk: Desk) -> None:
    desk.at_terminal("correct horse", "correct house")
    said = desk.run("user", "add", "alice")
    assert (said.status, said.err) == (1, "mta: the two are not the same; nothing was changed\n")
    assert desk.accounts().count() == 0


def test_nobody_to_ask(desk: Desk) -> None:
    said = desk.run("user", "add", "alice")
    assert (said.status, "--password-stdin or --generate" in said.err) == (2, True)


@pytest.mark.parametrize(
    "password", [b"short\n", b"\xff\xfe\xfd\xff\xff\xff\xff\xff\n", b"a\x00bcdefgh\n", b"\n"]
)
def test_passwords_that_are_none(desk: Desk, password: bytes) -> None:
    assert desk.run("user", "add", "alice", "--password-stdin", stdin=password).status == 1
    assert desk.accounts().count() == 0


@pytest.mark.parametrize(
    "address",
    ["..", "../x", "new", "alice@other.example", "alice@", "@example.org", "a/b@example.org", "a\udcff"],
)
def test_addresses_that_nobody_gets(desk: Desk, address: str) -> None:
    said = desk.run("user", "add", "--generate", "--", address)
    assert said.status == 1
    assert said.err.startswith("mta: ")
    assert said.err.count("\n") == 1


def test_twice(desk: Desk) -> None:
    desk.add("alice")
    said = desk.run("user", "add", "alice@EXAMPLE.org", "--generate")
    assert (said.status, said.err) == (1, "mta: there is an account alice@example.org already\n")


def test_no_more_than_the_limit(desk: Desk) -> None:
    said = desk.run("user", "add", "alice", "--generate", settings=("limits.users=1",))
    assert said.status == 0
    said = desk.run("user", "add", "bob", "--generate", settings=("limits.users=1",))
    assert (said.status, "limits.users allows 1" in said.err) == (1, True)


def test_old_mail_is_told_of(desk: Desk) -> None:
    desk.mail("alice", "new/1.x.host")
    desk.add("bob")
    said = desk.run("user", "add", "alice", "--generate")
    assert "added, with the mail that is in alice already" in said.out


def test_scram_when_it_is_wanted(desk: Desk) -> None:
    desk.run("user", "add", "alice", "--generate", settings=("users.scram=true",))
    found = desk.accounts().secrets_of("alice", "example.org")
    assert found is not None
    assert found[1].scram.startswith("SCRAM-SHA-256$")


# list, show


def test_a_list(desk: Desk) -> None:
    desk.add("bob")
    desk.add("alice", "--role", "administrator")
    desk.add("alice@example.net")
    lines = desk.run("user", "list").out.splitlines()
    assert [line.split() for line in lines] == [
        ["address", "role", "state", "quota", "mailbox"],
        ["alice@example.net", "user", "enabled", "-", "example.net/alice"],
        ["alice@example.org", "administrator", "enabled", "-", "alice"],
        ["bob@example.org", "user", "enabled", "-", "bob"],
    ]
    values = desk.run("user", "list", "--json", "--domain", "example.net").values
    assert [each["folder"] for each in values] == ["example.net/alice"]


def test_an_account_with_its_mail(desk: Desk) -> None:
    desk.add("alice@example.org")
    desk.run("alias", "add", "info", "alice")
    names = ("new/1.a.host,S=1000,W=1010", "cur/2.b.host,S=500:2,S", "cur/3.other:2,", "tmp/4.c.host,S=7777")
    desk.mail("alice", *names)
    shown = desk.run("user", "show", "alice", "--json").values
    assert (shown["octets"], shown["messages"], shown["aliases"]) == (1510, 3, ["info@example.org"])
    assert desk.run("user", "show", "alice").out.splitlines() == [
        "alice@example.org: user, enabled",
        "    mailbox alice: 1.5 kB in 3 messages",
        "    quota: none",
        "    aliases that lead here alone: info@example.org",
    ]


@pytest.mark.parametrize("action", ["show", "passwd", "disable", "enable", "delete"])
def test_nobody_of_that_name(desk: Desk, action: str) -> None:
    desk.add("alice")
    assert desk.run("user", action, "bob") == (1, "", "mta: there is no account bob@example.org\n")


@pytest.mark.parametrize("words", ["user list", "user show alice", "alias list", "ban list", "user export"])
def test_no_database_yet(desk: Desk, words: str) -> None:
    said = desk.run(*words.split())
    assert (said.status, said.err) == (
        1,
        f"mta: {desk.database}: there is no database yet; mta user add makes it\n",
    )
    assert not desk.database.exists()


# change


def test_a_new_password(desk: Desk) -> None:
    desk.add("alice")
    said = desk.run("user", "passwd", "alice", "--password-stdin", stdin=b"battery staple")
    assert said == (0, "alice@example.org: the password is changed\n", "")
    assert verify(password_of(desk, "alice"), "battery staple").ok


def test_role_quota_state(desk: Desk) -> None:
    desk.add("alice")
    assert desk.run("user", "role", "alice", "operator").status == 0
    assert (
        desk.run("user", "quota", "alice", "1GB", "500").out
        == "alice@example.org: quota 1.0 GB, 500 messages\n"
    )
    assert desk.run("user", "disable", "alice").status == 0
    account = desk.accounts().find("alice", "example.org")
    assert account is not None
    assert (account.role, account.enabled) == (Role.OPERATOR, False)
    assert (account.quota_octets, account.quota_messages) == (10**9, 500)
    desk.run("user", "enable", "alice")
    assert desk.run("user", "quota", "alice", "none").out == "alice@example.org: quota none\n"
    account = desk.accounts().find("alice", "example.org")
    assert account is not None
    assert account.enabled
    assert (account.quota_octets, account.quota_messages) == (0, 0)


@pytest.mark.parametrize(
    "words", ["role alice operator", "disable alice", "delete alice", "delete alice --purge"]
)
def test_the_last_administrator(desk: Desk, words: str) -> None:
    desk.add("alice", "--role", "administrator")
    desk.mail("alice", "new/1.x.host")
    said = desk.run("user", *words.split())
    assert (said.status, "is the last administrator" in said.err) == (1, True)
    assert (desk.maildir / "alice/new/1.x.host").exists()


@pytest.mark.parametrize(
    "words",
    [
        "",
        "add",
        "role alice king",
        "quota alice much",
        "quota alice 1GB -5",
        "list alice",
        "import /not/there",
    ],
)
def test_wrong_usage(desk: Desk, words: str) -> None:
    desk.add("alice")
    assert desk.run("user", *words.split()).status == 2


# delete


def test_deleted_but_the_mail_stays(desk: Desk) -> None:
    desk.add("alice")
    desk.mail("alice", "new/1.x.host")
    assert desk.run("user", "delete", "alice") == (0, "alice@example.org: deleted\n", "")
    assert desk.accounts().count() == 0
    assert (desk.maildir / "alice/new/1.x.host").exists()


def test_deleted_with_the_mail(desk: Desk) -> None:
    desk.add("alice")
    desk.add("alice@example.net")
    desk.add("bob@example.net")
    desk.mail("alice", "new/1.x.host")
    desk.mail("example.net/alice", "new/1.x.host", "cur/2.x.host:2,S", ".Sent/cur/3.x.host")
    assert desk.run("user", "delete", "--purge", "alice@example.net").status == 0
    assert [path.name for path in desk.maildir.iterdir()] == ["alice"]
    assert desk.run("user", "delete", "--purge", "bob@example.net").status == 0  # who never had mail


def test_a_purge_follows_no_link(desk: Desk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    desk.add("alice")
    desk.mail("alice", "new/1.x.host")
    (desk.maildir / "alice/cur").symlink_to(outside)
    assert desk.run("user", "delete", "--purge", "alice").status == 0
    assert not (desk.maildir / "alice").exists()
    assert (outside / "kept").exists()


@pytest.mark.parametrize("part", ["alice", "example.net"])
def test_a_purge_of_a_link(desk: Desk, tmp_path: Path, part: str) -> None:
    outside = tmp_path / "outside"
    (outside / "alice").mkdir(parents=True)
    desk.add("alice")
    desk.add("alice@example.net")
    desk.maildir.mkdir(exist_ok=True)
    (desk.maildir / part).symlink_to(outside)
    address = "alice@example.net" if part == "example.net" else "alice"
    said = desk.run("user", "delete", "--purge", address)
    assert (said.status, "cannot be removed" in said.err, "is disabled, try again" in said.err) == (
        75,
        True,
        True,
    )
    assert (outside / "alice").exists()
    (desk.maildir / part).unlink()
    assert desk.run("user", "delete", "--purge", address).status == 0


# import, export


def test_import_and_export(desk: Desk, tmp_path: Path) -> None:
    lines = tmp_path / "passwd"
    lines.write_text(
        "# users\nalice:{SSHA}aGFzaA==:1000:1000::/home/alice::\nbob@example.net:secret\nCarol\n"
    )
    said = desk.run("user", "import", str(lines), "--domain", "example.org")
    assert said == (1, "2 accounts added, 1 refused\n", "line 4: there is no colon, and so no password\n")
    exported = desk.run("user", "export").out
    assert [line.split(":")[0] for line in exported.splitlines()] == ["bob@example.net", "alice@example.org"]
    desk.run("user", "delete", "alice")
    again = desk.run("user", "import", "-", stdin=exported.encode())
    assert again == (1, "1 account added, 1 refused\n", "line 1: bob@example.net exists already\n")


def test_many_refused_lines_are_counted(desk: Desk) -> None:
    said = desk.run("user", "import", "-", stdin=b"nothing\n" * 30)
    assert said.err.splitlines()[-1] == "and 10 more lines"


# the database is not as it should be


def test_a_newer_database(desk: Desk) -> None:
    desk.add("alice")
    with Database(f"sqlite:///{desk.database}").writing() as connection:
        connection.execute(text("UPDATE schema_version SET version = 99"))
    said = desk.run("user", "list")
    assert (said.status, "use a newer mta" in said.err) == (78, True)


def test_a_database_that_does_not_answer(desk: Desk) -> None:
    said = desk.run("user", "list", settings=("users.database=postgresql://x:s3cret@127.0.0.1:1/x",))
    assert said.status == 75
    assert "s3cret" not in said.err
    assert said.err.count("\n") == 1


def test_somebody_else_s_database(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.add("alice")
    monkeypatch.setattr("mta.cli.people.os.access", lambda path, mode: Path(path) != desk.database)
    for root, advice in ((True, "let it belong to"), (False, "be root, or")):
        monkeypatch.setattr("mta.cli.people.os.geteuid", lambda root=root: 0 if root else 1000)
        monkeypatch.setattr("mta.cli.people._become_owner", lambda _settings: None)
        said = desk.run("user", "list")
        assert said.status == 77
        assert said.err.startswith(f"mta: {desk.database}: not permitted; {advice}")


@pytest.fixture
def passable(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """An installation that others than root can reach; pytest's own folders they cannot."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        made = Desk(Path(folder), monkeypatch, capfd)
        made.maildir.mkdir()
        yield made


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_works_as_the_owner_of_the_tree(passable: Desk) -> None:
    for folder in (passable.maildir, passable.database.parent):
        os.chown(folder, 65534, 65534)
    said = mta("-f", str(passable.configuration), "user", "add", "alice", "--generate", check=False)
    assert (said.returncode, said.stderr) == (0, "")
    assert passable.database.stat().st_uid == 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_owner_of_the_tree_cannot_reach_the_database(passable: Desk) -> None:
    os.chown(passable.maildir, 65534, 65534)
    passable.database.parent.joinpath("closed").mkdir(0o700)
    setting = ("--set", f"users.database=sqlite:///{passable.database.parent}/closed/users.db")
    said = mta("-f", str(passable.configuration), *setting, "user", "list", check=False)
    assert (said.returncode, said.stderr.count("\n")) == (77, 1)
