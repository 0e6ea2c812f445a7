"""Reports: each field as the RFCs want it, and nothing that anybody said breaks one."""

from __future__ import annotations

from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.relay.outcome import Reason
from mta.relay.reporting.original import HEADER_LIMIT, MESSAGE_LIMIT, Original
from mta.relay.reporting.report import Untold, make_digest, make_report
from mta.relay.reporting.told import Action, Told
from mta.store import Domain, Envelope, Mailbox, Recipient, Store, Stored
from tests.relay.reports import (
    ANNA,
    ARRIVED,
    BOB,
    ENVELOPE,
    FAILED,
    HEADER,
    ID,
    NOW,
    REPORT_ID,
    REPORTER,
    TEXT,
    check_octets,
    original,
    parse,
    read,
    report,
)


def seconds(date: str) -> float:
    return parsedate_to_datetime(date).timestamp()


# --- the message


def test_64_its_header() -> None:
    message = read(report()).message
    assert {name: str(value) for name, value in message.items() if name not in ("Date", "Content-Type")} == {
        "From": "Mail Delivery System <postmaster@example.org>",
        "To": "sender@example.net",
        "Subject": "Your message could not be delivered",
        "Message-ID": f"<{REPORT_ID}@mx.example.org>",
        "Auto-Submitted": "auto-replied",
        "MIME-Version": "1.0",
        "Content-Transfer-Encoding": "7bit",
    }
    assert seconds(str(message["Date"])) == NOW


TO = Recipient("sender@example.net", Domain("example.net"))
AT_HOME = Recipient("sender@example.org", Mailbox("sender"))


def test_47_it_comes_from_nobody_and_goes_to_the_sender() -> None:
    delivery = report().delivery(TO)
    assert delivery.envelope == Envelope(
        REPORT_ID,
        "",
        NOW,
        (TO,),
        {"protocol": "report", "body": "7BIT", "smtputf8": False},
    )
    assert b"".join(delivery.text.crlf) == report().octets.replace(b"\n", b"\r\n")
    assert delivery.wire_size == len(report().octets) + report().octets.count(b"\n")


def test_in_a_mailbox_it_has_lf() -> None:
    delivery = report().delivery(AT_HOME)
    assert b"".join(delivery.text.lf) == report().octets
    assert delivery.octets == len(report().octets)


@pytest.mark.parametrize(
    ("sender", "told"), [("", (FAILED,)), ("sender@example.net", ())], ids=["to nobody", "of nobody"]
)
def test_47_none_to_nobody_and_none_of_nobody(sender: str, told: tuple[Told, ...]) -> None:
    envelope = replace(ENVELOPE, sender=sender)
    with pytest.raises(ValueError, match="report"):
        make_report(REPORTER, REPORT_ID, envelope, told, original(), NOW)


def test_it_is_committed_like_any_message(tmp_path: Path) -> None:
    store = Store(tmp_path, host="mx")
    deliveries = [report().delivery(recipient) for recipient in (AT_HOME, TO)]
    store.commit(deliveries)
    assert [delivery.outcome for delivery in deliveries] == [Stored(), Stored()]
    (mail,) = (tmp_path / "sender" / "new").iterdir()
    assert mail.read_bytes() == b"Return-Path: <>\n" + report().octets
    letter = (tmp_path / ".OTHER_SERVERS" / "example.net" / REPORT_ID).read_bytes()
    assert letter.endswith(b"\n" + report().octets.replace(b"\n", b"\r\n"))


def test_it_is_the_same_when_made_again() -> None:
    assert report() == report()


# --- the part for programs


def test_64_fields_of_a_failure() -> None:
    parsed = read(report())
    assert parsed.status_type == "message/delivery-status"
    message, recipient = parsed.groups
    assert seconds(message.pop("Arrival-Date")) == int(ARRIVED)
    assert message == {"Reporting-MTA": "dns; mx.example.org"}
    assert seconds(recipient.pop("Last-Attempt-Date")) == NOW - 5
    assert recipient == {
        "Final-Recipient": "rfc822; bob@other.example",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.other.example",
        "Diagnostic-Code": "smtp; 550 5.1.1 who is that?",
    }


