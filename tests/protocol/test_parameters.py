"""Parameters about reports, every octet of them: nothing that could break a line gets in, hidden or not."""

from __future__ import annotations

import pytest

from mta.protocol.replies import Refusal
from mta.protocol.smtp.parameters import ENVID, NOTIFY, ORCPT, Parameter, notify_of, orcpt_of

OCTETS = [bytes((number,)) for number in range(256)]


@pytest.mark.parametrize(("parameter", "before"), [(ENVID, b""), (ORCPT, b"rfc822;")], ids=["ENVID", "ORCPT"])
def test_63_xtext_hides_printable_characters_only(parameter: Parameter, before: bytes) -> None:
    hidden = {octet for octet in OCTETS if parameter.allows(before + b"+%02X" % ord(octet))}
    assert hidden == {octet for octet in OCTETS if b" " <= octet <= b"~"}


@pytest.mark.parametrize(("parameter", "before"), [(ENVID, b""), (ORCPT, b"rfc822;")], ids=["ENVID", "ORCPT"])
def test_63_xtext_shows_printable_characters_but_two(parameter: Parameter, before: bytes) -> None:
    shown = {octet for octet in OCTETS if parameter.allows(before + octet)}
    assert shown == {octet for octet in OCTETS if b"!" <= octet <= b"~"} - {b"+", b"="}


@pytest.mark.parametrize(("parameter", "before", "limit"), [(ENVID, b"", 100), (ORCPT, b"x;", 500)])
def test_63_lengths(parameter: Parameter, before: bytes, limit: int) -> None:
    assert parameter.allows(before.ljust(limit, b"x"))
    assert not parameter.allows(before.ljust(limit + 1, b"x"))


def test_63_each_word_of_notify_once() -> None:
    assert NOTIFY.allows(b"success,Delay,SUCCESS")
    assert notify_of(b"success,Delay,SUCCESS") == "SUCCESS,DELAY"


def test_69_an_original_recipient_becomes_ascii() -> None:
    assert orcpt_of("utf-8;ü\u2028\U0001f600".encode()) == r"utf-8;\x{FC}\x{2028}\x{1F600}"


@pytest.mark.parametrize("value", [b"utf-8;\xff", b"utf-8;\xed\xa0\x80", b"utf-8;" + "ü".encode() * 100])
def test_69_what_cannot_be_written_in_ascii_is_refused(value: bytes) -> None:
    assert ORCPT.allows(value)
    with pytest.raises(Refusal):
        orcpt_of(value)
