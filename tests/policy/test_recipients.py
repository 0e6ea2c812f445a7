"""From an address of ours to the places where its mail ends: accounts, aliases, what is in no table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from mta.policy import Goal, Step
from mta.policy.decisions import DISABLED, LOOPING_ALIAS, NO_BOUNCE, NOT_FORWARDED, WIDE_ALIAS
from mta.policy.recipients import MOST_GOALS
from mta.protocol.replies import NO_SUCH_USER, Reply
from mta.store import Domain, Mailbox
from mta.users.account import MOST_STEPS, Account, Entry
from mta.users.directory import NotCached
from tests.policy.book import OPEN, POLICY, STRANGER, Notebook, account, address_of, judge, ways

ANNA = account("anna@local.example")
BERT = account("bert@local.example")
PLUS = account("anna+extra@local.example", folder="extra")
OTHER = account("anna@second.example", folder="second.example/anna")
OLD = account("old@local.example", enabled=False)
BOSS = account("boss@local.example")

PEOPLE = (ANNA, BERT, PLUS, OTHER, OLD)
ALIASES = {
    "sales@local.example": ["anna@local.example"],
    "team@local.example": ["sales@local.example", "bert@local.example", "x@foreign.example"],
    "news+all@local.example": ["bert@local.example"],
    "bert@second.example": ["bert+second@local.example"],
    "anna@second.example": ["anna@second.example", "anna@foreign.example"],
    "gone@local.example": ["nobody@local.example", "old@local.example"],
    "half@local.example": ["nobody@local.example", "bert@local.example"],
    "round@local.example": ["about@local.example"],
    "about@local.example": ["round@local.example"],
    "me@local.example": ["me@local.example"],
    "wheel@local.example": ["wheel@local.example", "bert@local.example"],
    "twice@local.example": ["team@local.example", "sales@local.example", "x@foreign.example"],
    "worse@local.example": ["not an address"],
    "bad@local.example": ["not an address", "v@[192.0.2.1]"],
}
BOOK = Notebook(PEOPLE, ALIASES)


def goals(
    address: str, book: Notebook = BOOK, *, sender: str = "someone@foreign.example"
) -> tuple[Goal, ...]:
    """Where mail for an address goes that is served."""
    verdict = judge(address, book, sender=sender)
    assert not isinstance(verdict, Reply)
    return verdict


@pytest.mark.parametrize(
    ("address", "places"),
    [
        ("anna@local.example", ["anna"]),
        ("ANNA@Local.Example", ["anna"]),
        ("anna+word@local.example", ["anna"]),
        ("anna+extra@local.example", ["extra"]),
        ("anna+extra+word@local.example", ["anna"]),
        ("sales@local.example", ["anna"]),
        ("Sales+word@local.example", ["anna"]),
        ("news+all@local.example", ["bert"]),
        ("bert@second.example", ["bert"]),
        ("half@local.example", ["bert"]),
        ("wheel@local.example", ["bert"]),
    ],
)
def test_who_has_an_address(address: str, places: Sequence[str]) -> None:
    assert ways(judge(address, BOOK)) == [Mailbox(place) for place in places]


@pytest.mark.parametrize(
    ("address", "refusal"),
    [
        ("nobody@local.example", NO_SUCH_USER),
        ("+word@local.example", NO_SUCH_USER),
        ("old@local.example", DISABLED),
        ("old+word@local.example", DISABLED),
        ("gone@local.example", DISABLED),
        ("round@local.example", LOOPING_ALIAS),
        ("me@local.example", LOOPING_ALIAS),
        ("bad@local.example", NO_SUCH_USER),
        ("worse@local.example", NO_SUCH_USER),
        ("*@local.example", NO_SUCH_USER),
    ],
)
def test_who_has_none(address: str, refusal: Reply) -> None:
    assert judge(address, BOOK) == refusal


def test_an_alias_may_lead_to_several_places_here_and_elsewhere() -> None:
    anna, bert, foreign = goals("team@local.example")
    assert (anna.way, anna.address, anna.via) == (Mailbox("anna"), "anna@local.example", "")
    assert (bert.way, bert.account) == (Mailbox("bert"), BERT)
    assert (foreign.way, foreign.address, foreign.via) == (
        Domain("foreign.example"),
        "x@foreign.example",
        "team@local.example",
    )


def test_what_is_reached_twice_is_one_place() -> None:
    assert ways(judge("twice@local.example", BOOK)) == [
        Mailbox("anna"),
        Mailbox("bert"),
        Domain("foreign.example"),
    ]


def test_an_alias_that_names_itself_keeps_a_copy() -> None:
    kept = [Mailbox("second.example/anna"), Domain("foreign.example")]
    assert ways(judge("anna@second.example", BOOK)) == kept


def test_chains_and_crowds_have_an_end() -> None:
    chain = {f"a{n}@local.example": [f"a{n + 1}@local.example"] for n in range(MOST_STEPS)}
    last = f"a{MOST_STEPS}@local.example"
    assert ways(judge("a0@local.example", Notebook([account(last)], chain))) == [Mailbox(f"a{MOST_STEPS}")]
    longer = Notebook([ANNA], {**chain, last: ["anna@local.example"]})
    assert judge("a0@local.example", longer) == LOOPING_ALIAS
    crowd = [f"v{n}@foreign.example" for n in range(MOST_GOALS)]
    assert len(goals("all@local.example", Notebook((), {"all@local.example": crowd}))) == MOST_GOALS
    more = Notebook((), {"all@local.example": [*crowd, "one-more@foreign.example"]})
    assert judge("all@local.example", more) == WIDE_ALIAS


def test_all_members_of_an_alias_are_asked_for_at_once() -> None:
    members = [f"m{number}@local.example" for number in range(100)]
    book = Forgetful(
        [account(each) for each in members], {"all@local.example": [*members, "v@foreign.example"]}
    )
    rounds = 0
    while True:
        try:
            verdict = POLICY.judge_recipient(address_of("all@local.example"), STRANGER, book)
        except NotCached as missing:
            book.known.update(missing.keys)
            rounds += 1
        else:
            break
    assert not isinstance(verdict, Reply)
    assert len(verdict) == 101
    assert rounds == 2


class Forgetful(Notebook):
    """Knows what it was told to look up."""

    def __init__(self, accounts: Sequence[Account], aliases: Mapping[str, Sequence[str]]) -> None:
        super().__init__(accounts, aliases)
        self.known: set[tuple[str, str]] = set()

    def entry(self, local: str, domain: str) -> Entry:
        if (local, domain) not in self.known:
            raise NotCached([(local, domain)])
        return super().entry(local, domain)


def test_many_ways_through_few_aliases_are_walked_once_each() -> None:
    layers = {
        f"l{n}{side}@local.example": [f"l{n + 1}a@local.example", f"l{n + 1}b@local.example"]
        for n in range(8)
        for side in "ab"
    }
    book = Notebook([ANNA], {**layers, "l8a@local.example": ["anna@local.example"]})
    assert ways(judge("l0a@local.example", book)) == [Mailbox("anna")]
    assert len(book.asked) < 200


# what is in no table


def test_a_catch_all_takes_what_nobody_else_does() -> None:
    book = Notebook(PEOPLE, {**ALIASES, "*@local.example": ["bert@local.example"]})
    assert ways(judge("whoever@local.example", book)) == [Mailbox("bert")]
    assert ways(judge("anna@local.example", book)) == [Mailbox("anna")]
    assert judge("old@local.example", book) == DISABLED
    assert judge("whoever@second.example", book) == NO_SUCH_USER
    assert ways(judge("postmaster@local.example", book)) == [Mailbox("postmaster")]
    assert judge("SRS0=x@local.example", book) == NOT_FORWARDED


def test_a_catch_all_that_catches_itself_ends() -> None:
    book = Notebook((), {"*@local.example": ["whoever@local.example"]})
    assert judge("x@local.example", book) == LOOPING_ALIAS


@pytest.mark.parametrize("domain", ["local.example", "second.example"])
@pytest.mark.parametrize(
    ("aliases", "administrator", "place"),
    [
        ({}, None, "postmaster"),
        ({}, BOSS, "boss"),
        ({"postmaster@local.example": ["bert@local.example"]}, BOSS, "bert"),
        ({"postmaster@local.example": ["postmaster@local.example"]}, BOSS, None),
    ],
    ids=["nobody", "administrator", "alias", "circle"],
)
def test_postmaster_is_somebody_at_every_domain(
    aliases: Mapping[str, Sequence[str]], administrator: Account | None, place: str | None, domain: str
) -> None:
    book = Notebook((*PEOPLE, BOSS), aliases, administrator)
    found = ways(judge(f"PostMaster+x@{domain}", book))
    assert found == (LOOPING_ALIAS if place is None else [Mailbox(place)])


def test_where_every_name_is_a_mailbox_tables_still_count() -> None:
    assert ways(judge("whoever+x@local.example", BOOK, OPEN)) == [Mailbox("whoever")]
    assert judge("old@local.example", BOOK, OPEN) == DISABLED
    assert ways(judge("sales@local.example", BOOK, OPEN)) == [Mailbox("anna")]


@pytest.mark.parametrize(
    ("asked", "found"),
    [("\u212a", False), ("k", True), ("é", True), ("É", False), ("e\u0301", True)],
)
def test_look_alikes_are_nobody(asked: str, found: bool) -> None:
    book = Notebook([account("k@local.example"), account("é@local.example")])
    assert (judge(f"{asked}@local.example", book, OPEN) != NO_SUCH_USER) is found


# forwarding


def forwarded(sender: str) -> Goal:
    book = Notebook((), {"out@local.example": ["v@foreign.example"]})
    [goal] = goals("out@local.example", book, sender=sender)
    return goal


@pytest.mark.parametrize("sender", ["", "anna@local.example", "x@second.example"])
def test_our_own_senders_and_nobody_need_no_return_address(sender: str) -> None:
    assert forwarded(sender).reverse_path == ""


def test_a_sender_too_long_to_be_rewritten_stays() -> None:
    assert forwarded(f"{'x' * 60}@client.example").reverse_path == ""


def test_a_return_address_leads_back_for_reports_only() -> None:
    path = forwarded("s@client.example").reverse_path
    assert path.endswith("@local.example")
    [goal] = goals(path, sender="")
    assert (goal.way, goal.address, goal.via) == (Domain("client.example"), "s@client.example", "")
    assert judge(path, BOOK, sender="anybody@foreign.example") == NO_BOUNCE
    assert judge(path, BOOK, sender="anybody@foreign.example", trusted=True) == NO_BOUNCE
    assert judge(path.replace("client", "victim"), BOOK, sender="") == NOT_FORWARDED
    assert judge(path, BOOK, replace(OPEN, subaddress="="), sender="") == (goal,)


def test_a_return_address_of_one_who_is_ours_by_now_leads_to_the_mailbox() -> None:
    path = forwarded("anna@client.example").reverse_path
    moved = replace(POLICY, local_domains=POLICY.local_domains | {"client.example"})
    book = Notebook([account("anna@client.example", folder="client.example/anna")])
    assert ways(judge(path, book, moved, sender="")) == [Mailbox("client.example/anna")]


# reasons


def test_every_decision_names_the_row_or_the_setting_that_made_it() -> None:
    trace: list[Step] = []
    judge("team+x@local.example", BOOK, trace=trace)
    assert [step.row or step.setting for step in trace] == [
        "local.domains",
        "alias team@local.example",
        "alias sales@local.example",
        "user anna@local.example",
        "user bert@local.example",
        "local.domains",
    ]
    for address, decider in [
        ("nobody@local.example", "local.mailboxes"),
        ("old@local.example", "user old@local.example"),
        ("round@local.example", "alias round@local.example"),
        ("v@foreign.example", "relay.from"),
        ("v@backup.example", "relay.domains"),
    ]:
        trace.clear()
        judge(address, BOOK, trace=trace)
        assert (trace[-1].row or trace[-1].setting) == decider