def test_63_what_the_sender_named_is_told_decoded() -> None:
    bob = replace(BOB, orcpt="rfc822;bob+2Bx+20y@home.example")
    message, recipient = read(report(replace(FAILED, recipient=bob), envid="order+20+2B207")).groups
    assert message["Original-Envelope-Id"] == "order +207"
    assert recipient["Original-Recipient"] == "rfc822; bob+x y@home.example"
    assert recipient["Final-Recipient"] == "rfc822; bob@other.example"


def test_a_delay_says_how_long_it_will_be_tried() -> None:
    delayed = Told(BOB, Action.DELAYED, "4.4.1", Reason.DNS_SILENT, until=NOW + 1000, detail="no answer")
    recipient = read(report(delayed)).groups[1]
    assert seconds(recipient.pop("Will-Retry-Until")) == NOW + 1000
    assert recipient == {
        "Final-Recipient": "rfc822; bob@other.example",
        "Action": "delayed",
        "Status": "4.4.1",
        "Diagnostic-Code": "x-mta; no answer",
    }


@pytest.mark.parametrize("action", Action)
def test_one_group_for_each_recipient(action: Action) -> None:
    parsed = read(report(FAILED, Told(ANNA, action, "2.0.0")))
    assert [group["Action"] for group in parsed.groups[1:]] == ["failed", action.value]
    assert [group["Final-Recipient"] for group in parsed.groups[1:]] == [
        "rfc822; bob@other.example",
        "rfc822; anna@example.org",
    ]
    assert "<bob@other.example>" in parsed.text
    assert "<anna@example.org>" in parsed.text


@pytest.mark.parametrize(
    ("action", "status"), [(Action.FAILED, "5.0.0"), (Action.DELAYED, "4.0.0"), (Action.RELAYED, "2.0.0")]
)
def test_a_status_is_always_one(action: Action, status: str) -> None:
    assert read(report(replace(FAILED, action=action, status="5.1.1\r\nX: y"))).groups[1]["Status"] == status


# --- the part for people


def test_words_for_an_unknown_mailbox() -> None:
    text = read(report()).text
    paragraphs = [" ".join(line.split()) for line in text.split("\n\n")]
    assert paragraphs[0] == "This is the mail server mx.example.org."
    assert paragraphs[1].startswith("Your message of ")
    assert paragraphs[1].endswith(" could not be delivered to:")
    assert paragraphs[2] == (
        "<bob@other.example> No such mailbox there. "
        "The server mx.other.example said: 550 5.1.1 who is that? "
        "Is the address spelt right? If so, ask the person for a new one by other means."
    )
    assert (
        paragraphs[3] == "It will not be tried again. If it is to get there, you have to send it once more."
    )
    assert paragraphs[4].startswith("The header of your message is attached")


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("action", [Action.FAILED, Action.DELAYED])
def test_every_reason_has_words_for_people(action: Action, reason: Reason) -> None:
    """None of the operator's settings or commands is named to strangers."""
    text = read(report(replace(FAILED, action=action, reason=reason))).text
    assert "relay." not in text
    assert "`" not in text


def test_a_failure_that_lasted_too_long_says_so() -> None:
    text = read(report(replace(FAILED, status="4.4.1", reason=Reason.CONNECT_TIMED_OUT))).text
    assert "Their host does not answer." in text
    assert "It was tried again and again, the last time on" in " ".join(text.split())


def test_the_subject_is_about_the_gravest() -> None:
    relayed, delivered = Told(BOB, Action.RELAYED, "2.0.0"), Told(ANNA, Action.DELIVERED, "2.0.0")
    assert read(report(delivered, relayed)).message["Subject"] == "Your message has been sent on"
    assert read(report(delivered)).message["Subject"] == "Your message has been delivered"
    assert read(report(delivered, FAILED)).message["Subject"] == "Your message could not be delivered"


# --- what is returned


def test_63_the_header_is_returned() -> None:
    for ret in ("", "HDRS"):
        parsed = read(report(ret=ret))
        assert (parsed.returned_type, parsed.returned) == (
            "text/rfc822-headers",
            HEADER.replace(b"\r\n", b"\n"),
        )


def test_63_all_of_it_when_the_sender_asked() -> None:
    parsed = read(report(ret="FULL"))
    assert parsed.returned_type == "message/rfc822"
    assert parsed.returned.rstrip(b"\n") == TEXT.replace(b"\r\n", b"\n").rstrip(b"\n")
    assert "Your message is attached." in parsed.text


