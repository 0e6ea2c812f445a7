"""Return addresses: what we wrote is read, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.protocol.address import LOCAL_LIMIT, Address, parse_path
from mta.users.srs import MOST_DAYS, Srs, is_return_address

DAY = 20_000
SRS = Srs(b"a secret of ours", DAY)
HOME = "us.example"
SENDER = Address("anna", "a.example")

locals_ = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=30)
domains = st.from_regex(r"[a-z]([a-z0-9-]{0,5}[a-z0-9])?\.[a-z]{2,5}", fullmatch=True)


def written(sender: Address, srs: Srs = SRS) -> str:
    """The local part of the return address for a sender."""
    address = srs.rewritten(sender, HOME)
    assert address is not None
    assert address.domain == HOME
    return address.local


@given(locals_, domains)
def test_what_was_written_is_read(local: str, domain: str) -> None:
    address = SRS.rewritten(Address(local, domain), HOME)
    if address is None:
        return
    on_the_wire = parse_path(f"<{address}>".encode())
    assert on_the_wire == (address, b"")
    if local[:4].upper() not in ("SRS0", "SRS1"):
        assert SRS.original(address.local) == Address(local, domain)


def test_the_form_is_the_one_that_others_know() -> None:
    local = written(SENDER)
    prefix, code, stamp, domain, rest = local.split("=")
    assert (prefix, len(code), len(stamp), domain, rest) == ("SRS0", 8, 2, "a.example", "anna")
    assert is_return_address(local)


@pytest.mark.parametrize("change", [str.upper, str.lower, str.swapcase])
def test_a_host_that_changes_letters_does_no_harm(change: object) -> None:
    assert callable(change)
    assert SRS.original(change(written(SENDER))) in (SENDER, Address("ANNA", "a.example"))


@given(st.data())
def test_nothing_that_was_changed_is_read(data: st.DataObject) -> None:
    local = written(SENDER)
    place = data.draw(st.integers(0, len(local) - 1))
    letter = data.draw(st.sampled_from("abc234XYZ=.@"))
    forged = local[:place] + letter + local[place + 1 :]
    if forged.lower() != local.lower():
        assert SRS.original(forged) is None


@pytest.mark.parametrize(
    "local", ["SRS0=", "SRS0====", "SRS1=x=y", "srs0", "SRS0=AAAAAAAA=BB=c.example=d", "\udcff"]
)
def test_nothing_that_was_made_up_is_read(local: str) -> None:
    assert SRS.original(local) is None


def test_another_secret_is_another_server() -> None:
    assert Srs(b"theirs", DAY).original(written(SENDER)) is None


@pytest.mark.parametrize("now", [DAY, DAY + 1, DAY + MOST_DAYS])
@pytest.mark.parametrize("turn", [0, 1024], ids=["this", "next"])
def test_it_is_good_for_some_weeks(now: int, turn: int) -> None:
    # The stamp counts modulo 1024 days; who keeps an address for three years may use it again.
    assert Srs(SRS.secret, now + turn).original(written(SENDER)) == SENDER


@pytest.mark.parametrize("now", [DAY - 1, DAY + MOST_DAYS + 1, DAY + 500])
def test_and_then_no_more(now: int) -> None:
    assert Srs(SRS.secret, now).original(written(SENDER)) is None


@pytest.mark.parametrize("separator", ["=", "+", "-"])
def test_forwarded_twice_it_leads_back_to_the_first_who_did(separator: str) -> None:
    first = Address(f"SRS0{separator}aXb2=XY=origin.example=anna", "b.example")
    local = written(first)
    assert local.startswith("SRS1=")
    assert SRS.original(local) == first
    # And once more, by a third: it takes the place of the second.
    third = Srs(b"the third's", DAY)
    again = written(Address(local, "c.example"), third)
    assert third.original(again) == first
    assert SRS.original(again) is None


def test_one_without_room_is_left_alone() -> None:
    room = LOCAL_LIMIT - len(written(Address("x", "a.example"))) + 1
    assert SRS.rewritten(Address("x" * room, "a.example"), HOME) is not None
    assert SRS.rewritten(Address("x" * (room + 1), "a.example"), HOME) is None
