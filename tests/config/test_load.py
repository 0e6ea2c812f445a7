"""From file and command line to a snapshot, or to everything that is wrong with them, each at its place."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from mta.config import KEYS, Endpoint
from mta.config.load import MOST_PROBLEMS, load
from tests.config.helpers import LEAST, loaded, problem, problems, write


def test_the_least_file_has_every_default(tmp_path: Path) -> None:
    settings = loaded(tmp_path).settings
    assert settings.hostname == "mx.example.org"
    assert settings.local.domains == ("example.org",)
    assert settings.local.mailboxes == "listed"
    assert settings.smtp.listen == (Endpoint("127.0.0.1", 2525), Endpoint("::1", 2525))
    assert settings.submission.listen == ()
    assert settings.relay.enabled is True
    assert settings.relay.from_ == (ip_network("127.0.0.0/8"), ip_network("::1"))
    assert settings.relay.retry == (300, 900, 1800, 3600, 7200, 14400)
    assert settings.limits.message == 50_000_000
    assert settings.limits.timeout == 300.0
    assert settings.application.maildir.sync == "batch"
    assert settings.tls.certificate is None


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = loaded(tmp_path).settings
    with pytest.raises(ValidationError):
        settings.limits.errors = 3


def test_paths_count_from_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "else").mkdir()
    write(
        tmp_path / "etc",
        LEAST + 'tls: { certificate = "/pem/a", key = "b" }\napplication: { log: { path = "" } }',
    )
    monkeypatch.chdir(tmp_path / "else")
    settings = load(Path("../etc/mta.conf")).settings
    root = tmp_path.resolve()
    assert settings.application.maildir.path == root / "var" / "maildir"
    assert settings.users.database == f"sqlite:///{root}/var/users.db"
    assert settings.tls.certificate == Path("/pem/a")
    assert settings.tls.key == root / "etc" / "b"
    assert settings.application.log.path is None


def test_origins_and_files(tmp_path: Path) -> None:
    write(tmp_path, "smtp: {\n  listen = [ ]\n}", "more.conf")
    snapshot = loaded(tmp_path, '@include "more.conf"', "limits.errors=7")
    main, more = tmp_path / "mta.conf", tmp_path / "more.conf"
    assert snapshot.origins.keys() == KEYS.keys()
    assert snapshot.origins["local.domains"] == f"{main}:2:10"
    assert snapshot.origins["smtp.listen"] == f"{more}:2:3"
    assert snapshot.origins["limits.errors"] == "command line"
    assert snapshot.origins["limits.users"] == "default"
    assert snapshot.files == (main, more)


def test_all_errors_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
hostnam = "mx.example.org"
limits: { errors = true, timeout = 5, errors = 3 }
smtp: { listen = [ "127.0.0.1:25", "here:25" ] }
relay = 3
"""
    assert [
        (each.mark.line, each.mark.column, each.text.split(":")[0]) for each in problems(tmp_path, text)
    ] == [
        (1, 1, "hostname is required"),
        (1, 1, "local.domains is required"),
        (1, 1, "unknown key hostnam"),
        (2, 20, "limits.errors"),
        (2, 36, "limits.timeout"),
        (2, 39, "errors is set twice, first in " + str(tmp_path / "mta.conf")),
        (3, 36, "smtp.listen"),
        (4, 9, "relay must be a group"),
    ]


def test_a_problem_shows_line_caret_and_hint(tmp_path: Path) -> None:
    shown = str(problem(tmp_path, "limits: {\n\tmesage = 1\n}"))
    assert shown.splitlines() == [
        f"{tmp_path}/mta.conf:4:2: unknown key limits.mesage",
        "   mesage = 1",
        "   ^",
        "  hint: did you mean limits.message?",
    ]


def test_control_characters_never_reach_the_terminal(tmp_path: Path) -> None:
    shown = str(problem(tmp_path, 'smtp: { senders = "\x1b[2J\x07" }'))
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_only_a_part_of_a_long_line_is_quoted(tmp_path: Path) -> None:
    shown = str(problem(tmp_path, f"smtp: {{ {' ' * 100_000}listn = [ ]{' ' * 100_000}}}"))
    assert max(map(len, shown.splitlines())) < 300
    line, caret = shown.splitlines()[1:3]
    assert line[caret.index("^") :].startswith("listn")


def test_what_stands_before_a_syntax_error_is_checked_too(tmp_path: Path) -> None:
    found = [each.text for each in problems(tmp_path, 'hostname = "-"\nlimits: { errors = 0\n smtp = ')]
    assert len(found) == 3
    assert "limits.errors: 0 is out of range" in found
    assert not any("required" in text for text in found)


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        ("limits: { eror = 1 }", "limits.errors"),
        ("limit: { errors = 1 }", "limits"),
        ("Limits: { errors = 1 }", "limits"),
        ("per_client = 3", "limits.per_client"),
        ("timeout = 3", "pop3.timeout or dns.timeout or limits.timeout"),
        ("relay: { from_ = [ ] }", "relay.from"),
    ],
)
def test_an_unknown_key_is_told_the_nearest(tmp_path: Path, more: str, hint: str) -> None:
    assert problem(tmp_path, more).hint == f"did you mean {hint}?"


