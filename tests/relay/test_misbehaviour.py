"""Exchangers that misbehave at each stage, and what becomes of the letter.

One table: what is said instead of the usual, at which stage, and where the letter is afterwards. One that is
delivered was delivered once, one that waits says for which reason, one that is given up lies in error/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.protocol.exchanger import Does
from tests.relay.office import TEXT, Office, Saying, Site

STAGES = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "END", "QUIT")
LATER = b"451 4.3.0 not now\r\n"
NEVER = b"554 5.3.0 no\r\n"
BUSY = b"421 4.3.2 busy\r\n"
NOT_SMTP = {
    "code 199": b"199 what\r\n",
    "code 600": b"600 what\r\n",
    "code 2x": b"2x0 what\r\n",
    "no line end": b"250 " + b"x" * 5000,
    "LF alone": b"250 ok\n",
    "two codes": b"250-ok\r\n251 ok\r\n",
    "a reply without an end": b"250-more\r\n" * 100_000,
    "a line of a megabyte": b"250 " + b"x" * (1 << 20) + b"\r\n",
    "garbage": bytes(range(128, 256)) * 500,
}
BROKEN: dict[str, Does] = {"closed": Does.CLOSE, "reset": Does.RESET, "stalled": Does.STALL}

WAITS: dict[Saying, dict[str, str]] = {
    # by what is said; the reason by stage, "" at all others
    LATER: {"greeting": "host-refused", "EHLO": "host-refused", "": "deferred"},
    BUSY: {"": "throttled"},
    Does.CLOSE: {"": "connection-lost", "END": "possible-duplicate"},
    Does.RESET: {"": "connection-lost", "END": "possible-duplicate"},
    Does.STALL: {"": "timed-out", "END": "possible-duplicate"},
}


def expected(stage: str, says: Saying) -> str:
    """Where the letter is in the end."""
    if stage == "QUIT":
        return "delivered"
    if says == NEVER:  # about the host, not about the mail; HELO is tried when EHLO is refused
        return {"greeting": "waits: host-refused", "EHLO": "delivered"}.get(stage, "failed")
    reasons = WAITS.get(says, {"": "not-smtp", "END": "possible-duplicate"})
    return f"waits: {reasons.get(stage, reasons[''])}"


CASES = [
    pytest.param(stage, says, expected(stage, says), id=f"{stage}-{name}")
    for stage in STAGES
    for name, says in {"4yz": LATER, "5yz": NEVER, "421": BUSY, **BROKEN, **NOT_SMTP}.items()
]
ODD = [
    # Only the code counts.
    *(pytest.param(s, b"200 500 error\r\n", "delivered", id=f"{s}-200") for s in STAGES if s != "DATA"),
    pytest.param("MAIL", b"299-a\r\n299 b\r\n", "delivered", id="any 2yz"),
    # No text without 354.
    pytest.param("DATA", b"250 ok\r\n", "waits: not-smtp", id="DATA-250"),
    pytest.param("DATA", b"200 354 go\r\n", "waits: not-smtp", id="DATA-200"),
    # 3yz where nothing goes on.
    *(pytest.param(s, b"354 go\r\n", "waits: not-smtp", id=f"{s}-354") for s in STAGES[:4]),
    pytest.param("END", b"354 go\r\n", "waits: possible-duplicate", id="END-354"),
    # A reply to what was not said yet.
    pytest.param("greeting", b"220 hi\r\n250 hi\r\n", "waits: not-smtp", id="early EHLO"),
    pytest.param("EHLO", b"250 hi\r\n250 ok\r\n", "waits: not-smtp", id="early MAIL"),
    pytest.param("DATA", b"354 go\r\n250 ok\r\n", "waits: not-smtp", id="early END"),
    pytest.param("END", b"250 ok\r\n250 ok\r\n", "delivered", id="one 250 too many"),
    # Offers that are lies.
    pytest.param("EHLO", b"250-hi\r\n250 SIZE 10\r\n", "failed", id="SIZE is too small"),
    pytest.param("EHLO", b"250-hi\r\n250 SIZE 9999999999999999999999\r\n", "delivered", id="SIZE is none"),
]  # fmt: skip


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


def attempt(office: Office, site: Site) -> str:
    """Where the letter is after one attempt."""
    letter = office.letter("user@b.example", sender="")
    office.route("b.example", site)
    office.until(lambda: is_over(office, site))
    if office.buried("b.example"):
        return "failed"
    if not office.names("b.example"):
        return "delivered"
    return "waits: " + office.status("b.example", letter).recipients["user@b.example"].reason


def is_over(office: Office, *sites: Site) -> bool:
    """Nothing is under way any more. A step that these sites let us wait for in vain has taken too long."""
    if any(each.silent for site in sites for each in site.exchangers):
        for courier in list(office.relay._couriers):
            courier.check_time(office.loop.clock() + 601)
    names = office.names("b.example")
    return not office.relay._couriers and (not names or any(".status" in name for name in names))


@pytest.mark.parametrize("features", [("8BITMIME",), ("PIPELINING",)], ids=["lock-step", "pipelining"])
@pytest.mark.parametrize(("stage", "says", "state"), CASES + ODD)
def test_where_the_letter_is(
    office: Office, features: tuple[str, ...], stage: str, says: Saying, state: str
) -> None:
    site = office.site(*features, **{stage: [says]})
    assert attempt(office, site) == state
    taken = [[TEXT]] if state == "delivered" else [[], [TEXT]] if "duplicate" in state else [[]]
    assert site.texts in taken
    attempts = office.records("delivered") + office.records("deferred") + office.records("failed")
    assert [record.event for record in attempts] == [
        {"failed": "failed", "delivered": "delivered"}.get(state, "deferred")
    ]


def test_each_recipient_has_its_own_code(office: Office) -> None:
    site = office.site(RCPT=[b"250 ok\r\n", b"550 5.1.1 who\r\n", b"450 4.2.0 later\r\n", b"251 will do\r\n"])
    letter = office.letter("a@b.example", "b@b.example", "c@b.example", "d@b.example", sender="")
    office.route("b.example", site)
    office.until(lambda: is_over(office))
    states = {a: s.state.value for a, s in office.status("b.example", letter).recipients.items()}
    assert states == {
        "a@b.example": "delivered",
        "b@b.example": "failed",
        "c@b.example": "waiting",
        "d@b.example": "delivered",
    }
    assert site.texts == [TEXT]


def test_who_offers_pipelining_and_hears_one_command_at_a_time_gets_the_letter_later(office: Office) -> None:
    """It drops what came with MAIL, and so has nothing to answer to RCPT and DATA."""
    site = office.site("PIPELINING", RCPT=[Does.STALL])
    assert attempt(office, site) == "waits: timed-out"


def test_the_loop_goes_on_while_somebody_floods_us(office: Office) -> None:
    flood = office.site(EHLO=[b"250-more\r\n" * 1_000_000])
    sound = office.site()
    office.letter("user@b.example", sender="")
    office.letter("user@c.example", sender="")
    office.configure(
        f'relay.routes=["b.example smtp://127.0.0.1:{flood.port}", "c.example smtp://127.0.0.1:{sound.port}"]'
    )
    office.until(lambda: is_over(office) and not office.names("c.example"))
    assert sound.texts == [TEXT]
