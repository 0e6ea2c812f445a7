"""Who is logged in sends as itself."""

from __future__ import annotations

import pytest

from mta.policy import Asker, Policy, Step
from mta.policy.decisions import LOCKED_OUT, SENDER_NOT_YOURS
from mta.protocol.address import NULL_PATH
from tests.policy.book import OPEN, POLICY, Notebook, account, address_of

ANNA, BERT = account("anna@local.example"), account("bert@local.example")
BOOK = Notebook(
    [ANNA, BERT, account("anna+own@local.example")],
    {
        "anna@local.example": ["anna@local.example", "anna@foreign.example"],
        "sales@local.example": ["anna+sales@local.example"],
        "shop@second.example": ["sales@local.example"],
        "team@local.example": ["sales@local.example", "bert@local.example"],
        "away@local.example": ["anna@foreign.example"],
        "*@second.example": ["bert@local.example"],
    },
)
OWN = [
    "anna@local.example", "ANNA@local.example", "anna+x@local.example", "sales@local.example",
    "shop@second.example",
]  # fmt: skip
NOT_OWN = [
    "bert@local.example", "anna+own@local.example", "team@local.example", "away@local.example",
    "nobody@local.example", "anna@foreign.example", "anna@second.example", "",
]  # fmt: skip


@pytest.mark.parametrize("policy", [POLICY, OPEN], ids=["listed", "any"])
@pytest.mark.parametrize("sender", [*OWN, *NOT_OWN])
def test_a_sender_is_one_of_the_accounts_addresses(sender: str, policy: Policy) -> None:
    path = address_of(sender) if sender else NULL_PATH
    refusal = policy.judge_sender(Asker(True, ANNA, path), BOOK)
    assert refusal == (None if sender in OWN else SENDER_NOT_YOURS)


def test_whose_catch_all_it_is_may_use_all_its_names() -> None:
    assert POLICY.judge_sender(Asker(True, BERT, address_of("whatever@second.example")), BOOK) is None


def test_an_account_that_is_gone_sends_nothing() -> None:
    asker = Asker(True, ANNA, address_of("anna@local.example"))
    assert POLICY.judge_sender(asker, Notebook()) == LOCKED_OUT
    assert POLICY.judge_sender(asker, Notebook([account("anna@local.example", enabled=False)])) == LOCKED_OUT


def test_the_row_that_decided_is_named() -> None:
    trace: list[Step] = []
    POLICY.judge_sender(Asker(True, ANNA, address_of("bert@local.example")), BOOK, trace)
    assert trace[-1].row == "user anna@local.example"
