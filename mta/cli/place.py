"""Where a client finds the service it speaks to: as it is told, else as the configuration says."""

from __future__ import annotations

import argparse
from ipaddress import ip_address

from mta.config.units import Endpoint
from mta.daemon.errors import CONFIGURATION, USAGE, CannotStart
from mta.daemon.reload import Source

Place = tuple[str, int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`-i HOST`, and `-p` or `-P PORT`."""
    parser.add_argument("-i", dest="host", metavar="HOST", help="default: the configuration's")
    parser.add_argument("-p", "-P", dest="port", metavar="PORT", type=_port, help="likewise")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text[:20]} is no port")
    return int(text)


def place_of(source: Source, service: str, host: str | None, port: int | None) -> Place:
    """Host and port of a service; the configuration is only read for what is not given.

    Raises ConfigError, or CannotStart when it names no such listener."""
    if host is not None and port is not None:
        return host, port
    listening = getattr(source.load().settings, service).listen
    if not listening:
        raise CannotStart(CONFIGURATION, f"{service}.listen is empty; say -i HOST and -p PORT")
    found = _reachable(listening[0])
    return host or found[0], port or _known(service, found[1])


def _reachable(listener: Endpoint) -> Place:
    """Who listens on all addresses listens on loopback."""
    if ip_address(listener.host).is_unspecified:
        return ("::1" if ":" in listener.host else "127.0.0.1"), listener.port
    return listener.host, listener.port


def _known(service: str, port: int) -> int:
    if port == 0:
        raise CannotStart(USAGE, f"{service}.listen names port 0, which is any; say -p PORT")
    return port
