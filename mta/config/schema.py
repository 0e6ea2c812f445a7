"""Every key of the configuration, declared once.

A declaration holds all there is to say about a key: its kind and range, its default in the form the file has,
a note for the sample, the text for mta.conf(5), when a reload applies it, whether it may be set live and
whether it may hold a password. The sample, the manual's key list, the error messages and the reload follow
from it. The groups of services are in `services`; rules that concern several keys are in `rules`.

Values as the rest of the program sees them: durations are float seconds, sizes int octets, listeners
`Endpoint`s, networks those of `ipaddress`, paths absolute, domains lower-case A-labels; a path of `""` is
None. `relay.from` is `settings.relay.from_`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from mta.config.declare import AT_ONCE, NEXT, RESTART, Group, Key, group, keys_of, setting
from mta.config.kinds import (
    Database,
    Domain,
    FilePath,
    Flag,
    Many,
    Nameserver,
    Net,
    OptionalPath,
    Route,
    Smarthost,
    SocketPath,
    Some,
    User,
    choice,
    duration,
    size,
    whole,
)
from mta.config.services import (
    Control,
    Datagram,
    Management,
    Metrics,
    Pop3,
    Pop3s,
    Smtp,
    Submission,
    Submissions,
)


class Maildir(Group):
    path: FilePath = setting(
        "../var/maildir",
        "mailboxes, and letters for other servers",
        "Folder of the mail: a Maildir for each mailbox, and .OTHER_SERVERS with the letters that wait to "
        "be sent.",
        applies=RESTART,
    )
    sync: Annotated[Literal["batch", "file"], choice("batch", "file")] = setting(
        "batch",
        '"file": sync file by file',
        'How accepted messages reach the disk before they are acknowledged. "batch" syncs the file system '
        'once for all messages of a batch and is the fastest; "file" syncs each file, which is better '
        "where other programs keep the same disk busy. Both are durable.",
        applies=RESTART,
    )


class Log(Group):
    path: OptionalPath = setting(
        "../var/log/mta.log",
        '"": standard error',
        "File of the log; empty means standard error.",
        applies=AT_ONCE,
    )
    transcript: OptionalPath = setting(
        "",
        "a file for every command and reply",
        "File that gets a transcript of every session: each line received and sent, message text as a "
        "count of octets, passwords never. Empty means none.",
        applies=AT_ONCE,
    )


class Application(Group):
    debug: Flag = setting(
        False,
        "DEBUG records, and a transcript of every command and reply",
        "Log DEBUG records and a transcript of every command and reply.",
        applies=AT_ONCE,
        live=True,
    )
    user: User = setting(
        "",
        "run as this user when started as root",
        "User that owns all mail. Started as root, everything but the supervisor becomes this user; "
        "required then, unless all listeners are on loopback. Otherwise without effect.",
        applies=RESTART,
    )
    socket: SocketPath = setting(
        "../var/run/mta.sock",
        "where the subcommands reach the running server",
        "Local socket through which the subcommands of mta(8) reach the running server.",
        applies=RESTART,
    )
    maildir: Maildir = group("")
    log: Log = group("")


class Local(Group):
    domains: Some[Domain] = setting(
        ...,
        "mail for these is ours",
        "Domains whose mail is delivered here. The first one completes recipients without a domain and is "
        "meant by address literals of this host. Required.",
        applies=NEXT,
        sample=["example.org"],
    )
    mailboxes: Annotated[Literal["listed", "any"], choice("listed", "any")] = setting(
        "listed",
        '"listed": accounts and aliases only',
        'Which local recipients exist: "listed" accepts accounts and aliases only; "any" accepts every '
        "name and makes the mailbox on its first delivery.",
        applies=NEXT,
        sample="any",
    )
    subaddress: Annotated[str, choice("+", "-", "=", "_", "")] = setting(
        "+",
        'user+word@ goes to user@; "": off',
        "Character that separates a mailbox from a word that its owner may choose freely; empty turns this "
        "off.",
        applies=NEXT,
    )


class Relay(Group):
    enabled: Flag = setting(
        True,
        "false: letters stay in their folders",
        "Send mail for other domains. When false, letters stay in their folders and mta queue why says so.",
        applies=AT_ONCE,
        live=True,
        sample=False,
    )
    from_: Many[Net] = setting(
        ["127.0.0.0/8", "::1"],
        "may send to other domains without a login",
        "Networks whose clients may send to other domains without a login. Everybody else must log in; a "
        "server open to the world here is found and abused within hours.",
        applies=NEXT,
        alias="from",
    )
    domains: Many[Domain] = setting(
        [],
        "taken from anybody and sent on (backup MX, gateway)",
        "Domains whose mail is taken from anybody and sent on, as a backup mail exchanger or a gateway does.",
        applies=NEXT,
    )
    routes: Many[Route] = setting(
        [],
        '"example.org smtp://host:25?tls=require"',
        "Servers that take the mail of certain domains, each a domain, a blank and a URL, instead of the "
        "exchangers that DNS names.",
        applies=AT_ONCE,
        secret=True,
    )
    smarthost: Smarthost = setting(
        "",
        '"smtps://user@host:465": takes all other mail',
        "Server that takes all mail for which there is no route; empty means the exchangers that DNS names.",
        applies=AT_ONCE,
        secret=True,
    )
    credentials: OptionalPath = setting(
        "",
        'a file of "host user password" lines, mode 0600',
        'File with the passwords for routes and smarthost, a line "host user password" each, readable by '
        "its owner only.",
        applies=AT_ONCE,
    )
    port: Annotated[int, whole(1, 65535)] = setting(
        25,
        "of exchangers found by DNS",
        "Port of the exchangers that DNS names.",
        applies=AT_ONCE,
    )
    private_targets: Many[Net] = setting(
        [],
        "private networks that an exchanger may lie in",
        "Private and loopback networks that an exchanger found by DNS may lie in. Others are never "
        "connected to; routes and the smarthost are exempt.",
        applies=AT_ONCE,
    )
    retry: Some[Annotated[float, duration("1s", "7d")]] = setting(
        ["5m", "15m", "30m", "1h", "2h", "4h"],
        "pauses between attempts; the last repeats",
        "Pauses between the attempts to send a letter; the last one repeats.",
        applies=AT_ONCE,
    )
    expire: Annotated[float, duration("1s", "365d")] = setting(
        "5d",
        "then it goes back to its sender",
        "A letter that could not be sent for this long is given up and reported to its sender.",
        applies=AT_ONCE,
    )
    warn: Annotated[float, duration("0s", "365d")] = setting(
        "4h",
        'then its sender hears that it waits; "0s": never',
        "A sender is told once that a letter still waits after this time; zero means never.",
        applies=AT_ONCE,
    )
    keep_errors: Annotated[float, duration("0s", "3650d")] = setting(
        "14d",
        "letters given up stay this long in error/",
        "Letters that were given up are kept this long in the folder error of their domain.",
        applies=AT_ONCE,
    )
    connections: Annotated[int, whole(1, 10_000)] = setting(
        20,
        "to one domain at once",
        "Connections to one domain at the same time.",
        applies=AT_ONCE,
        live=True,
    )


class Dns(Group):
    servers: Many[Nameserver] = setting(
        [],
        "empty: the system's",
        "Addresses of the name servers to ask, with a port where it is not 53; empty means those of "
        "resolv.conf(5).",
        applies=AT_ONCE,
    )
    timeout: Annotated[float, duration("1ms", "5m")] = setting(
        "10s",
        "for one name, all servers together",
        "Time for one question to all servers together.",
        applies=AT_ONCE,
    )


class Tls(Group):
    certificate: OptionalPath = setting(
        "",
        "PEM, the whole chain",
        "File with the certificate of this host and the chain above it, in PEM. It is read again when it "
        "changes; a bad one is reported and the one in use stays.",
        applies=NEXT,
    )
    key: OptionalPath = setting(
        "",
        "PEM; empty: it stands in the certificate's file",
        "File with the private key, in PEM; empty means that it stands in the file of the certificate.",
        applies=NEXT,
    )


class Users(Group):
    database: Database = setting(
        "sqlite:///../var/users.db",
        "or postgresql://user:password@host/name",
        "URL of the database of accounts and aliases. After sqlite:/// comes a path.",
        applies=RESTART,
        secret=True,
    )
    scram: Flag = setting(
        False,
        "keep what SCRAM-SHA-256 needs beside the hash",
        "Keep a verifier for SCRAM-SHA-256 beside the hash of each password that is set or used from now on. "
        "A verifier is easier to guess from than the hash, should the database be stolen.",
        applies=NEXT,
    )
    password_min: Annotated[int, whole(1, 1000)] = setting(
        8,
        "characters of a new password",
        "Characters that a new password must have.",
        applies=NEXT,
        live=True,
    )
    reset: Annotated[Literal["random", "name"], choice("random", "name")] = setting(
        "random",
        '"name": RESET_USER_PASSWORD sets it to the name',
        'What RESET_USER_PASSWORD of the administration protocol makes the new password: "random", or "name" '
        "for the name of the user, as it used to be.",
        applies=NEXT,
    )
    messages: Annotated[int, whole(1, 1_000_000_000)] = setting(
        1000,
        "of one account in an hour",
        "Messages that one account may send in an hour.",
        applies=AT_ONCE,
        live=True,
    )
    recipients: Annotated[int, whole(1, 1_000_000_000)] = setting(
        5000,
        "of one account in an hour",
        "Recipients that one account may send to in an hour.",
        applies=AT_ONCE,
        live=True,
    )


class Limits(Group):
    message: Annotated[int, size("1kB", "100GB")] = setting(
        "50MB",
        "the largest message accepted",
        "The largest message accepted, in octets as received. Not below 64KiB (RFC 5321 4.5.3.1.7).",
        applies=AT_ONCE,
        live=True,
    )
    memory: Annotated[int, size("1MB", "1TB")] = setting(
        "64MB",
        "message octets held for all sessions together",
        "Message octets that are held in memory for all sessions together. What does not fit waits on disk.",
        applies=AT_ONCE,
        live=True,
    )
    recipients: Annotated[int, whole(1, 100_000)] = setting(
        1000,
        "of one message",
        "Recipients of one message. Not below 100 (RFC 5321 4.5.3.1.8).",
        applies=AT_ONCE,
        live=True,
    )
    connections: Annotated[int, whole(1, 1_000_000)] = setting(
        10_000,
        "at once, all services together",
        "Sessions at the same time, all services together.",
        applies=AT_ONCE,
        live=True,
    )
    per_client: Annotated[int, whole(1, 1_000_000)] = setting(
        100,
        "at once from one address; not for relay.from",
        "Sessions at the same time from one address. Clients in relay.from are not counted.",
        applies=AT_ONCE,
        live=True,
    )
    mailboxes: Annotated[int, whole(1, 100_000_000)] = setting(
        100_000,
        "folders of mailboxes",
        "Mailboxes that may exist, so that strangers cannot cause folders without end.",
        applies=AT_ONCE,
        live=True,
    )
    domains: Annotated[int, whole(1, 100_000_000)] = setting(
        10_000,
        "folders of other domains",
        "Folders of other domains that may exist at the same time.",
        applies=AT_ONCE,
        live=True,
    )
    users: Annotated[int, whole(1, 100_000_000)] = setting(
        100_000,
        "accounts",
        "Accounts that may exist.",
        applies=AT_ONCE,
        live=True,
    )
    timeout: Annotated[float, duration("1ms", "1d")] = setting(
        "5m",
        "of an idle SMTP session, not less",
        "An idle SMTP session is closed after this time. Not below 5 minutes (RFC 5321 4.5.3.2.7).",
        applies=AT_ONCE,
        live=True,
    )
    errors: Annotated[int, whole(1, 1000)] = setting(
        20,
        "then the session is closed",
        "Wrong commands after which a session is closed.",
        applies=AT_ONCE,
        live=True,
    )


class Settings(Group):
    """The whole configuration, validated and immutable."""

    hostname: Domain = setting(
        ...,
        "the name of this server; no default",
        "Name of this server, in greetings, in Received fields and in message ids. Required.",
        applies=NEXT,
        sample="mx.example.org",
    )
    application: Application = group("the program itself")
    local: Local = group("mail that stays here")
    smtp: Smtp = group("services")
    submission: Submission = group("")
    submissions: Submissions = group("")
    pop3: Pop3 = group("")
    pop3s: Pop3s = group("")
    management: Management = group("")
    control: Control = group("")
    datagram: Datagram = group("")
    metrics: Metrics = group("")
    relay: Relay = group("mail that goes on to other servers")
    dns: Dns = group("")
    tls: Tls = group("")
    users: Users = group("")
    limits: Limits = group("bounds")


KEYS: Mapping[str, Key] = {key.name: key for key in keys_of(Settings)}
"""Every key by its dotted name, in the order of the file."""
