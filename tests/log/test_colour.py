"""Colours change how a record looks and nothing of what it says."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from mta.log.colour import coloured
from mta.log.logfmt import format_record

NOON = 1_795_262_400.0


def test_the_parts_of_a_record_look_different() -> None:
    record = format_record(NOON, "ERROR", "receiver", "fault", {"what": "sync it", "n": 1})
    assert coloured(record) == (
        b"\x1b[2m2026-11-21T12:00:00.000Z\x1b[0m \x1b[31mERROR\x1b[0m receiver \x1b[1mfault\x1b[0m"
        b'\x1b[2m what=\x1b[0m"sync it"\x1b[2m n=\x1b[0m1\n'
    )


@given(st.lists(st.dictionaries(st.sampled_from(["id", "text", "n"]), st.text()), max_size=3))
def test_without_the_colours_it_is_the_same_text(many: list[dict[str, str]]) -> None:
    records = b"".join(format_record(NOON, "INFO", "receiver", "event", fields) for fields in many)
    assert re.sub(rb"\x1b\[[0-9]*m", b"", coloured(records)) == records
