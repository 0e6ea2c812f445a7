"""From facts to outcomes: what is given up, what is tried again, and what the operator is told."""

from __future__ import annotations

import pytest

from mta.protocol.client.answers import Answer
from mta.protocol.client.events import Accepted, Failed, Fate, Fault, Refused, Stage
from mta.relay.outcome import Delivered, Never, Reason, TryLater, another_host_may_help, judge

OF_HOST = (Stage.GREETING, Stage.EHLO, Stage.HELO, Stage.STARTTLS, Stage.AUTH, Stage.READY, Stage.RSET)
OF_MAIL = (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.TEXT, Stage.END)
GIVEN_UP = {
    Fault.TOO_BIG: "5.3.4",
    Fault.NO_8BITMIME: "5.6.3",
    Fault.NO_SMTPUTF8: "5.6.7",
    Fault.BAD_SENDER: "5.1.7",
    Fault.BAD_RECIPIENT: "5.1.3",
}


def refused(code: int, text: str, stage: Stage = Stage.RCPT) -> Refused:
    return Refused(stage, Answer(code, (text,)))


def test_delivered() -> None:
    assert judge(Accepted(Answer(250, ("2.6.0 queued",)))) == Delivered("250 2.6.0 queued", "2.6.0")
    assert judge(Accepted(Answer(200, ("500",)))) == Delivered("200 500", "2.0.0")


@pytest.mark.parametrize("stage", OF_MAIL)
def test_5yz_about_the_mail_is_never(stage: Stage) -> None:
    outcome = judge(refused(550, "no", stage))
    assert isinstance(outcome, Never)
    assert outcome.status.startswith("5.")
    assert outcome.reply == "550 no"


@pytest.mark.parametrize("stage", OF_HOST)
def test_5yz_about_the_connection_is_later(stage: Stage) -> None:
    outcome = judge(refused(554, "5.7.1 you are on a list", stage))
    assert isinstance(outcome, TryLater)
    assert outcome.status == "4.7.1"


@pytest.mark.parametrize(("code", "status"), [(521, "5.3.2"), (556, "5.1.10")])
def test_a_host_that_takes_no_mail_says_so_for_good(code: int, status: str) -> None:
    """RFC 7504"""
    outcome = judge(refused(code, "no mail here", Stage.GREETING))
    assert isinstance(outcome, Never)
    assert outcome.status == status


@pytest.mark.parametrize("stage", Stage)
def test_4yz_is_later(stage: Stage) -> None:
    outcome = judge(refused(450, "no", stage))
    assert isinstance(outcome, TryLater)
    assert outcome.status.startswith("4.")
    assert not outcome.ambiguous


@pytest.mark.parametrize("fault", Fault)
def test_faults(fault: Fault) -> None:
    outcome = judge(Failed(Stage.MAIL, fault, "words"))
    assert outcome.detail.endswith("at MAIL: words")  # type: ignore[union-attr]
    if fault in GIVEN_UP:
        assert isinstance(outcome, Never)
        assert outcome.status == GIVEN_UP[fault]
    else:
        assert isinstance(outcome, TryLater)
        assert outcome.status.startswith("4.")


def test_an_unclear_end_is_called_a_possible_duplicate() -> None:
    outcome = judge(Failed(Stage.END, Fault.LOST, ambiguous=True))
    assert outcome == TryLater(
        Reason.POSSIBLE_DUPLICATE, status="4.4.2", detail="connection lost at end of text", ambiguous=True
    )


