"""The services that the receiver serves, by the name of their section in the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mta.server.datagram.listener import DATAGRAM
from mta.server.pop3.host import POP3, POP3S
from mta.server.service import Service
from mta.server.smtp.host import SMTP, SUBMISSION, SUBMISSIONS
from mta.server.steering.control import CONTROL
from mta.server.steering.management import MANAGEMENT

SERVICES: Final[Mapping[str, Service]] = {
    "smtp": SMTP,
    "submission": SUBMISSION,
    "submissions": SUBMISSIONS,
    "datagram": DATAGRAM,
    "control": CONTROL,
    "management": MANAGEMENT,
    "pop3": POP3,
    "pop3s": POP3S,
}
