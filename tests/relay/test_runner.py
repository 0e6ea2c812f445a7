"""The relay as a whole, from a letter in the tree to what became of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.relay.office import TEXT, Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


def test_a_letter_found_at_the_start_is_delivered_and_removed(office: Office) -> None:
    site = office.site()
    letter = office.letter("user@b.example")
    office.route("b.example", site)
    office.until(lambda: not office.names("b.example"))
    assert site.texts == [TEXT]
    [record] = office.records("delivered")
    assert record.text("id") == letter
    assert record.text("recipient") == "user@b.example"
