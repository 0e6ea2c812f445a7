"""`mta -f FILE -t`: what a server with this configuration would do, or all that is wrong with it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

from mta.config import Settings
from mta.daemon.certificates import describe
from mta.daemon.privileges import whom_to_become
from mta.daemon.reload import Source, configured_pair, needed_descriptors, wanted
from mta.daemon.start import WORKERS, served


def check(source: Source) -> int:
    """Print it; returns the exit status. Raises ConfigError or CannotStart."""
    settings = source.load().settings
    lines = list(_lines(settings))
    print(f"{source.file}: nothing wrong")
    print("\n".join(lines))
    return 0


def _lines(settings: Settings) -> Iterator[str]:
    application = settings.application
    for service, address in wanted(settings, served(WORKERS)):
        yield f"listens: {service} {address}"
    yield f"mail: {application.maildir.path}"
    yield f"log: {application.log.path or 'standard error'}"
    yield f"local socket: {application.socket}"
    user = whom_to_become(application.user)
    yield f"children run as: {user.name if user else f'the caller (uid {os.geteuid()})'}"
    pair = configured_pair(settings)
    if pair is not None:
        described = describe(pair)
        yield f"TLS: {', '.join(described.names)}, until {described.expires}"
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed_descriptors(settings) > limit:
        needed = needed_descriptors(settings)
        yield f"too few descriptors: limits.connections needs {needed}, the limit is {limit}"
