"""What runs in a child process: it brings one role to life and speaks with the supervisor for it.

A child is executed as `python -sP -m mta.daemon.child NAME MODULE:FACTORY [user=UID:GID] channel=FD
log=FD counters=FD ...` and finds everything it may touch in these inherited descriptors. Whatever else
it needs arrives on the channel: the configuration, the listeners, the certificate, and the word to stop.
An end of the channel means that the supervisor is gone, and is the same as being told to stop. Signals
are the supervisor's business: a child ignores them, so that Ctrl-C at a terminal ends it in order.

This module knows the messages and the order of a start. It must never know what a role does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from mta.channel import Channel, ChannelError
from mta.config.snapshot import Snapshot
from mta.counters import Counters
from mta.daemon import heap, heartbeat
from mta.daemon.errors import NOT_PERMITTED, SOFTWARE
from mta.log import events
from mta.log.log import Log
from mta.loop import Loop

if TYPE_CHECKING:  # only a child that speaks TLS needs it
    import ssl

ListenerKey = tuple[str, str]
"""(service, address) as the configuration writes them: ("smtp", "127.0.0.1:2525")."""

Listeners = Mapping[ListenerKey, socket.socket]
Message = dict[str, Any]
Reply = Callable[[Message], None]
Later = Callable[[Reply], None]
"""An answer that takes time: called with the reply, which is to be called once, now or later."""

_PR_SET_NO_NEW_PRIVS = 38  # prctl(2)


class Role(Protocol):
    """The work of one kind of child, made as `factory(loop, log, row)`, plus `pipe=FD` where it reads the
    log."""

    def configure(self, snapshot: Snapshot, listeners: Listeners, context: ssl.SSLContext | None) -> None:
        """Go on with this configuration and exactly these listeners; called at least once, first.

        Raises OSError when something the configuration names cannot be used."""

    def request(self, request: Message) -> Message | Later:
        """Answer one request of the local socket; must not wait, but may answer later."""

    def reopen(self) -> None:
        """Open its log files anew; only the logger is ever told."""

    def stop(self) -> None:
        """Finish what is under way, then call `loop.stop()`; may be called more than once."""


Ask = Callable[[Message, Reply], None]
"""Asks the supervisor; the reply is called once, later, with its answer, which has "status" and "text"."""


@runtime_checkable
class Asking(Protocol):
    """A role with questions to the supervisor."""

    def may_ask(self, ask: Ask) -> None:
        """Told how, once, before it is configured."""


Factory = Callable[..., Role]

_COMMON = ("channel", "log", "counters", "lock")
"""Descriptors that every child, or nearly every one, has; all others are for the role, by their names.

With the lock there is nothing to do but to hold it: the tree is in use as long as anybody does."""


@dataclass(frozen=True)
class Orders:
    """The words of the command line: whom to be, as whom, and with which descriptors."""

    name: str
    factory: str
    user: tuple[int, int] | None
    descriptors: Mapping[str, int]

    @classmethod
    def parse(cls, words: Sequence[str]) -> Orders:
        name, factory, *rest = words
        options = dict(word.split("=", 1) for word in rest)
        uid, _, gid = options.pop("user", "").partition(":")
        return cls(
            name=name,
            factory=factory,
            user=(int(uid), int(gid)) if uid else None,
            descriptors={what: int(number) for what, number in options.items()},
        )


class Host:
    """One role and its line to the supervisor."""

    def __init__(self, line: socket.socket, loop: Loop, log: Log, role: Role) -> None:
        self._role = role
        self._log = log
        self._numbers = count(1)
        self._asked: dict[int, Reply] = {}
        self._listeners: dict[ListenerKey, socket.socket] = {}
        self._channel = Channel(line, loop, self._told, role.stop)
        self._words: dict[str, Callable[[Message, list[int]], None]] = {
            "configuration": self._configure,
            "request": self._request,
            "told": lambda message, _fds: self._asked.pop(message["number"])(message["answer"]),
            "reopen": lambda _message, _fds: role.reopen(),
            "stop": lambda _message, _fds: role.stop(),
        }
        if isinstance(role, Asking):
            role.may_ask(self._ask)

    def _told(self, message: Message, fds: list[int]) -> None:
        self._words[message["type"]](message, fds)

    def _ask(self, request: Message, reply: Reply) -> None:
        number = next(self._numbers)
        self._asked[number] = reply
        self._channel.send({"type": "ask", "number": number, "request": request})

    def _configure(self, message: Message, fds: list[int]) -> None:
        self._log.quiet = not message["logging"]
        offered = [(entry["service"], entry["address"]) for entry in message["listeners"]]
        before, after = self._listeners, self._adopted(dict(zip(offered, fds, strict=True)))
        try:
            context = _context(message["certificate"])
            self._role.configure(Snapshot.from_json(message["snapshot"]), after, context)
        except OSError as error:
            self._channel.send({"type": "failed", "serial": message["serial"], "text": str(error)})
            _close_others(after, before)
        else:
            self._channel.send({"type": "acknowledge", "serial": message["serial"]})
            self._listeners = after
            _close_others(before, after)

    def _adopted(self, offered: Mapping[ListenerKey, int]) -> dict[ListenerKey, socket.socket]:
        """The listeners offered, as sockets. Of those we have the duplicates are closed and ours kept, since
        the role's loop is watching their numbers."""
        adopted = {}
        for key, fd in offered.items():
            if key in self._listeners:
                os.close(fd)
                adopted[key] = self._listeners[key]
            else:
                adopted[key] = socket.socket(fileno=fd)
        return adopted

    def _request(self, message: Message, _fds: list[int]) -> None:
        answer = self._role.request(message["request"])
        reply = partial(self._reply, message["number"])
        if callable(answer):
            answer(reply)
        else:
            reply(answer)

    def _reply(self, number: int, answer: Message) -> None:
        try:
            self._channel.send({"type": "answer", "number": number, "answer": answer})
        except ChannelError as error:
            self._reply(number, {"status": SOFTWARE, "text": f"no answer: {error}"})


