"""`mta admin` against the real server: what each command prints, and what goes wrong."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.users.account import Role
from mta.users.accounts import Accounts
from mta.users.database import Database
from mta.users.passwords import make_secrets
from tests.instance import CONFIGURATION, MTA, PATIENCE, ROOT, Instance, mta

WITH_MANAGEMENT = CONFIGURATION.replace(
    "management: { listen = [ ] }", 'management: { listen = [ "127.0.0.1:0" ] }'
)

PASSWORD = "admin-password"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    folder = tmp_path_factory.mktemp("server")
    accounts = Accounts(Database(f"sqlite:///{folder}/users.db"))
    accounts.add("admin", "example.org", make_secrets(PASSWORD, scram=False), role=Role.ADMINISTRATOR)
    accounts.add("bob", "example.org", make_secrets("bob-password", scram=False))
    with Instance(folder, configuration=WITH_MANAGEMENT).running() as instance:
        yield instance


def admin(
    server: Instance, *words: str, user: str = "admin", password: str = PASSWORD
) -> tuple[int, list[str]]:
    """The exit status, and the lines that were printed."""
    place = ("-i", "127.0.0.1", "-P", str(server.ports["management"]))
    done = mta("admin", *place, "1.0", user, password, *words, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def told(*lines: str) -> list[str]:
    """The whole dialogue around these lines."""
    return ["+OK Management server ready", "+OK USER", "+OK PASS", *lines, "+OK GOODBYE"]


def test_each_command_prints_what_the_protocol_says(server: Instance) -> None:
    status = ["BYTES SENT = 0", "BYTES RECEIVED = 0", "LIVE CONNECTIONS = 0", "HISTORIC CONNECTIONS = 0"]
    limits = ["TOTAL USERS = 2", "MAX USERS = 3", "MAX CONNECTIONS = 600"]
    added = ["+OK ADD_USER", "USER ADDED SUCCESSFULLY"]
    deleted = ["+OK DELETE_USER", "USER DELETED SUCCESSFULLY"]
    for words, lines in {
        "-NOOP": ["+OK NOOP"],
        "-noop": ["+OK NOOP"],
        "-HISTORIC_CONNEC": ["+OK HISTORIC_CONNEC", "HISTORIC CONNECTIONS = 0"],
        "-LIVE_CONNEC": ["+OK LIVE_CONNEC", "LIVE CONNECTIONS = 0"],
        "-BYTES_TRANS": ["+OK BYTES_TRANS", "BYTES SENT = 0", "BYTES RECEIVED = 0"],
        "-USERS": ["+OK USERS", "USER COUNT: 2", "USER LIST:", "admin", "bob"],
        "-MAX_CONNEC 500": ["+OK MAX_CONNEC CHANGED"],
        "-MAX_CONNECTIONS 600": ["+OK MAX_CONNEC CHANGED"],
        "-MAX_USERS 3": ["+OK MAX_USERS", "MAX USERS CHANGED SUCCESSFULLY"],
        "-STATUS": ["+OK STATUS", *status, *limits],
        "-ADD_USER eve eve-password": added,
        "-DELETE_USER eve": deleted,
        "-TIMEOUT 1": ["+OK TIMEOUT COMPLETED"],
    }.items():
        assert admin(server, *words.split()) == (0, told(*lines)), words


def test_what_is_refused_is_1(server: Instance) -> None:
    for words, line in {
        "-ADD_USER bob bob-password": "-ERR USER ALREADY EXISTS",
        "-ADD_USER eve short": "-ERR PASSWORD TOO SHORT",
        "-DELETE_USER admin": "-ERR ADMIN CANNOT BE DELETED",
        "-RESET_USER_PASSWORD eve": "-ERR USER NOT FOUND",
        "-TIMEOUT -1": "-ERR NOT AN INTEGER FROM 0 TO 3600",
        "-NONSENSE": "-ERR NOT A COMMAND",
    }.items():
        assert admin(server, *words.split()) == (1, told(line)), words


def test_a_plain_user_changes_a_password_and_it_lasts(server: Instance) -> None:
    as_bob = {"user": "bob@example.org", "password": "bob-password"}
    assert admin(server, "-STATUS", **as_bob) == (1, told("-ERR NOT PERMITTED"))
    changed = told("+OK CHANGE_PASSWORD", "PASSWORD CHANGED SUCCESSFULLY")
    assert admin(server, "-CHANGE_PASSWORD", "bob-password", "bob-password-2", **as_bob) == (0, changed)
    assert admin(server, "-NOOP", user="bob", password="bob-password-2") == (0, told("+OK NOOP"))
    assert admin(
        server, "-CHANGE_PASSWORD", "bob-password-2", "bob-password", user="bob", password="bob-password-2"
    )


def test_a_reset_password_is_printed_and_works(server: Instance) -> None:
    admin(server, "-ADD_USER", "carl", "carl-password")
    status, lines = admin(server, "-RESET_USER_PASSWORD", "carl")
    assert (status, lines[3:5]) == (0, ["+OK RESET_USER_PASSWORD", "PASSWORD RESET SUCCESSFULLY"])
    password = lines[5].removeprefix("NEW PASSWORD = ")
    assert admin(server, "-NOOP", user="carl", password=password) == (0, told("+OK NOOP"))
    admin(server, "-DELETE_USER", "carl")


def test_a_wrong_password_is_1_and_the_dialogue_is_shown(server: Instance) -> None:
    shown = ["+OK Management server ready", "+OK USER", "-ERR LOGIN FAILED", "+OK GOODBYE"]
    assert admin(server, "-STATUS", password="guess") == (1, shown)


def test_the_password_may_come_from_standard_input(server: Instance) -> None:
    place = ("-i", "127.0.0.1", "-P", str(server.ports["management"]))
    done = subprocess.run(
        [*MTA, "admin", *place, "1.0", "admin", "-", "-NOOP"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert done.stdout.splitlines() == told("+OK NOOP")


def test_help_lists_the_commands() -> None:
    for words in (("-HELP",), ("1.0", "admin", "x", "-HELP")):
        done = mta("admin", *words)
        assert "-STATUS\n-MAX_CONNEC n\n-MAX_USERS n\n-TIMEOUT s\n" in done.stdout
    assert "-ADD_USER name password" in mta("admin", "--help").stdout


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("1.0", "admin"),
        ("1.0", "admin", "x"),
        ("1.0", "admin", "x", "STATUS"),
        ("2.0", "admin", "x", "-STATUS"),
        ("--ca", "x.pem", "1.0", "admin", "x", "-STATUS"),
        ("1.0", "admin", "x\r\nDELETE_USER bob", "-STATUS"),
        ("-P", "x", "1.0", "admin", "x", "-STATUS"),
    ],
)
def test_wrong_usage(words: tuple[str, ...]) -> None:
    done = mta("admin", *words, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_nobody_there_is_75(server: Instance) -> None:
    done = mta("admin", "-i", "127.0.0.1", "-P", "1", "1.0", "admin", "x", "-NOOP", check=False)
    assert (done.returncode, done.stdout) == (75, "")
    assert "nobody answers: Connection refused\n" in done.stderr


def test_outside_loopback_without_a_certificate_is_no_configuration(tmp_path: Path) -> None:
    file = tmp_path / "mta.conf"
    file.write_text(
        CONFIGURATION.replace("management: { listen = [ ] }", 'management: { listen = [ "192.0.2.1:6000" ] }')
    )
    done = mta("-f", str(file), "-t", check=False)
    assert done.returncode == 78
    assert "management.listen outside loopback needs tls.certificate" in done.stderr


def test_while_the_receiver_rests_the_rest_goes_on(tmp_path: Path) -> None:
    """A reload is taken, and a stop is not kept waiting; the pause ends with it."""
    accounts = Accounts(Database(f"sqlite:///{tmp_path}/users.db"))
    accounts.add("admin", "example.org", make_secrets(PASSWORD, scram=False), role=Role.ADMINISTRATOR)
    with Instance(tmp_path, configuration=WITH_MANAGEMENT).running() as server:
        place = ("-i", "127.0.0.1", "-P", str(server.ports["management"]))
        pausing = subprocess.Popen(
            [*MTA, "admin", *place, "1.0", "admin", PASSWORD, "-TIMEOUT", "3600"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        server.await_record("administered", order="TIMEOUT 3600")
        server.configuration.write_text(WITH_MANAGEMENT + "limits: { connections = 77 }\n")
        mta("-f", str(server.configuration), "reload")
        assert "77" in mta("-f", str(server.configuration), "config", "limits.connections").stdout
    printed, _ = pausing.communicate(timeout=PATIENCE)
    assert "+OK TIMEOUT COMPLETED\n" in printed
    assert not server.records("child_died")
