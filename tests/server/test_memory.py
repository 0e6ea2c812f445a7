"""Shares of the memory for messages under way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mta.server.memory import MOST, Memory


def test_the_first_session_gets_all_it_can_use() -> None:
    assert Memory(1 << 30).reserve() == MOST
    assert Memory(1 << 30).reserve(500) == 500


@given(st.integers(0, 1 << 26), st.integers(1, 3000))
def test_shares_never_add_up_to_more_than_half_the_limit(limit: int, sessions: int) -> None:
    memory = Memory(limit)
    shares = [memory.reserve() for _ in range(sessions)]
    assert sum(shares) == memory.reserved <= limit // 2
    assert all(share >= 0 for share in shares)
    for share in shares:
        memory.release(share)
    assert memory.reserved == 0


def test_a_limit_lowered_below_what_is_reserved_grants_nothing() -> None:
    memory = Memory(1 << 26)
    memory.reserve()
    memory.limit(1000)
    assert memory.reserve() == 0