@pytest.mark.parametrize("action", [Action.DELAYED, Action.DELIVERED, Action.RELAYED, Action.EXPANDED])
def test_63_all_of_it_for_a_failure_only(action: Action) -> None:
    assert read(report(replace(FAILED, action=action), ret="FULL")).returned_type == "text/rfc822-headers"


@pytest.mark.parametrize(
    "octets",
    [
        HEADER + b"\r\n" + b"x\r\n" * (MESSAGE_LIMIT // 3),
        HEADER + b"\r\n" + b"x" * 999 + b"\r\n",
        HEADER + b"\r\na\0b\r\n",
        HEADER + b"X: \xff\r\n\r\ntext\r\n",
    ],
    ids=["too big", "long line", "NUL", "no charset"],
)
def test_what_cannot_be_returned_whole_is_not(octets: bytes) -> None:
    parsed = read(report(octets=octets, ret="FULL"))
    assert parsed.returned_type == "text/rfc822-headers"
    assert parsed.returned.startswith(HEADER.replace(b"\r\n", b"\n"))
    assert b"text" not in parsed.returned


def test_a_message_read_in_part_is_not_called_whole() -> None:
    notice = make_report(
        REPORTER, REPORT_ID, replace(ENVELOPE, ret="FULL"), [FAILED], Original(TEXT[:-3], len(TEXT)), NOW
    )
    assert read(notice).returned_type == "text/rfc822-headers"


def test_a_long_header_is_cut_at_a_line() -> None:
    octets = b"X: y\r\n" * HEADER_LIMIT
    returned = read(report(octets=octets)).returned
    assert HEADER_LIMIT - 5 <= len(returned) <= HEADER_LIMIT
    assert set(returned.splitlines()) == {b"X: y"}


def test_a_message_without_header_returns_none() -> None:
    assert read(report(octets=b"\r\nonly text\r\n")).returned.strip() == b""


def test_a_message_that_is_gone_returns_nothing() -> None:
    parsed = read(report(octets=None))
    assert parsed.returned_type == ""
    assert "attached" not in parsed.text


def test_eight_bits_are_announced() -> None:
    notice = report(octets=HEADER + b"\r\n\xe4\r\n", ret="FULL")
    parsed = read(notice)
    assert parsed.returned_type == "message/rfc822"
    assert parsed.message["Content-Transfer-Encoding"] == "8bit"
    assert notice.delivery(AT_HOME).envelope.client["body"] == "8BITMIME"


# --- other scripts


def test_69_addresses_in_utf8() -> None:
    bob = Recipient("jürgen@other.example", Domain("other.example"), orcpt=r"utf-8;j\x{FC}rgen@home.example")
    parsed = read(report(replace(FAILED, recipient=bob)))
    assert parsed.status_type == "message/global-delivery-status"
    assert parsed.groups[1]["Final-Recipient"] == "utf-8; jürgen@other.example"
    assert parsed.groups[1]["Original-Recipient"] == "utf-8; jürgen@home.example"
    assert "<jürgen@other.example>" in parsed.text


def test_69_a_sender_in_utf8() -> None:
    notice = report(sender="jürgen@example.net")
    assert "To: <jürgen@example.net>\n".encode() in notice.octets
    client = notice.delivery(AT_HOME).envelope.client
    assert (client["smtputf8"], client["body"]) == (True, "8BITMIME")


def test_69_a_header_in_utf8() -> None:
    octets = "Subject: schöne Grüße\r\n\r\nhallo\r\n".encode()
    parsed = read(report(octets=octets))
    assert parsed.returned_type == "message/global-headers"
    assert parsed.returned.decode().rstrip("\n") == "Subject: schöne Grüße"
    assert read(report(octets=octets, ret="FULL")).returned_type == "message/global"


# --- hostile values


HOSTILE = st.text(
    st.sampled_from('\r\n\0\t\x0b\x1b\x7f\x85\u2028\u202e\ud800 :;<>@"\\=+{}%-.aé\U0001f600')
    | st.characters()
) | st.sampled_from(
    [
        "x\r\nBcc: victim@example.org",
        "x\n\nAction: delivered",
        "a" * 5000,
        "ü" * 5000,
        " " * 5000 + "x",
        "x y " * 2000,
        "\r\n--=_report_0_\r\n",
        "--=_report_0_--",
    ]
)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_64_74_no_value_breaks_a_report(reply: str, host: str, address: str, orcpt: str, envid: str) -> None:
    recipient = replace(BOB, address=address, orcpt=orcpt)
    told = Told(recipient, Action.FAILED, "5.0.0", None, reply, host=host, attempted=NOW)
    notice = report(told, envid=envid)
    check_octets(notice.octets)
    parsed = read(notice)
    assert set(parsed.message.keys()) == set(read(report()).message.keys())
    assert parsed.text.replace("\n", "").isprintable()
    assert len(parsed.groups) == 2
    assert parsed.groups[0].keys() <= {"Original-Envelope-Id", "Reporting-MTA", "Arrival-Date"}
    assert parsed.groups[1]["Action"] == "failed"
    assert parsed.groups[1].keys() <= {
        "Original-Recipient",
        "Final-Recipient",
        "Action",
        "Status",
        "Remote-MTA",
        "Diagnostic-Code",
        "Last-Attempt-Date",
    }


PIECES = (
    *(b"\r", b"\n", b"\r\n", b"\n\n", b"\0", b".", b"=", b" ", b": ", b"\xff", "ü".encode()),
    *(b"From ", b"Subject: x", b"a" * 999, b"--=_report_0_", b"--=_report_1_--"),
)


@given(
    st.lists(st.sampled_from(PIECES) | st.binary(), max_size=30).map(b"".join),
    st.sampled_from(["", "FULL"]),
)
def test_64_74_no_message_breaks_a_report(octets: bytes, ret: str) -> None:
    notice = report(octets=octets, ret=ret)
    check_octets(notice.octets)
    parsed = read(notice)
    assert len(parsed.groups) == 2
    text = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert text.startswith(parsed.returned.rstrip(b"\n"))


@given(
    HOSTILE.filter(lambda text: not any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in text))
)
def test_74_no_sender_breaks_a_report(sender: str) -> None:
    if sender:
        check_octets(report(sender=sender).octets)


