"""Every reply that refuses something counts under a reason, and the reason is the right one."""

from __future__ import annotations

import pytest

from mta.counters import REASONS
from mta.protocol import replies
from mta.protocol.replies import Reply
from mta.server.reasons import reason_of

REFUSALS = {
    name: reply for name, reply in vars(replies).items() if isinstance(reply, Reply) and reply.code >= 400
}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("UNKNOWN", "syntax"),
        ("BAD_OCTETS", "syntax"),
        ("NO_PARAMETERS", "syntax"),
        ("NOT_EXTENDED", "order"),
        ("RELAY_DENIED", "relay_denied"),
        ("NO_SUCH_USER", "no_such_user"),
        ("TOO_BIG", "size"),
        ("NO_SPACE", "fault"),
        ("LOCAL_FAULT", "fault"),
        ("NO_TLS", "fault"),
        ("WRONG_PROTOCOL", "syntax"),
        ("TOO_MANY_RECIPIENTS", "too_many"),
        ("TOO_MANY_ERRORS", "too_many"),
        ("TOO_MANY_CONNECTIONS", "too_many"),
        ("FOREIGN_LITERAL", "policy"),
        ("LOOP", "policy"),
        ("BARE_LINE_END", "policy"),
    ],
)
def test_the_reason_of_a_reply(name: str, reason: str) -> None:
    assert reason_of(REFUSALS[name]).value == reason
    assert reason_of(REFUSALS[name].with_id("0abc")).value == reason


@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_of_the_catalogue_has_one(name: str) -> None:
    assert reason_of(REFUSALS[name]).value in REASONS


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(535, "5.7.8", "no"), "login"),
        (Reply(530, "5.7.0", "log in first"), "login"),
        (Reply(501, "5.1.7", "syntax"), "syntax"),
        (Reply(550, "5.7.1", "one", "two"), "relay_denied"),
        (Reply(550, "", "no enhanced code"), "policy"),
    ],
)
def test_replies_made_elsewhere(reply: Reply, reason: str) -> None:
    assert reason_of(reply).value == reason
