"""The shipped files are what the schema says, and other libraries read the sample alike."""

from __future__ import annotations

import subprocess
from pathlib import Path

import libconf
from pyhocon import ConfigFactory

from mta.config import KEYS
from mta.config.dialect import read
from mta.config.load import load
from mta.config.sample import manual, sample
from mta.config.tokens import Plain
from tests.config.helpers import NOT_ROOT
from tests.conftest import needs

TREE = Path(__file__).parents[2]
CONF = TREE / "etc" / "mta.conf"
PAGE = TREE / "man" / "mta.conf.5"


def plainly(value: Plain) -> Plain:
    if isinstance(value, dict):
        return {name: plainly(inner) for name, inner in value.items()}
    return list(map(plainly, value)) if isinstance(value, list | tuple) else value


def test_the_shipped_files_are_what_the_schema_says() -> None:
    """If this fails: python -m mta.config.sample ."""
    assert CONF.read_text("utf-8") == sample()
    page = PAGE.read_text("utf-8")
    assert page == manual(page)


def test_libconf_and_pyhocon_and_we_read_the_sample_alike() -> None:
    here = plainly(read(CONF).values())
    assert plainly(libconf.loads(CONF.read_text())) == here
    assert plainly(ConfigFactory.parse_file(str(CONF)).as_plain_ordered_dict()) == here


def test_the_sample_loads_and_sets_every_key() -> None:
    snapshot = load(CONF, uid=NOT_ROOT)
    assert "default" not in snapshot.origins.values()
    assert snapshot.settings.local.mailboxes == "any"
    assert snapshot.settings.application.maildir.path == TREE.resolve() / "var" / "maildir"


def test_a_sample_for_another_place(tmp_path: Path) -> None:
    path = tmp_path / "mta.conf"
    path.write_text(
        sample({"application.maildir.path": "/srv/mail", "application.debug": True, "smtp.listen": []})
    )
    settings = load(path, uid=NOT_ROOT).settings
    assert settings.application.maildir.path == Path("/srv/mail")
    assert settings.application.debug
    assert settings.smtp.listen == ()


def test_there_are_fewer_than_a_hundred_keys_each_with_its_texts() -> None:
    assert len(KEYS) < 100
    for key in KEYS.values():
        assert key.note, key.name
        assert key.text.endswith((".", ")")), key.name


def test_only_two_keys_lack_a_default() -> None:
    assert {key.name for key in KEYS.values() if key.required} == {"hostname", "local.domains"}


def test_the_sample_differs_from_the_defaults_where_it_should() -> None:
    differing = {key.name for key in KEYS.values() if not key.required and key.sample != key.default}
    assert differing == {"local.mailboxes", "relay.enabled"}


def test_the_page_is_clean() -> None:
    told = subprocess.run(
        [needs("mandoc"), "-Tlint", "-Wwarning", PAGE], capture_output=True, text=True, check=False
    )
    assert told.stdout == ""
