"""Names: what an account may be called, and how what a client wrote is compared with it."""

from __future__ import annotations

import pytest

from mta.store import Mailbox
from mta.users.errors import UnfitName
from mta.users.names import fit, fold

PLAIN = ["alice", "a", "0", "a.b-c_d=e", "a..b", "x" * 64, "alice.", "con", "aux.txt"]
OTHERS = ["müller", "straße", "田中", "a+b", "é" * 32]

# Names that want to be a path, another name, or a word of some program.
ATTACKS = [
    *(
        "",
        ".",
        "..",
        "...",
        ".git",
        "-rf",
        "--help",
        "~",
        "~root",
        "/",
        "//",
        "/etc/passwd",
        "../x",
        "../../x",
    ),
    *(
        "a/../../x",
        "..%2f..%2fx",
        "%2e%2e/x",
        "..\\x",
        "\\..\\x",
        "alice/",
        "alice/.",
        "./alice",
        "alice/../bob",
    ),
    *("new", "tmp", "cur", "NEW", ".OTHER_SERVERS", ".other_servers", "OTHER_SERVERS/ext.test"),
    *("a\0b", "a\nb", "a\r\nb", "a\n", " ", "a b", "a:2,S", "a,S=1", "a*", "*", "a?", "$(id)", "`id`", ";id"),
    *("|id", "%s%n", "{0}", '""', "a@b", "root@..", "x" * 65, "x" * 256, "x" * 4096, "é" * 33),
    *("\u2024", "a\u2024b", "\u2025", "\uff0e", "\u3002", "a\uff0fb", "a\u2215b", "a\u29f8b", "a\uff3cb"),
    *("a\u202eb", "a\u200bb", "a\u00adb", "a\ufeffb", "\u3164", "a\u1160b", "a\ufe0fb", "\u0301a"),
    *("\u212a", "\u017f", "\u0130", "henry\u2163", "\u00c9mile", "\udcff", "a\udcff", "\ud800"),
]


@pytest.mark.parametrize("name", PLAIN + OTHERS)
def test_names_for_accounts(name: str) -> None:
    assert fit(name) == name


@pytest.mark.parametrize("name", ATTACKS, ids=ascii)
def test_names_for_nobody(name: str) -> None:
    with pytest.raises(UnfitName) as refused:
        fit(name)
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", PLAIN + OTHERS)
def test_a_name_can_be_a_folder(name: str) -> None:
    assert Mailbox(name).folder == name


def test_one_spelling_of_each_name() -> None:
    assert fold("Alice") == fit("ALICE") == "alice"
    assert fold("mu\u0308ller") == fit("mu\u0308LLER") == "müller"


@pytest.mark.parametrize("look_alike", ["\u212a", "\u017f", "\uff41", "\u0430"])
def test_no_look_alike_becomes_ascii(look_alike: str) -> None:
    assert not fold(look_alike).isascii()
