"""The tree as a whole: what lies at its top, what `make` offers, what the locks fix."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.instance import ROOT

FOLDERS = {".ci", "etc", "man", "mta", "tests", "var"}
FILES = {
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "pyproject.toml",
    "requirements.lock",
}

LOCKED = re.compile(r"^([a-z0-9-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


def locked(lock: str) -> dict[str, str]:
    """Package and version of each entry that has at least one hash."""
    return {name: version for name, version, _ in LOCKED.findall((ROOT / lock).read_text())}


def declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in extras for each in project["optional-dependencies"][extra]),
    ]
    return {re.split(r"[<>=~![]", requirement)[0].lower() for requirement in wanted}


def make(*words: str) -> str:
    return subprocess.run(
        [needs("make"), "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_only_what_belongs_lies_at_the_top() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(
        [needs("git"), "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {name.partition("/")[0] for name in listed.splitlines()} <= FOLDERS | FILES


@pytest.mark.parametrize("folder", ["maildir", "log", "run"])
def test_the_shipped_configuration_finds_its_folders(folder: str) -> None:
    assert (ROOT / "var" / folder / ".gitkeep").is_file()


def test_help_names_every_target() -> None:
    targets, *_ = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [line.split()[1] for line in make("help").splitlines()] == targets.split()


@pytest.mark.parametrize(
    ("lock", "extras"), [("requirements.lock", ()), ("tests/requirements.lock", ("test", "dev"))]
)
def test_locks_hold_what_the_project_declares(lock: str, extras: tuple[str, ...]) -> None:
    assert declared(*extras) <= locked(lock).keys()


def test_tests_run_with_what_is_installed() -> None:
    assert locked("requirements.lock").items() <= locked("tests/requirements.lock").items()


@pytest.mark.parametrize("lock", ["requirements.lock", "tests/requirements.lock"])
def test_locks_name_packages_and_no_place(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.findall(r"^[^#\s].*==", text, re.MULTILINE)
    assert len(entries) == len(locked(lock))
    assert "://" not in text
    assert "--index" not in text
    assert "find-links" not in text


def test_an_installation_names_only_absolute_paths_and_keeps_a_configuration(tmp_path: Path) -> None:
    # All but the program itself, which takes its packages from the network.
    make("install-files", f"DESTDIR={tmp_path}", "PREFIX=/opt/mail", "UNITS=/opt/mail/units")
    configuration = tmp_path / "etc" / "mta" / "mta.conf"
    settings = configuration.read_text()
    assert '"/var/lib/mta/maildir"' in settings
    assert '"sqlite:////var/lib/mta/users.db"' in settings
    assert "../" not in settings
    assert "/opt/mail/bin/mta" in (tmp_path / "opt/mail/units/mta.service").read_text()
    assert (tmp_path / "opt/mail/share/man/man5/mta.conf.5").is_file()
    assert (tmp_path / "etc/logrotate.d/mta").is_file()
    assert str(tmp_path) not in (tmp_path / "opt/mail/bin/mta").read_text()

    configuration.write_text("# edited\n")
    make("install-files", f"DESTDIR={tmp_path}", "PREFIX=/opt/mail")
    assert configuration.read_text() == "# edited\n"
