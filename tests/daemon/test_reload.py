"""A new configuration for a running server: by save, by signal, by command; and a bad one."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from mta.cli.tls import self_signed
from mta.config import Settings
from mta.daemon.reload import needed_descriptors
from tests.daemon.conftest import Maker
from tests.daemon.supervised import Supervised


def test_a_save_is_in_force_at_once_and_names_what_changed(server: Supervised) -> None:
    assert server.greeting()["debug"] is False
    server.save("application: {", "application: {\n  debug = true")
    told = server.await_record("reloaded", key="application.debug")
    assert (told.text("old"), told.text("new")) == ("false", "true")
    assert json.loads(server.run("reload", "--json").stdout)["changes"] == []
    assert server.greeting()["debug"] is True


def test_sighup_reloads_without_a_save(server: Supervised) -> None:
    text = server.configuration.read_text()
    with server.configuration.open("w") as file:
        file.write(text.replace("application: {", "application: {\n  debug = true"))
        file.flush()
        # Written, but not closed: to the watcher it is not saved yet.
        os.kill(server.pid, signal.SIGHUP)
        server.await_record("reloaded", key="application.debug")


def test_a_bad_save_is_told_with_a_caret_and_changes_nothing(server: Supervised) -> None:
    server.save("mailboxes", "mailboxs")
    server.await_record("reload_failed", text="  hint: did you mean local.mailboxes?")
    lines = [record.text("text") for record in server.records("reload_failed")]
    assert lines[0].startswith(f"{server.configuration}:")
    assert lines[2].strip() == "^"
    assert server.greeting()["debug"] is False
    server.save("mailboxs", "debug = true, mailboxes")
    assert server.run("reload").returncode == 78


def test_the_command_prints_the_bad_line_and_exits_78(server: Supervised) -> None:
    server.save("hostname", "hostnam")
    done = server.run("reload")
    assert done.returncode == 78
    assert "unknown key hostnam" in done.stderr
    assert "^" in done.stderr


def test_the_command_prints_what_changed_and_what_needs_a_restart(server: Supervised) -> None:
    server.save("../maildir", "../other")
    server.save("any", "listed")
    done = server.run("reload")
    told = server.await_record("restart_needed", key="application.maildir.path")
    assert told.text("new").endswith("/other")
    server.await_record("reloaded", key="local.mailboxes")
    assert done.returncode == 0
    shown = server.run("config", "application.maildir.path", "local.mailboxes").stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["application.maildir.path", "local.mailboxes"]
    assert shown[0].split()[1].endswith("/maildir")
    assert shown[1].split()[1] == "listed"


def test_listeners_come_and_go(server: Supervised) -> None:
    first = server.port
    server.save('"127.0.0.1:0"', '"127.0.0.2:0"')
    server.await_record("reloaded", key="smtp.listen")
    [listener] = json.loads(server.run("config", "--json").stdout)["listeners"]
    host, _, port = listener["bound"].rpartition(":")
    assert host == "127.0.0.2"
    with socket.create_connection((host, int(port))) as line:
        assert json.loads(line.makefile("rb").readline())["listeners"] == ["smtp=127.0.0.2:0"]
    with pytest.raises(ConnectionRefusedError):
        server.connected(first)


def test_a_service_that_nobody_serves_is_not_listened_on(server: Supervised) -> None:
    server.save("pop3: { listen = [ ] }", 'pop3: { listen = [ "127.0.0.1:0" ] }')
    server.await_record("reloaded", key="pop3.listen")
    assert server.greeting()["listeners"] == ["smtp=127.0.0.1:0"]
    [listener] = json.loads(server.run("config", "--json").stdout)["listeners"]
    assert listener["service"] == "smtp"


def test_a_port_that_is_taken_changes_nothing(server: Supervised) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        server.save('"127.0.0.1:0"', f'"{taken}"')
        done = server.run("reload")
        assert done.returncode == 75
        assert f"smtp.listen: {taken}: Address already in use" in done.stderr
        assert server.greeting()["listeners"] == ["smtp=127.0.0.1:0"]


def test_what_a_child_cannot_use_is_an_answer(make: Maker) -> None:
    server = make(role="Confused")
    server.start()
    server.save("application: {", "application: {\n  debug = true")
    server.await_record("fault", what="configuring", where="receiver")
    assert server.greeting()["debug"] is False


def test_a_child_born_later_gets_the_configuration_of_then(server: Supervised) -> None:
    server.save("application: {", "application: {\n  debug = true")
    server.await_record("reloaded")
    os.kill(server.greeting()["process"], signal.SIGKILL)
    assert server.greeting()["debug"] is True


# certificates


def pair_in(folder: Path, hostname: str = "mx.example.org") -> tuple[Path, Path]:
    folder.mkdir()
    certificate, key = self_signed(hostname, 10)
    (folder / "crt").write_bytes(certificate)
    (folder / "key").write_bytes(key)
    return folder / "crt", folder / "key"


@pytest.fixture
def encrypted(make: Maker, tmp_path: Path) -> Supervised:
    """A server whose certificate is reached through a link to a folder, as certbot and kubelet leave them."""
    pair_in(tmp_path / "first", "one.example.org")
    (tmp_path / "live").symlink_to("first")
    server = make(
        more=(
            "--set",
            f"tls.certificate={tmp_path}/live/crt",
            "--set",
            f"tls.key={tmp_path}/live/key",
        )
    )
    server.start()
    return server


def test_a_link_that_moves_brings_the_new_certificate(encrypted: Supervised, tmp_path: Path) -> None:
    assert encrypted.await_record("certificate_loaded").list("names") == ["one.example.org"]
    assert encrypted.greeting()["tls"] is True
    pair_in(tmp_path / "second", "two.example.org")
    (tmp_path / "fresh").symlink_to("second")
    (tmp_path / "fresh").rename(tmp_path / "live")
    encrypted.await_record("certificate_loaded", names="two.example.org")


def test_a_bad_pair_leaves_the_old_one_and_other_keys_change(encrypted: Supervised, tmp_path: Path) -> None:
    key = tmp_path / "first" / "key"
    key.write_text("nonsense")
    encrypted.await_record("certificate_refused")
    encrypted.save("application: {", "application: {\n  debug = true")
    encrypted.await_record("reloaded", key="application.debug")
    assert len(encrypted.records("certificate_refused")) == 1
    done = encrypted.run("reload")
    assert (done.returncode, done.stdout) == (78, "")
    assert "no usable pem" in done.stderr
    assert encrypted.greeting()["tls"] is True


def test_a_bad_pair_under_a_new_name_is_a_bad_configuration(server: Supervised, tmp_path: Path) -> None:
    server.save("relay:", f'tls: {{ certificate = "{tmp_path}/none" }}\nrelay:')
    done = server.run("reload")
    assert done.returncode == 78
    assert f"tls: {tmp_path}/none: No such file or directory" in done.stderr
    assert server.greeting()["tls"] is False


def test_a_session_of_pop3_needs_a_descriptor_for_the_lock_of_its_mail_drop() -> None:
    def needed(**groups: object) -> int:
        said = {
            "hostname": "mx.example.org",
            "local": {"domains": ["example.org"]},
            "limits": {"connections": 500},
            **groups,
        }
        return needed_descriptors(Settings.model_validate(said, context=Path("/")))

    assert needed(pop3={"listen": ["127.0.0.1:110"]}) - needed(pop3={"listen": []}) == 500
