"""The database itself: made, upgraded, left alone, gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from mta.users import database as databases
from mta.users import migrations
from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.errors import DatabaseDown, NewerDatabase, NoDatabase
from mta.users.tables import METADATA
from tests.instance import ROOT
from tests.users.library import SECRETS, Library


def test_a_new_database_has_all_tables(library: Library) -> None:
    with library.database().reading() as connection:
        assert set(inspect(connection).get_table_names()) == set(METADATA.tables)


def test_it_is_opened_again_as_it_was(library: Library) -> None:
    library.accounts().add("alice", "example.org", SECRETS)
    assert library.accounts().find("alice", "example.org") is not None


def test_a_newer_database_is_left_alone(library: Library) -> None:
    _set_version(library, migrations.VERSION + 1)
    with pytest.raises(NewerDatabase, match=f"version {migrations.VERSION + 1}.* use a newer mta"):
        library.accounts().count()


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of tomorrow, whose accounts have a note."""

    def add_a_note(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE users ADD COLUMN note TEXT NOT NULL DEFAULT 'none'"))

    monkeypatch.setattr(migrations, "STEPS", {migrations.VERSION: add_a_note})
    monkeypatch.setattr(migrations, "VERSION", migrations.VERSION + 1)


def test_an_older_database_is_upgraded(library: Library, request: pytest.FixtureRequest) -> None:
    library.accounts().add("alice", "example.org", SECRETS)
    request.getfixturevalue("next_version")
    for _ in range(2):  # the second time there is nothing to do
        with library.database().reading() as connection:
            assert connection.execute(text("SELECT note FROM users")).scalar_one() == "none"


def test_a_failed_upgrade_changes_nothing(
    library: Library, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.accounts().count()
    request.getfixturevalue("next_version")
    step = migrations.STEPS[migrations.VERSION - 1]

    def fail_in_the_end(connection: Connection) -> None:
        step(connection)
        connection.execute(text("SELECT * FROM nowhere"))

    monkeypatch.setattr(migrations, "STEPS", {migrations.VERSION - 1: fail_in_the_end})
    with pytest.raises(DatabaseDown, match="nowhere"):
        library.accounts().count()
    monkeypatch.setattr(migrations, "VERSION", migrations.VERSION - 1)
    assert "note" not in _columns(library, "users")


def test_processes_that_start_together_make_it_once(library: Library) -> None:
    program = f"""if True:
        from mta.users.accounts import Accounts
        from mta.users.database import Database
        print(Accounts(Database({library.url!r})).secret("srs").hex())
    """
    running = [
        subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert len(said) == 1


def test_when_it_is_down_it_says_so(library: Library) -> None:
    accounts = library.accounts()
    accounts.add("alice", "example.org", SECRETS)
    with library.down():
        with pytest.raises(DatabaseDown):
            accounts.find("alice", "example.org")
        with pytest.raises(DatabaseDown):
            accounts.add("bob", "example.org", SECRETS)
    assert accounts.find("alice", "example.org") is not None


@pytest.mark.parametrize("url", ["postgresql://nobody:s3cret@127.0.0.1:1/x", "postgresql://h:port/x"])
def test_no_password_in_what_is_told(url: str) -> None:
    with pytest.raises(DatabaseDown) as told:
        Accounts(Database(url)).count()
    assert "s3cret" not in str(told.value)
    assert "\n" not in str(told.value)


# files


def test_the_file_is_ours_alone(tmp_path: Path) -> None:
    file = tmp_path / "not there yet" / "users.db"
    Accounts(Database(f"sqlite:///{file}")).add("alice", "example.org", SECRETS)
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_is_only_to_be_read_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NoDatabase, match="there is no database yet"):
        Accounts(Database(f"sqlite:///{tmp_path}/users.db", make=False)).count()
    assert not list(tmp_path.iterdir())


def test_another_kind_of_file(tmp_path: Path) -> None:
    file = tmp_path / "users.db"
    file.write_text("these are not the tables you are looking for" * 100)
    with pytest.raises(DatabaseDown, match=r"users\.db: file is not a database"):
        Accounts(Database(f"sqlite:///{file}")).count()


def test_a_backup_put_in_its_place_is_read(tmp_path: Path) -> None:
    accounts, backup = (Accounts(Database(f"sqlite:///{tmp_path}/{name}.db")) for name in ("users", "backup"))
    mark = accounts.changes_since(None).mark
    backup.add("alice", "example.org", SECRETS)
    backup._database.close()
    (tmp_path / "backup.db").rename(tmp_path / "users.db")
    assert accounts.find("alice", "example.org") is not None
    assert accounts.changes_since(mark).everything


def test_a_file_replaced_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts, other = (Accounts(Database(f"sqlite:///{tmp_path}/{name}.db")) for name in ("users", "other"))
    other.add("alice", "example.org", SECRETS)
    prepare = databases._prepare

    def replace_then_prepare(engine: Engine) -> None:
        (tmp_path / "other.db").rename(tmp_path / "users.db")
        monkeypatch.setattr(databases, "_prepare", prepare)
        prepare(engine)

    monkeypatch.setattr(databases, "_prepare", replace_then_prepare)
    accounts.count()
    assert accounts.find("alice", "example.org") is not None


def test_a_locked_file_is_a_database_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_PATIENCE", 0)
    accounts = Accounts(Database(f"sqlite:///{tmp_path}/users.db"))
    accounts.count()
    other = create_engine(f"sqlite:///{tmp_path}/users.db")
    with other.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        assert accounts.count() == 0  # who reads waits for nobody
        with pytest.raises(DatabaseDown, match="locked"):
            accounts.add("alice", "example.org", SECRETS)


def _set_version(library: Library, number: int) -> None:
    with library.database().writing() as connection:
        connection.execute(text(f"UPDATE schema_version SET version = {number}"))


def _columns(library: Library, table: str) -> set[str]:
    with library.database().reading() as connection:
        return {column["name"] for column in inspect(connection).get_columns(table)}