# --- digests


def test_a_digest_names_every_letter_and_recipient() -> None:
    delayed = Told(ANNA, Action.DELAYED, "4.4.1", Reason.DNS_SILENT)
    untold = [Untold(ID, ARRIVED, (FAILED, delayed)), Untold("z" * 20, ARRIVED, (FAILED,))]
    notice = make_digest(REPORTER, REPORT_ID, "sender@example.net", untold, NOW)
    check_octets(notice.octets)
    message = parse(notice.octets)
    assert message["To"] == "sender@example.net"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Subject"] == "Reports on 2 of your messages"
    (part,) = message.iter_parts()
    assert isinstance(part, type(message))
    words = " ".join(part.get_content().split())
    assert words.count(f"Message {ID} of ") == words.count(f"Message {'z' * 20} of ") == 1
    assert words.count("could not be delivered to <bob@other.example>: No such mailbox there.") == 2
    assert words.count("has not been delivered yet to <anna@example.org>: Their DNS does not answer.") == 1


def test_a_digest_counts_the_recipients_it_does_not_show() -> None:
    notice = make_digest(REPORTER, REPORT_ID, "a@b.example", [Untold(ID, ARRIVED, (FAILED,) * 25)], NOW)
    assert notice.octets.count(b"<bob@other.example>") == 20
    assert b"\n  and 5 more recipients of it\n" in notice.octets


def test_a_digest_for_nobody_or_of_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="digest"):
        make_digest(REPORTER, REPORT_ID, "", [Untold(ID, ARRIVED, (FAILED,))], NOW)
    with pytest.raises(ValueError, match="digest"):
        make_digest(REPORTER, REPORT_ID, "a@b.example", [], NOW)


@given(HOSTILE, HOSTILE)
def test_74_no_value_breaks_a_digest(reply: str, address: str) -> None:
    told = replace(FAILED, recipient=replace(BOB, address=address), reply=reply)
    octets = make_digest(REPORTER, REPORT_ID, "a@b.example", [Untold(ID, ARRIVED, (told,))], NOW).octets
    check_octets(octets)
    assert len(list(parse(octets).iter_parts())) == 1
