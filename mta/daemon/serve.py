"""`mta -f FILE`: one server, from start to end."""

from __future__ import annotations

import os
import signal

from mta.daemon.notify import Notifier
from mta.daemon.reload import Source
from mta.daemon.start import WORKERS, prepare
from mta.daemon.supervisor import Supervisor


def serve(source: Source) -> None:
    """Run the server until SIGTERM or SIGINT. Raises ConfigError or CannotStart when it cannot begin."""
    # A peer that has gone is an error of that one write, not the end of the program.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    notifier = Notifier.from_environment(os.environ)
    Supervisor(prepare(source, WORKERS), notifier, WORKERS).run()
