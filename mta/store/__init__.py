"""Durable mail: Maildirs, letters, and the threads that wait for the disk."""

from mta.store.committer import Committer, CommitterDied
from mta.store.delivery import Delivery, Failed, Outcome, Reason, Stored, Text, failure
from mta.store.envelope import Domain, Envelope, Mailbox, Recipient, Way
from mta.store.records import Recovery, Unfinished
from mta.store.store import Space, Store
from mta.store.threads import Helpers

__all__ = [
    "Committer",
    "CommitterDied",
    "Delivery",
    "Domain",
    "Envelope",
    "Failed",
    "Helpers",
    "Mailbox",
    "Outcome",
    "Reason",
    "Recipient",
    "Recovery",
    "Space",
    "Store",
    "Stored",
    "Text",
    "Unfinished",
    "Way",
    "failure",
]
