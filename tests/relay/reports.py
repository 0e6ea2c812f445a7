"""Reports as their readers take them apart: the standard library's parser, and a few values to report on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

from mta.relay.outcome import Reason
from mta.relay.reporting.original import Original
from mta.relay.reporting.report import Notice, Reporter, make_report
from mta.relay.reporting.told import Action, Told
from mta.store import Domain, Envelope, Mailbox, Recipient

ID = "0123456789abcdefghij"
REPORT_ID = "9876543210abcdefghij"
ARRIVED, NOW = 1_800_000_000.5, 1_800_010_000.0
REPORTER = Reporter("mx.example.org", "postmaster@example.org")

BOB = Recipient("bob@other.example", Domain("other.example"))
ANNA = Recipient("anna@example.org", Mailbox("anna"))
ENVELOPE = Envelope(ID, "sender@example.net", ARRIVED, (BOB, ANNA), {"body": "7BIT"})
FAILED = Told(
    BOB,
    Action.FAILED,
    "5.1.1",
    Reason.NO_SUCH_USER,
    "550 5.1.1 who is that?",
    host="mx.other.example",
    attempted=NOW - 5,
)
HEADER = b"Received: from a by b\r\nSubject: hello\r\n\tthere\r\nFrom: sender@example.net\r\n"
TEXT = HEADER + b"\r\nthe text\r\n"


def original(octets: bytes = TEXT) -> Original:
    return Original(octets, len(octets))


def report(*told: Told, octets: bytes | None = TEXT, **changes: object) -> Notice:
    """A report on the usual message, or on one that differs from it."""
    envelope = replace(ENVELOPE, **changes)  # type: ignore[arg-type]
    returned = None if octets is None else original(octets)
    return make_report(REPORTER, REPORT_ID, envelope, told or (FAILED,), returned, NOW)


@dataclass
class Read:
    """A report, taken apart."""

    message: EmailMessage
    text: str
    status_type: str
    groups: list[dict[str, str]]
    """Fields of the message, then those of each recipient."""
    returned_type: str = ""
    returned: bytes = b""
    """The body of the third part, decoded, line ends as LF."""


def parse(octets: bytes) -> EmailMessage:
    """A message without defects."""
    found = BytesParser(policy=policy.default).parsebytes(octets)
    assert isinstance(found, EmailMessage)
    assert found.defects == []
    return found


def read(notice: Notice) -> Read:
    """Fails when the report is not a report."""
    message = parse(notice.octets)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    parts = [_part(each) for each in _raw_parts(message, notice.octets)]
    assert [kind.partition(";")[0] for kind, _ in parts[:1]] == ["text/plain"]
    read = Read(message, parts[0][1].decode(), parts[1][0], _groups(parts[1][1]))
    if len(parts) > 2:
        read.returned_type, read.returned = parts[2]
    assert len(parts) <= 3
    return read


def _raw_parts(message: EmailMessage, octets: bytes) -> list[bytes]:
    """As octets, since the parser turns message/* into objects."""
    border = b"\n--" + str(message.get_boundary()).encode()
    before, *parts, after = octets.split(border)
    assert b"\n\n" not in before
    assert after == b"--\n"
    return [part.removeprefix(b"\n") for part in parts]


def _part(octets: bytes) -> tuple[str, bytes]:
    """Its type, and its body decoded."""
    header, _, body = octets.partition(b"\n\n")
    fields = parse(header + b"\n\n")
    carrier = parse(
        b"Content-Transfer-Encoding: %b\n\n%b" % (fields["Content-Transfer-Encoding"].encode(), body)
    )
    decoded = carrier.get_payload(decode=True)
    assert isinstance(decoded, bytes)
    return str(fields["Content-Type"]), decoded


def _groups(octets: bytes) -> list[dict[str, str]]:
    """Field names and unfolded values; fails on anything that is no field."""
    groups = []
    for group in octets.decode().strip("\n").split("\n\n"):
        lines = group.replace("\n ", " ").split("\n")
        fields = [line.partition(":") for line in lines]
        assert all(colon for _, colon, _ in fields), group
        groups.append({name: value.removeprefix(" ") for name, _, value in fields})
        assert len(groups[-1]) == len(fields), group
    return groups


def check_octets(octets: bytes) -> None:
    """What every message of ours is: RFC 5322 2.1.1, 2.3."""
    assert b"\r" not in octets
    assert b"\0" not in octets
    assert octets.endswith(b"\n")
    assert all(len(line) <= 998 for line in octets.split(b"\n"))
