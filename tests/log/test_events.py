"""The catalogue: each event's record as it stands in a log, and no secret in any of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from mta.log import events
from tests.log.conftest import Tap

HEAD = "2026-11-21T12:00:00.000Z {level} receiver "

CATALOGUE: list[tuple[Callable[..., None], dict[str, Any], str, str]] = [
    (
        events.started,
        {"version": "0.1.0", "listeners": ["smtp=127.0.0.1:2525", "pop3=[::1]:2110"]},
        "INFO",
        'started version=0.1.0 listeners="smtp=127.0.0.1:2525,pop3=[::1]:2110"',
    ),
    (events.stopping, {"reason": "SIGTERM"}, "INFO", "stopping reason=SIGTERM"),
    (events.stopped, {}, "INFO", "stopped"),
    (events.child_started, {"role": "relay", "pid": 17}, "INFO", "child_started role=relay pid=17"),
    (
        events.child_died,
        {"role": "relay", "pid": 17, "status": "killed by signal 9", "restart_in": 1.0},
        "ERROR",
        'child_died role=relay pid=17 status="killed by signal 9" restart_in=1.0000',
    ),
    (
        events.fault,
        {"what": "sync", "where": "/mail/user1/new", "error": OSError(28, "No space left on device")},
        "ERROR",
        'fault what=sync where=/mail/user1/new error="[Errno 28] No space left on device"',
    ),
    (
        events.few_descriptors,
        {"needed": 10_100, "limit": 4096},
        "WARNING",
        "few_descriptors needed=10100 limit=4096",
    ),
    (events.reopened, {}, "INFO", "reopened"),
    (
        events.reloaded,
        {"key": "application.debug", "old": "false", "new": "true"},
        "INFO",
        "reloaded key=application.debug old=false new=true",
    ),
    (
        events.set_live,
        {"key": "limits.connections", "old": "10000", "new": "5", "by": "control 127.0.0.1:50000"},
        "INFO",
        'set key=limits.connections old=10000 new=5 by="control 127.0.0.1:50000"',
    ),
    (
        events.restart_needed,
        {"key": "application.user", "old": "", "new": "mail"},
        "WARNING",
        'restart_needed key=application.user old="" new=mail',
    ),
    (
        events.reload_failed,
        {"text": "mta.conf:3:1: unknown key"},
        "ERROR",
        'reload_failed text="mta.conf:3:1: unknown key"',
    ),
    (
        events.certificate_loaded,
        {"path": "/etc/mta/cert.pem", "names": ["mx.example.org"], "expires": "2027-02-01"},
        "INFO",
        "certificate_loaded path=/etc/mta/cert.pem names=mx.example.org expires=2027-02-01",
    ),
    (
        events.certificate_refused,
        {"path": "/etc/mta/cert.pem", "error": "no key"},
        "ERROR",
        'certificate_refused path=/etc/mta/cert.pem error="no key"',
    ),
    (
        events.connected,
        {"session": "s1", "service": "smtp", "peer": "192.0.2.1:4711"},
        "INFO",
        "connected session=s1 service=smtp peer=192.0.2.1:4711",
    ),
    (
        events.refused,
        {"service": "smtp", "peer": "192.0.2.1:4711", "reply": b"421 4.3.2 too many connections"},
        "INFO",
        'refused service=smtp peer=192.0.2.1:4711 reply="421 4.3.2 too many connections"',
    ),
    (
        events.tls_started,
        {"session": "s1", "version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"},
        "INFO",
        "tls_started session=s1 version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384",
    ),
    (
        events.tls_failed,
        {"session": "s1", "peer": "192.0.2.1:4711", "error": "no shared cipher"},
        "INFO",
        'tls_failed session=s1 peer=192.0.2.1:4711 error="no shared cipher"',
    ),
    (
        events.accepted,
        {
            "id": "m1",
            "session": "s1",
            "peer": "192.0.2.1:4711",
            "sender": "",
            "recipients": ["user1@example.org", "user2@example.org"],
            "size": 4096,
            "seconds": 0.0123,
            "into": ["user1", "user2", "@other.example"],
            "via": ["all@example.org"],
        },
        "INFO",
        'accepted id=m1 session=s1 peer=192.0.2.1:4711 sender="" '
        "recipients=user1@example.org,user2@example.org size=4096 seconds=0.0123 "
        "into=user1,user2,@other.example via=all@example.org",
    ),
    (
        events.rejected,
        {
            "session": "s1",
            "peer": "192.0.2.1:4711",
            "command": b"RCPT TO:<v@other.example>",
            "reply": "550 5.7.1 relay denied (s1)",
        },
        "INFO",
        'rejected session=s1 peer=192.0.2.1:4711 command="RCPT TO:<v@other.example>" '
        'reply="550 5.7.1 relay denied (s1)"',
    ),
    (
        events.logged_in,
        {"session": "s1", "peer": "192.0.2.1:50000", "login": "alice@example.org", "mechanism": "PLAIN"},
        "INFO",
        "logged_in session=s1 peer=192.0.2.1:50000 login=alice@example.org mechanism=PLAIN",
    ),
    (
        events.login_failed,
        {
            "session": "s1",
            "peer": "192.0.2.1:50000",
            "login": "alice",
            "mechanism": "SCRAM-SHA-256",
            "reason": "no such user",
        },
        "WARNING",
        "login_failed session=s1 peer=192.0.2.1:50000 login=alice mechanism=SCRAM-SHA-256"
        ' reason="no such user"',
    ),
    (
        events.closed,
        {"session": "s1", "reason": "quit", "seconds": 1.5, "messages": 2},
        "INFO",
        "closed session=s1 reason=quit seconds=1.5000 messages=2",
    ),
    (events.recovered, {"what": "links", "count": 3}, "INFO", "recovered what=links count=3"),
    (
        events.attempted,
        {
            "event": "delivered",
            "letter": "m1",
            "recipient": "b@example.net",
            "host": "mx.example.net",
            "address": "192.0.2.25:25",
            "tls": "TLSv1.3",
            "certificate": "held",
            "queued": 1.5,
            "dns": 0.01,
            "connect": 0.02,
            "transfer": 0.2,
            "reply": "250 2.0.0 ok",
        },
        "INFO",
        "delivered id=m1 recipient=b@example.net host=mx.example.net address=192.0.2.25:25 tls=TLSv1.3 "
        'certificate=held queued=1.5000 dns=0.0100 connect=0.0200 transfer=0.2000 reply="250 2.0.0 ok"',
    ),
    (
        events.reported,
        {"letter": "m2", "recipient": "s@example.org", "about": ["m1", "m0"]},
        "INFO",
        "reported id=m2 recipient=s@example.org about=m1,m0",
    ),
    (
        events.administered,
        {"session": "s1", "peer": "p", "login": "admin@example.org", "order": "DELETE_USER user1"},
        "INFO",
        'administered session=s1 peer=p login=admin@example.org order="DELETE_USER user1"',
    ),
    (
        events.drop_opened,
        {"session": "s1", "user": "user1@example.org", "messages": 2, "octets": 900},
        "INFO",
        "drop_opened session=s1 user=user1@example.org messages=2 octets=900",
    ),
    (
        events.drop_updated,
        {"session": "s1", "removed": 2, "failed": 0},
        "INFO",
        "drop_updated session=s1 removed=2 failed=0",
    ),
    (
        events.set_aside,
        {"path": "example.org/m1", "reason": "its lengths do not add up"},
        "ERROR",
        'set_aside path=example.org/m1 reason="its lengths do not add up"',
    ),
    (
        events.transcript_started,
        {"session": "s1", "protocol": "smtp", "peer": "192.0.2.1:4711", "peer_name": "mx.other.example"},
        "DEBUG",
        "transcript session=s1 step=started protocol=smtp peer=192.0.2.1:4711 peer_name=mx.other.example",
    ),
    (
        events.transcript_received,
        {"session": "s1", "line": b"EHLO \xff"},
        "DEBUG",
        r'transcript session=s1 received="EHLO \xff"',
    ),
    (
        events.transcript_sent,
        {"session": "s1", "line": b"250 2.0.0 queued as m1"},
        "DEBUG",
        'transcript session=s1 sent="250 2.0.0 queued as m1"',
    ),
    (
        events.transcript_completed,
        {"session": "s1", "seconds": 1.5},
        "DEBUG",
        "transcript session=s1 step=completed seconds=1.5000",
    ),
]


@pytest.mark.parametrize(
    ("event", "fields", "level", "text"), CATALOGUE, ids=[entry[0].__name__ for entry in CATALOGUE]
)
def test_the_record_of_each_event(
    tap: Tap, event: Callable[..., None], fields: dict[str, Any], level: str, text: str
) -> None:
    tap.log.transcript = True
    event(tap.log, **fields)
    assert tap.octets().decode() == HEAD.format(level=level) + text + "\n"


@pytest.mark.parametrize(
    ("event", "fields"), [case[:2] for case in CATALOGUE], ids=lambda case: getattr(case, "__name__", "")
)
def test_a_quiet_log_has_everything_but_sessions(
    tap: Tap, event: Callable[..., None], fields: dict[str, Any]
) -> None:
    changes_something = event is events.administered
    of_a_session = not (changes_something or fields.keys().isdisjoint({"session", "peer", "recipient"}))
    tap.log.quiet = tap.log.transcript = True
    event(tap.log, **fields)
    assert bool(tap.octets()) != of_a_session


def test_every_event_of_the_catalogue_stands_above() -> None:
    public = {
        function
        for name, function in inspect.getmembers(events, inspect.isfunction)
        if function.__module__ == events.__name__ and not name.startswith("_")
    }
    assert public == {entry[0] for entry in CATALOGUE}


def test_without_transcript_none_is_written(tap: Tap) -> None:
    for event, fields, _, _ in CATALOGUE:
        if event.__name__.startswith("transcript"):
            event(tap.log, **fields)
    assert tap.records() == []


def test_a_transcript_for_a_file_needs_no_debugging(tap: Tap) -> None:
    tap.log.configure(debug=False, transcript_file=True)
    events.transcript_received(tap.log, "s1", b"NOOP")
    assert tap.record().text("received") == "NOOP"


def test_no_recipient_is_lost_to_the_length_of_a_record(tap: Tap) -> None:
    recipients = [f"{n}.{'x' * 50}@example.org" for n in range(1000)]
    events.accepted(tap.log, "m1", "s1", "192.0.2.1:4711", "a@example.org", recipients, 10, 0.1)
    first, *others = tap.records()
    assert (first.event, {record.event for record in others}) == ("accepted", {"recipients"})
    assert {record.text("id") for record in (first, *others)} == {"m1"}
    assert [r for record in (first, *others) for r in record.list("recipients")] == recipients
    assert not any("cut" in record.fields for record in (first, *others))


def test_an_accepted_message_tells_tls_and_login_when_there_were_any(tap: Tap) -> None:
    events.accepted(tap.log, "m1", "s1", "p", "a@b", ["c@d"], 10, 0.1, tls="TLSv1.3", login="user1")
    record = tap.record()
    assert (record.text("tls"), record.text("login")) == ("TLSv1.3", "user1")


# a bad configuration, with its caret


@pytest.mark.parametrize(
    ("error", "pointed_at"),
    [
        ("mta.conf:1:9: not a truth value\n    debug = tru\n            ^", "t"),
        ('mta.conf:1:9: no such\n    a = "x", b = "y", z = 1\n                      ^', "z"),
        ("mta.conf:1:9: tabs\n\tdebug = tru\n\t        ^ true or false", "t"),
    ],
)
def test_the_caret_of_an_error_points_to_its_place(tap: Tap, error: str, pointed_at: str) -> None:
    events.reload_failed(tap.log, error)
    message, line, caret = tap.octets().decode().splitlines()
    assert error.splitlines()[0] in message
    assert line[caret.index("^")] == pointed_at


# secrets

SECRETS = [
    b"AUTH PLAIN AHVzZXIxAHNlc2FtZQ==",
    b"auth login dXNlcjE=",
    b"AUTH  SCRAM-SHA-256  biwsbj11c2VyMQ==",
    b"AUTH AHVzZXIxAHNlc2FtZQ==",
    b"AUTH PLAINAHVzZXIxAHNlc2FtZQ==",
    b" AUTH\tPLAIN\tAHVzZXIxAHNlc2FtZQ==",
    b"PASS sesame open",
    b"pass sesame",
    b"APOP user1 c4c9334bac560ecc979e58001b3e22fb",
    b"ADD_USER user1 sesame",
    b"CHANGE_PASSWORD sesame sesame2",
    b"AHVzZXIxAHNlc2FtZQ==",
    b"c2VzYW1l",
    b"AHVzZXIx+HNlc2FtZQ=",
]


@pytest.mark.parametrize("line", SECRETS)
def test_no_secret_stands_in_a_command_line(tap: Tap, line: bytes) -> None:
    tap.log.transcript = True
    events.transcript_received(tap.log, "s1", line)
    events.rejected(tap.log, "s1", "192.0.2.1:4711", line, "503 5.5.1 bad sequence")
    written = tap.octets()
    assert written.count(b"***") == 2
    for secret in (b"sesame", b"c4c9", b"AHVz", b"dXNl", b"biws", b"c2Vz"):
        assert secret not in written


@pytest.mark.parametrize(
    "line", [b"STARTTLS", b"quit", b"Noop", b"AUTH PLAIN", b"PASS", b"EHLO AHVzZXIx", b"USER user1", b""]
)
def test_what_is_no_secret_is_shown(tap: Tap, line: bytes) -> None:
    tap.log.transcript = True
    events.transcript_received(tap.log, "s1", line)
    assert tap.record().text("received").encode() == line


def test_a_new_password_is_not_shown_when_it_is_sent(tap: Tap) -> None:
    tap.log.transcript = True
    events.transcript_sent(tap.log, "s1", b"NEW PASSWORD = sesame")
    assert tap.record().text("sent") == "NEW PASSWORD = ***"
