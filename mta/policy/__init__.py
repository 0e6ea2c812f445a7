"""The policy: who may send what to whom, and where it goes. Pure: settings and books in, decisions out.

A recipient is judged by the domain behind its last @ and nothing else; percent signs, bangs and quoted @ in
a local part are letters like any other, and a local part of ours is looked up literally. So none of the
historic ways to write a relay request inside an address has a meaning here.

    domain is ours              -> whom the books name (`recipients`), or 550 5.1.1
    domain is in relay.domains  -> a letter
    client is in relay.from     -> a letter
    client is logged in         -> a letter
    otherwise                   -> 550 5.7.1

Whatever decides something can say so: given a list, every function adds a Step for each decision, with the
setting or the row that made it. `mta explain` prints that list; nobody else pays for it.

This package must never know sessions, sockets, folders or time. What it asks the books may be missing from
the cache; then `NotCached` goes through, and whoever asked fetches it and asks again.
"""

from mta.policy.clients import client_address  # isort: skip
from mta.policy.bounds import Counts, Tree, lack_of_quota, lack_of_room
from mta.policy.decisions import (
    BAD_DOMAIN,
    BEEN_HERE,
    OVER_QUOTA,
    SENDER_NOT_LOCAL,
    Asker,
    Goal,
    Step,
    Trace,
    Verdict,
)
from mta.policy.policy import Policy
from mta.policy.recipients import POSTMASTER, Book

__all__ = [
    "BAD_DOMAIN",
    "BEEN_HERE",
    "OVER_QUOTA",
    "POSTMASTER",
    "SENDER_NOT_LOCAL",
    "Asker",
    "Book",
    "Counts",
    "Goal",
    "Policy",
    "Step",
    "Trace",
    "Tree",
    "Verdict",
    "client_address",
    "lack_of_quota",
    "lack_of_room",
]
