"""Rules that concern several keys, or the user we run as: pure, from settings to findings.

The least values that RFCs ask for are rules of the file only: `--set` may go below them, since a trial or a
test must not wait five minutes for a time-out.
"""

from __future__ import annotations

import pwd
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from mta.config.schema import Settings
from mta.config.units import Endpoint, show_duration, show_size

FROM_COMMAND_LINE = "command line"
"""The origin of a key that `--set` gave."""

LISTENERS = (
    *("smtp", "submission", "submissions", "pop3", "pop3s"),
    *("management", "control", "datagram", "metrics"),
)
"""The groups that have a key `listen`."""

_LEAST: Mapping[str, tuple[float, Callable[[Any], str], str]] = {
    "limits.message": (65536, show_size, "RFC 5321 4.5.3.1.7"),
    "limits.recipients": (100, str, "RFC 5321 4.5.3.1.8"),
    "limits.timeout": (300, show_duration, "RFC 5321 4.5.3.2.7"),
    "pop3.timeout": (600, show_duration, "RFC 1939 3"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that `key` (dotted) breaks."""

    key: str
    text: str
    hint: str = ""


def check(settings: Settings, origins: Mapping[str, str], uid: int) -> Iterator[Finding]:
    """All rules that `settings` break when a process of user `uid` is to run them."""
    yield from _least(settings, origins)
    yield from _loopback_only(settings)
    yield from _encrypted(settings)
    yield from _domains_once(settings)
    yield from _unprivileged(settings, uid)


def listeners(settings: Settings) -> Iterator[tuple[str, Endpoint]]:
    """Every place we listen at, with the group that asks for it."""
    for name in LISTENERS:
        for endpoint in getattr(settings, name).listen:
            yield name, endpoint


def _least(settings: Settings, origins: Mapping[str, str]) -> Iterator[Finding]:
    for key, (least, show, source) in _LEAST.items():
        value = reduce(getattr, key.split("."), settings)
        if value < least and origins.get(key) != FROM_COMMAND_LINE:  # type: ignore[operator]
            yield Finding(
                key, f"{key}: {show(value)} is too little", f"{source} asks for {show(least)} at least"
            )


def _loopback_only(settings: Settings) -> Iterator[Finding]:
    for endpoint in settings.control.listen:
        if not endpoint.is_loopback:
            yield Finding(
                "control.listen", f"control.listen: {endpoint} is not on loopback", "it has no login"
            )


def _encrypted(settings: Settings) -> Iterator[Finding]:
    """What needs TLS needs a certificate."""
    if settings.tls.certificate:
        return
    if settings.tls.key:
        yield Finding("tls.key", "tls.key is set, but tls.certificate is not")
    for name, endpoint in listeners(settings):
        always = name in ("submissions", "pop3s")
        if always or (name in ("submission", "management") and not endpoint.is_loopback):
            where = "" if always else " outside loopback"
            yield Finding(f"{name}.listen", f"{name}.listen{where} needs tls.certificate")


def _domains_once(settings: Settings) -> Iterator[Finding]:
    for domain in settings.relay.domains:
        if domain in settings.local.domains:
            yield Finding(
                "relay.domains",
                f"{domain} is in local.domains too",
                "its mail stays here or goes on, not both",
            )


def _unprivileged(settings: Settings, uid: int) -> Iterator[Finding]:
    """Strangers never talk to a process of root."""
    if uid != 0:
        return
    user = settings.application.user
    if user and not _exists(user):
        yield Finding("application.user", f"application.user: there is no user {user}")
    elif user and pwd.getpwnam(user).pw_uid == 0:
        yield Finding("application.user", f"application.user: {user} is root", "name a user without rights")
    elif not user and (outside := [str(e) for _, e in listeners(settings) if not e.is_loopback]):
        text = f"started as root, listening on {outside[0]}, and no application.user to become"
        yield Finding("application.user", text, 'user = "mta"')


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
