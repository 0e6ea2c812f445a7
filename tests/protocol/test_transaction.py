"""Arguments of a client's commands: what cannot be one argument is never written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.protocol.address import parse_path
from mta.protocol.client.events import Failed, Fault, Forward, Mail
from mta.protocol.client.features import Features, parse_features
from mta.protocol.client.transaction import Transaction
from tests.protocol.exchanger import mail

EVERYTHING = parse_features(["SIZE", "8BITMIME", "SMTPUTF8", "DSN"])

BAD_ADDRESSES = [
    "",
    "b",
    "@example.org",
    "b@",
    "b@example.org\r\nRCPT TO:<c@example.org>",
    "b@example.org\n",
    "b\r@example.org",
    '"b\r\n"@example.org',
    '"b\n"@example.org',
    "b\0@example.org",
    '"b\0"@example.org',
    "b c@example.org",
    "b@example.org SIZE=1",
    "b@example.org> SIZE=1",
    "b@example.org>",
    "<b@example.org",
    "<b@example.org>",
    "b>c@example.org",
    "b@example.org ",
    " b@example.org",
    "b@example.org, c@example.org",
    "b@exa mple.org",
    "b@example.org\x85",
    "b@example..org",
    "b@ex\u2028ample.org",
    "b\u2028@example.org",
    "b\udc80@example.org",
    "b" * 65 + "@example.org",
]


def written(sent: Mail, features: Features = EVERYTHING) -> tuple[list[bytes], list[Fault | None]]:
    """The commands, and the fault of each recipient."""
    transaction = Transaction(sent, features)
    commands = [command.octets for command in transaction.commands()]
    return commands, [fate.fault if isinstance(fate, Failed) else None for fate in transaction.fates]


@pytest.mark.parametrize("address", BAD_ADDRESSES, ids=ascii)
def test_a_bad_recipient_is_refused_and_the_others_are_not(address: str) -> None:
    commands, faults = written(mail("a@example.org", address, "c@example.org"))
    assert [command for command in commands if command.startswith(b"RCPT")] == [
        b"RCPT TO:<a@example.org>\r\n",
        b"RCPT TO:<c@example.org>\r\n",
    ]
    assert faults == [None, Fault.BAD_RECIPIENT, None]


@pytest.mark.parametrize("address", BAD_ADDRESSES[1:], ids=ascii)
def test_a_bad_sender_refuses_all(address: str) -> None:
    commands, faults = written(mail("b@example.org", "c@example.org", sender=address))
    assert commands == []
    assert faults == [Fault.BAD_SENDER] * 2


def test_without_a_recipient_left_nothing_is_said() -> None:
    assert written(mail("b c@example.org")) == ([], [Fault.BAD_RECIPIENT])


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("b@example.org", "b@example.org"),
        ("B@EXAMPLE.ORG", "B@example.org"),
        ('"b c"@example.org', '"b c"@example.org'),
        ('"b>c"@example.org', '"b>c"@example.org'),
        ('"b\\"c"@example.org', '"b\\"c"@example.org'),
        ("b@[192.0.2.1]", "b@[192.0.2.1]"),
        ("b@bücher.example", "b@xn--bcher-kva.example"),
        ("ö@example.org", "ö@example.org"),
    ],
)
def test_good_addresses(address: str, path: str) -> None:
    commands, faults = written(mail(address))
    assert commands[1] == f"RCPT TO:<{path}>\r\n".encode()
    assert faults == [None]


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=10), st.text(max_size=10))
def test_whatever_is_in_an_envelope_each_command_is_one(a: str, b: str, envid: str, notify: str) -> None:
    sent = Mail(a, (Forward(b, notify, envid), Forward(f"{b}@example.org")), 1, envid=envid)
    for octets in written(sent)[0]:
        head, verb_end, argument = octets.partition(b":")
        assert head in (b"MAIL FROM", b"RCPT TO")
        assert verb_end
        assert octets.count(b"\r") == octets.count(b"\n") == octets.endswith(b"\r\n")
        assert b"\0" not in octets
        assert parse_path(argument[:-2]) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"envid": "a b"},
        {"envid": "a\r\nb"},
        {"envid": "a=b"},
        {"envid": "+0d"},
        {"envid": "x" * 101},
        {"ret": "NONE"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("features", [EVERYTHING, Features()], ids=["DSN", "none"])
def test_bad_parameters_of_mail(change: dict[str, str], features: Features) -> None:
    sent = replace(mail(), **change)  # type: ignore[arg-type]
    assert written(sent, features) == ([], [Fault.BAD_SENDER])


@pytest.mark.parametrize(
    "forward",
    [
        Forward("b@example.org", "NEVER,DELAY"),
        Forward("b@example.org", "SOMETIMES"),
        Forward("b@example.org", "DELAY "),
        Forward("b@example.org", "", "b@example.org"),
        Forward("b@example.org", "", "rfc822;a b"),
        Forward("b@example.org", "", "rfc822;a\r\nb"),
        Forward("b@example.org", "", "rfc822;"),
        Forward("b@example.org", "", "utf-8;ö"),
    ],
)
def test_bad_parameters_of_a_recipient(forward: Forward) -> None:
    sent = replace(mail(), recipients=(forward,))
    assert written(sent) == ([], [Fault.BAD_RECIPIENT])


def test_smtputf8_is_asked_for_only_when_needed() -> None:
    commands, _ = written(mail("b@example.org"))
    assert b"SMTPUTF8" not in commands[0]
    commands, _ = written(mail("b@example.org", "ö@example.org"))
    assert b" SMTPUTF8" in commands[0]


def test_one_recipient_that_needs_smtputf8_does_not_stop_the_others() -> None:
    """69"""
    commands, faults = written(mail("b@example.org", "ö@example.org"), Features())
    assert commands == [b"MAIL FROM:<a@example.net>\r\n", b"RCPT TO:<b@example.org>\r\n"]
    assert faults == [None, Fault.NO_SMTPUTF8]


@pytest.mark.parametrize(
    ("offer", "size", "parameter"),
    [
        ([], 10, b""),
        (["SIZE"], 10, b" SIZE=10"),
        (["SIZE 0"], 10, b" SIZE=10"),
        (["SIZE 10"], 10, b" SIZE=10"),
        (["SIZE ten"], 10, b" SIZE=10"),
    ],
    ids=repr,
)
def test_size(offer: list[str], size: int, parameter: bytes) -> None:
    """53"""
    commands, _ = written(mail(size=size), parse_features(offer))
    assert commands[0] == b"MAIL FROM:<a@example.net>%b\r\n" % parameter


def test_over_the_size_nothing_is_said() -> None:
    assert written(mail(size=11), parse_features(["SIZE 10"])) == ([], [Fault.TOO_BIG])
