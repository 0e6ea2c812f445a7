"""python -m tests.bench [--quick] [--runs N] [--only WORD ...] [--servers NAME ...] [--output FILE]"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import disk, generator, idle, large, million, pop3, reception, relay, servers
from tests.bench.report import Bench

PARTS = (
    reception.section,
    relay.section,
    pop3.section,
    idle.section,
    large.section,
    disk.section,
    million.section,
)
"""Each takes the Bench and answers with its section of the report, or with nothing when it was not wanted."""

VAR = servers.ROOT / "var"


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="Measure mta and other servers side by side.",
        epilog="Pass them as make bench ARGS='...'.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short run of everything: shows that it works"
    )
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="the median of so many (default: 5)")
    parser.add_argument(
        "--only",
        nargs="+",
        default=(),
        metavar="WORD",
        help="only loads whose name holds one of these, such as '64 sessions' relay pop3 idle large disk; "
        "million is measured only when it is named",
    )
    parser.add_argument(
        "--servers",
        nargs="+",
        metavar="NAME",
        default=[peer.name for peer in servers.USUAL],
        choices=[peer.name for peer in servers.ALL],
        help="of %(choices)s (default: mta, Postfix, aiosmtpd)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=VAR,
        help="where mail is written: the file system measured (default: var)",
    )
    parser.add_argument(
        "--output", type=Path, default=VAR / "bench.md", metavar="FILE", help="default: var/bench.md"
    )
    return parser.parse_args(words)


def present(names: Sequence[str]) -> list[type[servers.Server]]:
    """The chosen servers that can be measured here; says which cannot, and why."""
    chosen = [peer for peer in servers.ALL if peer.name in names]
    for peer in chosen:
        if reason := peer.missing():
            print(f"left out: {peer.name} ({reason})", file=sys.stderr)
    return [peer for peer in chosen if not peer.missing()]


def head(bench: Bench) -> str:
    """What was measured where."""
    versions = ", ".join(peer.version() for peer in bench.peers)
    return (
        f"# Bench of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n\n"
        f"{versions}. {servers.processor()}, {servers.file_system(bench.folder)}, "
        f"Linux {platform.release()}. Medians of {bench.runs}, the servers taking turns. "
        f"Load average before: {os.getloadavg()[0]:.1f}.\n"
    )


def main() -> int:
    options = arguments()
    # A bench that is stopped stops its servers.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if generator.PROGRAM is None:
        print("smtp-source is missing: install the package postfix", file=sys.stderr)
        return 1
    bench = Bench(
        folder=options.folder.absolute(),
        peers=present(options.servers),
        runs=1 if options.quick else options.runs,
        scale=0.1 if options.quick else 1.0,
        only=options.only,
    )
    report = "\n".join(filter(None, (head(bench), *(part(bench) for part in PARTS))))
    options.output.write_text(report)
    print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
