"""The tree as a whole: what lies at its top, what `make` offers, what the locks fix."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.cli.main import SUBCOMMANDS
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

LAYERS = (
    *({"cli"}, {"daemon"}, {"metrics"}, {"relay", "server"}, {"policy"}, {"users"}, {"log"}),
    *({"config", "store"}, {"protocol"}, {"channel"}),
    {"counters", "hints", "identifier", "loop", "program", "tls"},
)
"""Rooms of the package, from the top: each may import from the layers below, and from itself."""

OUTSIDE = {
    *("asyncio", "logging", "multiprocessing", "os", "pathlib", "select", "selectors", "signal", "socket"),
    *("ssl", "subprocess", "threading", "time"),
}
"""Modules by which a program touches more than its own values."""

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


def imported(room: str) -> Iterator[tuple[Path, str]]:
    """Every name that the modules of a room import, as it is called from the top, with the module."""
    place = ROOT / "mta" / room
    for module in [place.with_suffix(".py")] if not place.is_dir() else sorted(place.rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{module}: imports are written from the top"
                yield from ((module, f"{node.module}.{each.name}") for each in node.names)
            elif isinstance(node, ast.Import):
                yield from ((module, each.name) for each in node.names)


def rooms_imported(room: str) -> Iterator[tuple[Path, str]]:
    for module, name in imported(room):
        first, _, rest = name.partition(".")
        if first == "mta" and rest and not rest.startswith("__"):
            yield module, rest.partition(".")[0]


def test_every_room_has_its_layer() -> None:
    found = {path.stem for path in (ROOT / "mta").iterdir() if path.suffix == ".py" or path.is_dir()}
    named = {name for name in found if not name.startswith("_")}
    assert sorted(named) == sorted(room for layer in LAYERS for room in layer)


@pytest.mark.parametrize("room", sorted(set().union(*LAYERS)))
def test_imports_go_one_way(room: str) -> None:
    above = next(number for number, layer in enumerate(LAYERS) if room in layer)
    allowed = set().union(*LAYERS[above + 1 :], {room})
    wrong = [f"{module}: {name}" for module, name in rooms_imported(room) if name not in allowed]
    assert wrong == []


@pytest.mark.parametrize("room", ["protocol", "policy"])
def test_what_is_pure_touches_nothing_outside(room: str) -> None:
    names = ((module, name.partition(".")[0]) for module, name in imported(room))
    assert [f"{module}: {name}" for module, name in names if name in OUTSIDE] == []


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


def test_the_manual_names_every_subcommand_and_leads_to_every_page() -> None:
    page = (ROOT / "man" / "mta.8").read_text()
    listed, see_also = page.partition(".Sh SUBCOMMANDS")[2], page.partition(".Sh SEE ALSO")[2]
    assert re.findall(r"^\.It Cm (\w+)", listed.partition(".El")[0], re.MULTILINE) == sorted(SUBCOMMANDS)
    others = {path.name.rpartition(".") for path in (ROOT / "man").iterdir()} - {("mta", ".", "8")}
    assert re.findall(r"^\.Xr (\S+) (\d)", see_also.partition(".Sh")[0], re.MULTILINE) == [
        (name, section) for name, _, section in sorted(others, key=lambda page: (page[2], page[0]))
    ]


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
