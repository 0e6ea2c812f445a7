"""What a child keeps in memory: no library that only others need, no large block that is free."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from mta.daemon.start import LOGGER, METRICS, RECEIVER, RELAY
from tests.conftest import needs

READS_FILES = {"pyhocon", "pyparsing", "watchdog"}
"""For the supervisor, who reads the configuration and watches it."""
SHOWS = {"rich", "pygments"}
"""For commands."""
ACCOUNTS = {"sqlalchemy", "sqlite3", "argon2"}

MB = 1 << 20


def run(program: str) -> str:
    """What a new interpreter says."""
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("factory", "foreign"),
    [
        (LOGGER.factory, READS_FILES | SHOWS | ACCOUNTS | {"ssl", "prometheus_client", "dns"}),
        (RECEIVER.factory, READS_FILES | SHOWS | {"prometheus_client", "dns", "psycopg"}),
        (RELAY.factory, READS_FILES | SHOWS | ACCOUNTS | {"prometheus_client"}),
        (METRICS.factory, READS_FILES | SHOWS | ACCOUNTS | {"dns"}),
    ],
    ids=["logger", "receiver", "relay", "metrics"],
)
def test_a_child_loads_nothing_that_only_others_need(factory: str, foreign: set[str]) -> None:
    module = factory.partition(":")[0]
    loaded = run(f"import sys, mta.daemon.child, {module}; print(*sys.modules)").split()
    assert foreign & {name.partition(".")[0] for name in loaded} == set()


def test_accounts_load_no_driver_of_the_other_database() -> None:
    assert (
        "sqlalchemy.dialects.postgresql"
        not in run("import sys, mta.users.accounts; print(*sys.modules)").split()
    )


def test_what_a_hash_took_is_given_back() -> None:
    if "glibc" not in subprocess.run([needs("getconf"), "-a"], capture_output=True, text=True).stdout:
        pytest.skip("another C library")
    status = run(
        "from threading import Thread\n"
        "from mta.daemon.heap import give_back_large_blocks\n"
        "from mta.users.passwords import NOBODYS, verify\n"
        "give_back_large_blocks()\n"
        "for _ in range(3):\n"
        "    thread = Thread(target=verify, args=(NOBODYS, 'guess'))\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "print(open('/proc/self/status').read())"
    )
    peak, now = (int(kib) << 10 for kib in re.findall(r"^(?:VmHWM|VmRSS):\s+(\d+)", status, re.MULTILINE))
    assert peak - now > 15 * MB