@pytest.mark.parametrize(
    ("fate", "reason", "status"),
    [
        (refused(550, "5.1.1 unknown"), Reason.NO_SUCH_USER, "5.1.1"),
        (refused(550, "unknown"), Reason.NO_SUCH_USER, "5.1.1"),
        (refused(550, "5.7.1 blocked"), Reason.BLOCKED, "5.7.1"),
        (refused(554, "5.7.26 unauthenticated", Stage.END), Reason.BLOCKED, "5.7.26"),
        (refused(552, "5.2.2 full"), Reason.MAILBOX_FULL, "5.2.2"),
        (refused(452, "4.2.2 full"), Reason.MAILBOX_FULL, "4.2.2"),
        (refused(552, "too big", Stage.END), Reason.TOO_BIG, "5.3.4"),
        (refused(452, "no space"), Reason.NO_SPACE, "4.3.1"),
        (refused(550, "5.1.8 no such domain", Stage.MAIL), Reason.SENDER_REFUSED, "5.1.8"),
        (refused(550, "go away", Stage.MAIL), Reason.SENDER_REFUSED, "5.0.0"),
        (refused(554, "no", Stage.DATA), Reason.REFUSED, "5.0.0"),
        (refused(450, "4.2.0 Greylisted, wait 300 seconds"), Reason.GREYLISTED, "4.2.0"),
        (refused(451, "4.7.1 Graylisting in action"), Reason.GREYLISTED, "4.7.1"),
        (refused(450, "4.7.1 slow down"), Reason.THROTTLED, "4.7.1"),
        (refused(421, "too many connections", Stage.GREETING), Reason.THROTTLED, "4.3.2"),
        (refused(451, "try again"), Reason.DEFERRED, "4.3.0"),
        (refused(554, "no", Stage.GREETING), Reason.HOST_REFUSED, "4.0.0"),
        (refused(530, "5.7.0 log in first", Stage.MAIL), Reason.HOST_REFUSED, "4.7.0"),
        (refused(535, "5.7.8 bad password", Stage.AUTH), Reason.LOGIN_FAILED, "4.7.8"),
        (refused(554, "5.6.7 no UTF-8", Stage.END), Reason.CANNOT_CARRY, "5.6.7"),
        (refused(550, "4.1.1 contradicts its code"), Reason.NO_SUCH_USER, "5.1.1"),
        (refused(599, "5.9.999 news"), Reason.REFUSED, "5.9.999"),
        (Failed(Stage.RCPT, Fault.TOO_MANY_RECIPIENTS), Reason.TOO_MANY_RECIPIENTS, "4.5.3"),
        (Failed(Stage.STARTTLS, Fault.NO_TLS), Reason.TLS_MISSING, "4.7.4"),
    ],
    ids=str,
)
def test_reasons(fate: Fate, reason: Reason, status: str) -> None:
    outcome = judge(fate)
    assert isinstance(outcome, TryLater | Never)
    assert (outcome.reason, outcome.status) == (reason, status)


@pytest.mark.parametrize(
    ("fate", "slow"),
    [
        (refused(421, "bye"), True),
        (refused(450, "4.7.0 too much"), True),
        (refused(450, "4.2.0 later"), False),
        (refused(454, "4.7.0 no TLS now", Stage.STARTTLS), False),
        (refused(554, "5.7.1 list", Stage.GREETING), False),
        (Failed(Stage.MAIL, Fault.LOST), False),
    ],
    ids=str,
)
def test_who_is_to_be_treated_more_gently(fate: Fate, slow: bool) -> None:
    outcome = judge(fate)
    assert isinstance(outcome, TryLater)
    assert outcome.slow == slow


@pytest.mark.parametrize(
    ("fate", "may"),
    [
        (Accepted(Answer(250, ("ok",))), False),
        (refused(450, "no"), False),
        (refused(550, "no"), False),
        (refused(421, "bye"), True),
        (refused(554, "no", Stage.GREETING), True),
        (refused(530, "5.7.0 TLS first", Stage.MAIL), True),
        (Failed(Stage.END, Fault.LOST), True),
        (Failed(Stage.END, Fault.LOST, ambiguous=True), False),
        (Failed(Stage.STARTTLS, Fault.NO_TLS), True),
        (Failed(Stage.MAIL, Fault.TOO_BIG), False),
        (Failed(Stage.TEXT, Fault.ABANDONED), False),
    ],
    ids=str,
)
def test_whether_another_host_may_help(fate: Fate, may: bool) -> None:
    assert another_host_may_help(fate) == may


def test_every_reason_has_words_of_its_own() -> None:
    assert len({reason.text for reason in Reason}) == len(Reason)
    for reason in Reason:
        assert Reason.of(reason.word) is reason
        assert reason.advice
    with pytest.raises(KeyError):
        Reason.of("no-such-reason")
