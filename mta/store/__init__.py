"""Durable mail: Maildirs, letters, and the threads that wait for the disk."""

from mta.store.committer import Committer, CommitterDied
from mta.store.delivery import Delivery, Failed, Outcome, Reason, Stored, Text, failure
from mta.store.envelope import CONFIRMATIONS, Domain, Envelope, Mailbox, Recipient, Way
from mta.store.letter import BrokenLetter
from mta.store.letters.queue import Queue
from mta.store.letters.reading import OpenLetter
from mta.store.letters.status import Entry, Report, Standing, State, Status
from mta.store.maildrop.drop import InUse, MailDrop, OpenMessage, Removal
from mta.store.records import Recovery, Unfinished
from mta.store.store import Space, Store
from mta.store.threads import Helpers
from mta.store.usage import NotCounted, Usage, Used

__all__ = [
    "CONFIRMATIONS",
    "BrokenLetter",
    "Committer",
    "CommitterDied",
    "Delivery",
    "Domain",
    "Entry",
    "Envelope",
    "Failed",
    "Helpers",
    "InUse",
    "MailDrop",
    "Mailbox",
    "NotCounted",
    "OpenLetter",
    "OpenMessage",
    "Outcome",
    "Queue",
    "Reason",
    "Recipient",
    "Recovery",
    "Removal",
    "Report",
    "Space",
    "Standing",
    "State",
    "Status",
    "Store",
    "Stored",
    "Text",
    "Unfinished",
    "Usage",
    "Used",
    "Way",
    "failure",
]