@pytest.mark.parametrize(
    ("more", "text", "hint"),
    [
        ("application: { debug = 1 }", "true or false", ""),
        ('application: { debug = "true" }', "true or false", "without quotes"),
        ("limits: { errors = 1.5 }", "whole number", ""),
        ("limits: { errors = 0 }", "out of range", "from 1 to 1000"),
        ("limits: { message = 50000000 }", "text in quotes", '"50MB"'),
        ('limits: { message = "50 Mb" }', "not a size", ""),
        ('limits: { message = "0.3B" }', "whole number of octets", ""),
        ('limits: { timeout = "5 minutes" }', "not a duration", ""),
        ('limits: { timeout = "-5m" }', "not a duration", ""),
        ('limits: { timeout = "400d" }', "out of range", "to 1d"),
        ('smtp: { listen = "127.0.0.1:25" }', "must be a list", '[ "127.0.0.1:25" ]'),
        ('smtp: { listen = [ "127.0.0.1" ] }', "has no port", ""),
        ('smtp: { listen = [ "localhost:25" ] }', "not an IP address", "not looked up"),
        ('smtp: { listen = [ "::1:25" ] }', "ambiguous", "[::1]:25"),
        ('smtp: { listen = [ "127.0.0.1:65536" ] }', "has no port", ""),
        ('smtp: { senders = "all" }', "not one of", '"any", "local"'),
        ('relay: { from = [ "10.1.2.3/8" ] }', "not a network", '"10.0.0.0/8"'),
        ('relay: { from = [ "ten" ] }', "not a network", "192.0.2.0/24"),
        ("relay: { retry = [ ] }", "at least one", ""),
        ('relay: { domains = [ "a_b.example" ] }', "not a domain", ""),
        ('relay: { domains = [ "192.0.2.1" ] }', "an address", ""),
        ('relay: { domains = [ "a..b" ] }', "not a domain", ""),
        ('relay: { domains = [ "../etc" ] }', "not a domain", ""),
        ('relay: { domains = [ "%s.example" ] }' % ("x" * 64), "not a domain", ""),
        ('relay: { domains = [ "" ] }', "not a domain", ""),
        ('relay: { routes = [ "example.org" ] }', "not a route", "smtp://"),
        ('relay: { smarthost = "http://host" }', "no server", "smtp://"),
        ('relay: { smarthost = "smtp://host:x" }', "not a URL", ""),
        ('dns: { servers = [ "dns.example" ] }', "not an IP address", ""),
        ('users: { database = "users.db" }', "URL of a database", "sqlite:///"),
        ('users: { database = "sqlite://users.db" }', "no file", ""),
        ('application: { user = "a b" }', "name of a user", ""),
        ('application: { maildir: { path = "" } }', "path is needed", ""),
        ('application: { maildir: { path = "a\\nb" } }', "control characters", ""),
        ('application: { socket = "%s" }' % ("s" * 200), "107 octets", ""),
        ('application: { maildir: { sync = "never" } }', "not one of", ""),
        ("hostname: { }", "set twice", ""),
    ],
)
def test_a_bad_value_is_told_with_what_would_be_right(
    tmp_path: Path, more: str, text: str, hint: str
) -> None:
    found = problem(tmp_path, more)
    assert text in found.text
    assert hint in found.hint
    assert found.mark.line == 3


@pytest.mark.parametrize("empty", ["", "\n\n", "# nothing\n", "/* nothing */"])
def test_an_empty_file_lacks_what_is_required(tmp_path: Path, empty: str) -> None:
    assert [each.text for each in problems(tmp_path, empty)] == [
        "hostname is required",
        "local.domains is required",
    ]


def test_problems_without_number_are_cut(tmp_path: Path) -> None:
    text = LEAST + "\n".join(f"unknown{number} = 1" for number in range(5000))
    assert len(problems(tmp_path, text)) == MOST_PROBLEMS


def test_domains_become_lower_case_a_labels(tmp_path: Path) -> None:
    domains = loaded(
        tmp_path, 'relay: { domains = [ "BÜCHER.example", "xn--bcher-kva.Example" ] }'
    ).settings.relay.domains
    assert domains == ("xn--bcher-kva.example",) * 2


