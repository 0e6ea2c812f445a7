"""The groups of services: what is served, and where. Each has a key `listen`, and what concerns its sessions
alone; what concerns all of them is among the limits of `schema`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from mta.config.declare import AT_ONCE, NEXT, Group, setting
from mta.config.kinds import Flag, Listener, Many, Net, choice, duration


class Smtp(Group):
    listen: Many[Listener] = setting(
        ["127.0.0.1:2525", "[::1]:2525"],
        "usually port 25",
        "Where mail is received from other servers, usually port 25. STARTTLS is offered when "
        "tls.certificate is set.",
        applies=AT_ONCE,
    )
    senders: Annotated[Literal["any", "local"], choice("any", "local")] = setting(
        "any",
        '"local": only senders of local.domains, and <>',
        'Which reverse-paths are accepted: "any", or "local" for those of local.domains and the empty one '
        "only.",
        applies=NEXT,
    )
    login: Flag = setting(
        False,
        "offer AUTH here too",
        "Offer AUTH on these ports too, as on those of submission; it is not required here.",
        applies=NEXT,
    )


class Submission(Group):
    listen: Many[Listener] = setting(
        [],
        "port 587: STARTTLS, login needed",
        "Where users hand in mail after STARTTLS and a login, usually port 587. Outside loopback it needs "
        "tls.certificate.",
        applies=AT_ONCE,
    )


class Submissions(Group):
    listen: Many[Listener] = setting(
        [],
        "port 465: TLS from the start",
        "Where users hand in mail over TLS from the start, usually port 465. Needs tls.certificate.",
        applies=AT_ONCE,
    )


class Pop3(Group):
    listen: Many[Listener] = setting(
        ["127.0.0.1:2110"],
        "usually port 110",
        "Where users fetch their mail, usually port 110.",
        applies=AT_ONCE,
    )
    timeout: Annotated[float, duration("1ms", "1d")] = setting(
        "10m",
        "an idle session is closed after this",
        "An idle POP3 session is closed after this time, without removing messages. RFC 1939 asks for 10 "
        "minutes at least.",
        applies=NEXT,
    )


class Pop3s(Group):
    listen: Many[Listener] = setting(
        [],
        "port 995: TLS from the start",
        "Where users fetch their mail over TLS from the start, usually port 995. Needs tls.certificate.",
        applies=AT_ONCE,
    )


class Management(Group):
    listen: Many[Listener] = setting(
        ["127.0.0.1:6000"],
        "administration, see mta-admin(8)",
        "Where the administration protocol is served. Outside loopback it is served under TLS from the "
        "start and needs tls.certificate.",
        applies=AT_ONCE,
    )


class Control(Group):
    listen: Many[Listener] = setting(
        ["127.0.0.1:2526"],
        "live settings, without login: loopback only",
        "Where settings marked as live can be changed without a login; addresses on loopback only.",
        applies=AT_ONCE,
    )


class Datagram(Group):
    listen: Many[Listener] = setting(
        [],
        "off unless asked for",
        "Where SMTP over UDP is served, for networks without TCP and for study.",
        applies=AT_ONCE,
    )
    trusted: Many[Net] = setting(
        ["127.0.0.0/8", "::1"],
        "need not prove their address",
        "Networks whose datagrams are taken without a proof that they can receive at the address they send "
        "from.",
        applies=NEXT,
    )


class Metrics(Group):
    listen: Many[Listener] = setting(
        [],
        'such as "127.0.0.1:9925"',
        "Where counters are served over HTTP in the text format of Prometheus.",
        applies=AT_ONCE,
    )