def _close_others(listeners: Listeners, wanted: Listeners) -> None:
    for key, listener in listeners.items():
        if key not in wanted:
            listener.close()


def _context(pair: Mapping[str, str] | None) -> ssl.SSLContext | None:
    if pair is None:
        return None
    # Only a child that speaks TLS is ever given a pair, and only that one needs this module.
    from mta.server.tls import server_context

    return server_context(pair["certificate"].encode(), pair["key"].encode())


def _give_up_rights(user: tuple[int, int] | None) -> None:
    """Never gain rights again, and make sure that those of root are gone where they should be.

    The supervisor's spawn has set the user already; this one only believes what it sees."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise PermissionError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS) was refused")
    if user is None:
        return
    uid, gid = user
    if (os.getresuid(), os.getresgid(), os.getgroups()) != ((uid,) * 3, (gid,) * 3, [gid]):
        raise PermissionError(f"still not user {uid}, group {gid} alone")


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def _die_of_mistakes(loop: Loop, log: Log) -> None:
    """Let a mistake of ours leave its traceback in the log, where an operator finds it, and then die of it.

    At once, without waiting for threads, who may wait for us; to die any time is what we are built for. One
    in a thread is raised again in the loop, since half a child is worse than a new one."""

    def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        where = "".join(traceback.format_exception(kind, error, trace))
        events.fault(log, "running", where, repr(error))
        log.flush()
        os._exit(SOFTWARE)

    def thread_crashed(what: threading.ExceptHookArgs) -> None:
        loop.post(partial(_raise, what.exc_value or SystemExit()))

    sys.excepthook = crashed
    threading.excepthook = thread_crashed


def _raise(error: BaseException) -> None:
    raise error


def run(orders: Orders) -> None:
    """Be the child until the supervisor says stop, or is gone."""
    for fd in orders.descriptors.values():
        os.set_inheritable(fd, False)
    loop = Loop()
    row = Counters.attach(orders.descriptors["counters"]).row(orders.name)
    log = Log(orders.descriptors["log"], orders.name, row)
    _die_of_mistakes(loop, log)
    heartbeat.start(loop, row)
    loop.at_end_of_turn(log.flush)
    module, _, factory = orders.factory.partition(":")
    make = cast(Factory, getattr(import_module(module), factory))
    own = {what: fd for what, fd in orders.descriptors.items() if what not in _COMMON}
    Host(socket.socket(fileno=orders.descriptors["channel"]), loop, log, make(loop, log, row, **own))
    loop.run()
    log.flush()


def main(words: Sequence[str]) -> int:
    """Be the child, from its command line to its exit status."""
    _ignore_signals()
    heap.give_back_large_blocks()
    orders = Orders.parse(words)
    try:
        _give_up_rights(orders.user)
    except PermissionError as error:
        print(f"mta: the {orders.name} has rights it must not have: {error}", file=sys.stderr)
        return NOT_PERMITTED
    run(orders)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
