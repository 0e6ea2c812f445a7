"""How a command reaches the queue: the running server is asked, and where none runs, the tree itself.

The tree is locked meanwhile, so that no server starts in the middle. The answers are the same either way.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from mta.config import Settings
from mta.daemon.errors import NOT_PERMITTED, TEMPORARY, USAGE, CannotStart
from mta.daemon.local import NoServer, ask
from mta.daemon.lock import lock_tree
from mta.daemon.privileges import become_owner

if TYPE_CHECKING:
    from mta.relay.requests.desk import QueueDesk

Message = dict[str, Any]
Asker = Callable[[Message], Message]

_PATIENCE = 600.0
"""Seconds: a hundred thousand letters are not held in a moment."""


def reach(settings: Settings) -> Asker:
    """Who answers requests about the queue. What it is asked may raise CannotStart."""
    desks: list[QueueDesk] = []  # the one on the locked tree, once it is known that no server runs

    def asked(request: Message) -> Message:
        if not desks:
            try:
                whole = {"child": "relay", "request": request}
                return ask(settings.application.socket, whole, _PATIENCE)
            except NoServer:
                desks.append(_locked_desk(settings))
        return _answer(desks[0], request)

    return asked


def _locked_desk(settings: Settings) -> QueueDesk:
    """The desk on a tree without a server. Raises CannotStart."""
    # Only a command that finds no server needs all this, and its owner may not be able to read it.
    from mta.relay import schedule
    from mta.relay.requests import desk
    from mta.store import Store

    maildir = settings.application.maildir
    become_owner(maildir.path)
    lock_tree(maildir.path)  # until this process ends
    try:
        queue = Store(maildir.path, host=settings.hostname, sync=maildir.sync, writer="command").queue
        known = schedule.Schedule(schedule.Rules.of(settings), Random())
        desk.fill(known, queue)
    except OSError as error:
        status = NOT_PERMITTED if isinstance(error, PermissionError) else TEMPORARY
        raise CannotStart(
            status, f"{maildir.path}: the queue cannot be read: {error.strerror or error}"
        ) from error
    found = desk.QueueDesk(known, queue)
    found.enabled = settings.relay.enabled
    return found


def _answer(desk: QueueDesk, request: Message) -> Message:
    from mta.relay.requests.errand import run_through

    answer = run_through(desk.answer(request))
    if answer["status"] == USAGE:
        raise CannotStart(USAGE, answer["text"])
    return answer
