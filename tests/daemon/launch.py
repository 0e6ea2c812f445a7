"""`mta` with a worker of tests/daemon/roles.py in the place of the receiver: `launch ROLE WORDS...`."""

from __future__ import annotations

import sys
from unittest.mock import patch

from mta.cli.main import main
from mta.daemon import serve
from mta.daemon.spawn import Kind

if __name__ == "__main__":
    role, *words = sys.argv[1:]
    workers = (Kind("receiver", f"tests.daemon.roles:{role}", services=frozenset({"smtp"})),)
    with patch.object(serve, "WORKERS", workers):
        sys.exit(main(words))