# Passwords


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://mta:geheim@host/db",
        "postgresql://mta:geheim@geheim/geheim@host/db",
        "postgresql://mta:geheim",
        "postgresql://host/db?password=geheim",
    ],
)
def test_a_password_in_a_url_is_never_quoted(tmp_path: Path, url: str) -> None:
    shown = str(problem(tmp_path, f'users: {{ database = "{url}", data = 1 }}'))
    assert "geheim" not in shown
    assert "postgresql" in shown
    assert shown.splitlines()[1].index("data = 1") == shown.splitlines()[2].index("^")


# The command line


def test_overrides_need_no_quotes_or_brackets(tmp_path: Path) -> None:
    given = ["smtp.listen=127.0.0.1:0, [::1]:0", "hostname=Mail.example", "limits.errors=7", "pop3.listen="]
    given += [
        "application.debug=true",
        'application.user="mta"',
        'relay.retry=[ "1m", "2m" ]',
        "local.subaddress=",
    ]
    settings = loaded(tmp_path, "", *given).settings
    assert settings.smtp.listen == (Endpoint("127.0.0.1", 0), Endpoint("::1", 0))
    assert settings.hostname == "mail.example"
    assert settings.limits.errors == 7
    assert settings.pop3.listen == ()
    assert settings.application.debug is True
    assert settings.application.user == "mta"
    assert settings.relay.retry == (60, 120)
    assert settings.local.subaddress == ""


def test_an_override_stands_instead_of_the_file(tmp_path: Path) -> None:
    assert loaded(tmp_path, 'limits: { errors = "bad" }', "limits.errors=7").settings.limits.errors == 7


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("limits.errors", "a setting and its value"),
        ("limits.eror=1", "unknown key"),
        ("limits=1", "unknown key"),
        ("a." * 5000 + "b=1", "unknown key"),
        ("limits.errors=many", "expected a value"),
        ("limits.errors=1 2", "expected nothing more"),
        ("limits.errors=0", "out of range"),
        ("smtp.listen=[", "expected a value"),
        ("smtp.listen=here", "has no port"),
    ],
)
def test_a_bad_override_is_told_as_such(tmp_path: Path, argument: str, text: str) -> None:
    found = problem(tmp_path, "", argument)
    assert text in found.text
    assert str(found).startswith("--set:1:")


# Rules across keys


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ('control: { listen = [ "192.0.2.1:2526" ] }', "control.listen: 192.0.2.1:2526 is not on loopback"),
        ('tls: { key = "key.pem" }', "tls.key is set"),
        ('pop3s: { listen = [ "127.0.0.1:995" ] }', "pop3s.listen needs"),
        ('submissions: { listen = [ "127.0.0.1:465" ] }', "submissions.listen needs"),
        ('submission: { listen = [ "0.0.0.0:587" ] }', "submission.listen outside loopback needs"),
        ('management: { listen = [ "[::]:6000" ] }', "management.listen outside loopback needs"),
        ('relay: { domains = [ "Example.ORG" ] }', "local.domains too"),
        ('limits: { timeout = "4m" }', "limits.timeout: 4m is too little"),
        ('limits: { message = "60kB" }', "limits.message: 60kB is too little"),
        ("limits: { recipients = 99 }", "limits.recipients: 99 is too little"),
        ('pop3: { timeout = "9m" }', "pop3.timeout: 9m is too little"),
    ],
)
def test_keys_that_do_not_fit_together(tmp_path: Path, more: str, text: str) -> None:
    found = problem(tmp_path, more)
    assert text in found.text
    assert found.mark.line == 3


def test_the_command_line_may_go_below_what_rfcs_demand(tmp_path: Path) -> None:
    limits = loaded(tmp_path, "", "limits.timeout=50ms", "limits.message=1kB").settings.limits
    assert (limits.timeout, limits.message) == (0.05, 1000)


def test_submission_without_tls_is_fine_on_loopback(tmp_path: Path) -> None:
    assert loaded(tmp_path, "", "submission.listen=127.0.0.1:0").settings.submission.listen


OUTSIDE = 'smtp: { listen = [ "0.0.0.0:25" ] }\n'


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (OUTSIDE, "no application.user"),
        (OUTSIDE + 'application: { user = "root" }', "is root"),
        (OUTSIDE + 'application: { user = "nobody-of-this-name" }', "no user nobody-of-this-name"),
    ],
)
def test_root_needs_a_user_to_become(tmp_path: Path, more: str, text: str) -> None:
    assert text in problem(tmp_path, more, uid=0).text
    loaded(tmp_path, more, uid=1000)


def test_root_may_listen_on_loopback_or_become_somebody(tmp_path: Path) -> None:
    loaded(tmp_path, uid=0)
    loaded(tmp_path, OUTSIDE + 'application: { user = "nobody" }', uid=0)


def test_who_runs_is_found_out(tmp_path: Path) -> None:
    path = write(tmp_path, LEAST + OUTSIDE)
    if os.geteuid():
        load(path)
    else:
        with pytest.raises(Exception, match=r"no application\.user"):
            load(path)
