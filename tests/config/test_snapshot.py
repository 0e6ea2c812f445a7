"""Snapshots cross a pipe unharmed; differences are told with passwords masked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mta.config import Change, Snapshot, changes, shown
from tests.config.helpers import loaded


def test_a_snapshot_survives_the_pipe(tmp_path: Path) -> None:
    more = """
relay: { from = [ "10.0.0.0/8", "2001:db8::/32" ], smarthost = "smtps://u:secret@host:465" }
smtp: { listen = [ "0.0.0.0:0", "[::]:25" ] }
limits: { message = "1.5GB", memory = "65MiB", timeout = "301s" }
application: { log: { path = "" }, maildir: { sync = "file" } }
tls: { certificate = "cert.pem", key = "key.pem" }
"""
    snapshot = loaded(tmp_path, more, "dns.timeout=1.234s")
    text = snapshot.to_json()
    assert Snapshot.from_json(text) == snapshot
    assert "secret" in text
    assert "\n" not in text


@pytest.mark.parametrize("text", ["", "{", '{"settings": {"hostname": "x"}, "origins": {}, "files": []}'])
def test_anything_else_is_no_snapshot(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Snapshot.from_json(text)


def test_changes_name_old_new_and_when(tmp_path: Path) -> None:
    old = loaded(tmp_path)
    new = loaded(
        tmp_path, 'limits: { timeout = "6m" }', "application.debug=true", "hostname=b.example", "smtp.listen="
    )
    assert changes(old, new) == (
        Change("hostname", "mx.example.org", "b.example", "next session"),
        Change("application.debug", "false", "true", "at once"),
        Change("smtp.listen", "127.0.0.1:2525, [::1]:2525", "", "at once"),
        Change("limits.timeout", "5m", "6m", "at once"),
    )
    assert changes(old, loaded(tmp_path, 'limits: { timeout = "300s" }')) == ()


def test_a_changed_password_is_a_change_that_tells_nothing(tmp_path: Path) -> None:
    old = loaded(tmp_path, "", "users.database=postgresql://u:first@host/db")
    new = loaded(tmp_path, "", "users.database=postgresql://u:second@host/db")
    (change,) = changes(old, new)
    assert change.old == change.new == "postgresql://u:***@host/db"
    assert change.applies == "restart"
    assert "second" not in json.dumps(shown(new.settings))


def test_shown_has_every_key_as_one_would_write_it(tmp_path: Path) -> None:
    values = shown(loaded(tmp_path).settings)
    assert values["relay.retry"] == "5m, 15m, 30m, 1h, 2h, 4h"
    assert values["relay.from"] == "127.0.0.0/8, ::1/128"
    assert values["application.debug"] == "false"
    assert values["limits.memory"] == "64MB"
    assert values["tls.key"] == ""
