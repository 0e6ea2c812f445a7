"""The supervisor: it keeps the children running, tells them the configuration, and does as it is asked.

It asks nothing of the mail itself, so that it has little reason to fail. Requests come from signals, from
the folders being watched, from the local socket and from the service manager; each ends in one of four
acts: reload, open the log files anew, answer, end. The workers end first, then the logger, which so hears
their last words.

This module must never know what a worker does.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import mta
from mta.config import shown
from mta.config.declare import RESTART
from mta.config.watch import Watcher
from mta.counters import CATALOGUE, LONGEST_TURN, ROLES, TURNS
from mta.daemon import heartbeat
from mta.daemon.certificates import Pair, describe
from mta.daemon.children import Child, End
from mta.daemon.errors import CONFIGURATION, NOT_PERMITTED, REFUSED, TEMPORARY, USAGE, CannotStart
from mta.daemon.live import LOGGING, ORIGIN
from mta.daemon.local import LocalServer, Message, Reply
from mta.daemon.notify import Notifier
from mta.daemon.reload import Outcome, needed_descriptors
from mta.daemon.spawn import Kind
from mta.daemon.start import LOGGER, Ground
from mta.log import events
from mta.log.log import Log
from mta.loop import Action, Loop

_PULSE = 10.0
"""Seconds between two looks at the children's turn counters, when no service manager wants another pace."""


class Supervisor:
    """The server as a whole, from its children's first breath to their last; the `Parent` of them all."""

    def __init__(self, ground: Ground, notifier: Notifier, workers: Sequence[Kind]) -> None:
        self._ground = ground
        self._in_force = ground.in_force
        self._notifier = notifier
        self._loop = Loop()
        self._row = ground.counters.row("supervisor")
        self._began = self._loop.clock()
        self._log = Log(ground.log_write, "supervisor", self._row)
        self._workers = [self._child(kind) for kind in workers]
        self._logger = self._child(LOGGER)
        self._turns: dict[str, int] = {}
        self._stage: Literal["starting", "serving", "ending"] = "starting"
        self._failure: CannotStart | None = None
        self._when_settled: list[Callable[[], None]] = []
        self._bad_certificate = ""
        self._watcher: Watcher | None = None
        self._local: LocalServer | None = None

    def run(self) -> None:
        """Serve until told to end. Raises CannotStart when the server could not begin."""
        heartbeat.start(self._loop, self._row)
        self._loop.at_end_of_turn(self._log.flush)
        self._handle_signals()
        self._open_doors()
        self._follow_settings()
        try:
            self._serve()
        finally:
            self._shut_doors()
        if self._failure is not None:
            raise self._failure

    def _serve(self) -> None:
        for child in self._children():
            if self._has_work(child):
                child.start()
        self._pulse()
        self._loop.run()

    def _child(self, kind: Kind) -> Child:
        return Child(kind, self._loop, self, self._ground.descriptors(kind), self._ground.user)

    def _children(self) -> list[Child]:
        return [self._logger, *self._workers]

    # who may ask for something

    def _handle_signals(self) -> None:
        acts: dict[signal.Signals, Action] = {
            signal.SIGTERM: partial(self._end, "SIGTERM"),
            signal.SIGINT: partial(self._end, "SIGINT"),
            signal.SIGHUP: self._reload_unasked,
            signal.SIGUSR1: self._reopen_logs,
        }

        def handle(number: int, _frame: object) -> None:
            # Python runs handlers between any two of our steps; posting makes the act a step of its own.
            self._loop.post(acts[signal.Signals(number)])

        for number in acts:
            signal.signal(number, handle)

    def _open_doors(self) -> None:
        application, user = self._in_force.settings.application, self._ground.user
        self._local = LocalServer(application.socket, self._loop, self._asked, user)
        try:
            self._watcher = Watcher(self._in_force.files, lambda: self._loop.post(self._reload_unasked))
        except OSError as error:
            events.fault(self._log, "watching for saves", "inotify; mta reload works", error)

    def _asked(self, request: Message, reply: Reply) -> None:
        """One request of the local socket: ours by its name, or a child's by the child's."""
        match request:
            case {"request": "config"}:
                reply(self._description())
            case {"request": "reload"}:
                self._reload_for(reply)
            case {"request": "counters"}:
                reply(self._counted())
            case {"child": name, "request": _}:
                self._pass_on(str(name), request, reply)
            case _:
                reply({"status": USAGE, "text": "no such request"})

    def _pass_on(self, name: str, request: Message, reply: Reply) -> None:
        for child in self._workers:
            if child.name == name:
                child.ask(request, reply)
                return
        reply({"status": USAGE, "text": f"no such child: {name[:40]}"})

    def _description(self) -> Message:
        snapshot = self._in_force.snapshot
        keys = [
            {"key": key, "value": value, "origin": snapshot.origins[key]}
            for key, value in shown(snapshot.settings).items()
        ]
        if not self._in_force.logging:
            keys.append({"key": LOGGING[0], "value": "0", "origin": ORIGIN})
        processes = {child.name: child.process for child in self._children() if not child.stopping}
        return {
            "status": 0,
            "settings": keys,
            "listeners": self._in_force.listening.bound(),
            "processes": {"supervisor": os.getpid(), **processes},
        }

    def _counted(self) -> Message:
        """Every counter, summed over the processes, and of what is per process the largest."""
        counters = self._ground.counters
        return {
            "status": 0,
            "hostname": self._in_force.settings.hostname,
            "uptime": self._loop.clock() - self._began,
            "counters": {
                counter.key: counters.total(counter) for counter in CATALOGUE if not counter.per_process
            },
            "longest_turn": {role: counters.row(role).get(LONGEST_TURN) for role in ROLES},
        }

    # the configuration

    def _reload_unasked(self) -> None:
        """For signals and saves: the log hears how it went."""
        if self._stage != "ending":
            self._reload()
            self._settle()

    def asked(self, child: Child, request: Message, answer: Reply) -> None:
        """A child's question, for somebody who steers the server over the network."""
        match request:
            case {"request": "set", "key": str(key), "value": int(value), "by": str(by)}:
                self._set(key, value, by, answer)
            case {"request": "get", "key": str(key)}:
                found = self._in_force.get(key)
                answer({"status": 0 if found else REFUSED, "value": found, "text": "no such live setting"})
            case _:
                answer({"status": USAGE, "text": f"the {child.name} may not ask this"})

    def _set(self, key: str, value: int, by: str, answer: Reply) -> None:
        """A live setting; who asked for it hears of it once it is in force everywhere."""
        outcome = self._in_force.set(key, value)
        if outcome.status:
            answer(outcome.answer())
            return
        for change in outcome.changes:
            events.set_live(self._log, change.key, change.old, change.new, by)
        self._hand_on()
        self._when_settled.append(lambda: answer(self._settled(outcome).answer()))
        self._settle()

    def _reload_for(self, reply: Reply) -> None:
        outcome = self._reload()
        self._when_settled.append(lambda: reply(self._settled(outcome).answer()))
        self._settle()

    def _settled(self, outcome: Outcome) -> Outcome:
        """The outcome, once the children have said what they think of it."""
        troubles = [f"{child.name}: {child.trouble}" for child in self._children() if child.trouble]
        return replace(outcome, status=TEMPORARY, text="\n".join(troubles)) if troubles else outcome

    def _reload(self) -> Outcome:
        """Whoever asks, this is the way; what is told elsewhere waits in `_when_settled` for the children."""
        self._notifier.reloading()
        before = self._in_force.serial
        outcome = self._in_force.reload()
        self._tell_log(outcome)
        if self._in_force.serial != before:
            self._hand_on()
        if self._watcher is not None:
            self._watcher.follow(self._in_force.files)
        self._when_settled.append(self._tell_manager)
        return outcome

    def _hand_on(self) -> None:
        """A new configuration is in force: follow it, and let the children."""
        self._follow_settings()
        for child in self._children():
            if not self._has_work(child):
                child.stop()
            elif child.stopping and not child.running:
                child.revive()
            else:
                self._configure(child)

    def _has_work(self, child: Child) -> bool:
        """Whether it has to run: always, or for the listeners it has."""
        listening = {service for service, _ in self._in_force.listening.sockets}
        return not child.optional or not listening.isdisjoint(child.services)

    def _tell_log(self, outcome: Outcome) -> None:
        if outcome.status:
            events.reload_failed(self._log, outcome.text)
        for change in outcome.changes:
            tell = events.restart_needed if change.applies == RESTART else events.reloaded
            tell(self._log, change.key, change.old, change.new)
        if outcome.certificate is not None:
            self._tell_certificate(outcome.certificate)
        if outcome.bad_certificate not in ("", self._bad_certificate):
            path = str(self._in_force.settings.tls.certificate)
            events.certificate_refused(self._log, path, outcome.bad_certificate)
        self._bad_certificate = outcome.bad_certificate

    def _tell_certificate(self, pair: Pair) -> None:
        path = str(self._in_force.settings.tls.certificate)
        described = describe(pair)
        events.certificate_loaded(self._log, path, described.names, described.expires)

    def _follow_settings(self) -> None:
        """What the supervisor itself has to do about new settings."""
        settings = self._in_force.settings
        self._log.debug = settings.application.debug
        needed, most = needed_descriptors(settings), self._ground.most_descriptors
        if needed > most:
            events.few_descriptors(self._log, needed, most)

    def _reopen_logs(self) -> None:
        # Who moved the old files away may have left a folder where only root can make new ones.
        try:
            self._in_force.own_logs()
        except CannotStart as error:
            events.fault(self._log, "opening the logs anew", "", error)
        self._logger.tell({"type": "reopen"})

    # the children

    def _configure(self, child: Child) -> None:
        child.tell(*self._in_force.message(child.services))

    def born(self, child: Child) -> None:
        """A new process knows nothing yet."""
        events.child_started(self._log, child.name, child.process or 0)
        self._configure(child)

    def configured(self, child: Child) -> None:
        """A child has taken its configuration, or has not been able to."""
        if child.trouble:
            events.fault(self._log, "configuring", child.name, child.trouble)
            if self._stage == "starting":
                self._fail(TEMPORARY, f"the {child.name} cannot begin: {child.trouble}")
        self._settle()

    def died(self, child: Child, end: End) -> None:
        """Forget what it held open. In a start its death is ours; at the end it is what we wait for."""
        self._ground.counters.clear_gauges(child.name)
        self._turns.pop(child.name, None)
        if end.pause is not None:
            events.child_died(self._log, child.name, end.process, end.how, end.pause)
        if self._stage == "starting":
            status = end.status if end.status in _MEANT else TEMPORARY
            self._fail(status, f"the {child.name} ended at once: {end.how}; see the lines above, or the log")
        if self._stage == "ending":
            self._end_next()
            return
        if child.stopping and self._has_work(child):
            child.revive()  # it was told to end, and is wanted again since
        self._settle()

    def _settle(self) -> None:
        """Once every living child has the configuration in force, tell those who wait for that."""
        serial = self._in_force.serial
        wanted = [child for child in self._children() if child.running and not child.stopping]
        behind = [child for child in wanted if child.serial < serial]
        if behind or self._stage == "ending":
            return
        if self._stage == "starting":
            self._begin_serving()
        waiting, self._when_settled = self._when_settled, []
        for act in waiting:
            act()

    def _begin_serving(self) -> None:
        self._stage = "serving"
        bound = self._in_force.listening.bound()
        events.started(self._log, mta.__version__, [f"{each['service']}={each['bound']}" for each in bound])
        if self._in_force.pair is not None:
            self._tell_certificate(self._in_force.pair)
        for service, address in self._in_force.listening.unclaimed():
            where = f"{service}={address}"
            events.fault(self._log, "socket activation", where, "no such listener is configured")
        self._tell_terminal()
        self._tell_manager()

    def _tell_terminal(self) -> None:
        """Who starts us by hand and has the log in a file would otherwise see nothing at all."""
        log = self._in_force.snapshot.settings.application.log.path
        if log is not None and sys.stderr.isatty():
            print(f"mta {mta.__version__}: listening on {self._places()}; log in {log}", file=sys.stderr)

    def _places(self) -> str:
        bound = self._in_force.listening.bound()
        return ", ".join(f"{each['service']} {each['bound']}" for each in bound) or "nothing"

    def _tell_manager(self) -> None:
        self._notifier.ready(f"configuration {self._in_force.serial}, listening on {self._places()}")

    def _pulse(self) -> None:
        """Tell the service manager that we live, as long as the loop of every living child turns."""
        living = [child.name for child in self._children() if child.running]
        standing = [name for name in living if not self._has_turned(name)]
        if not standing:
            self._notifier.alive()
        for name in standing:
            events.fault(self._log, "waiting for a turn of its loop", name, "it hangs")
        self._loop.call_later(self._notifier.interval or _PULSE, self._pulse)

    def _has_turned(self, name: str) -> bool:
        before, now = self._turns.get(name), self._ground.counters.row(name).get(TURNS)
        self._turns[name] = now
        return before != now

    # the end

    def _fail(self, status: int, text: str) -> None:
        """A start has come to nothing; the first reason is the one that counts."""
        self._failure = self._failure or CannotStart(status, text)
        self._end("a failed start")

    def _end(self, reason: str) -> None:
        """Take nothing new, let the workers finish, then the logger."""
        if self._stage == "ending":
            return
        self._stage = "ending"
        self._notifier.stopping()
        events.stopping(self._log, reason)
        self._shut_doors()
        for child in self._workers:
            child.stop()
        self._end_next()

    def _shut_doors(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
        if self._local is not None:
            self._local.close()
        self._watcher = self._local = None
        self._in_force.listening.change([])

    def _end_next(self) -> None:
        if any(child.running for child in self._workers):
            return
        if not self._logger.running:
            self._loop.stop()
        elif not self._logger.stopping:
            events.stopped(self._log)
            # The logger reads until nobody can write any more, so our end has to go too.
            self._log.close()
            self._logger.stop()


_MEANT = (TEMPORARY, NOT_PERMITTED, CONFIGURATION)
"""Exit statuses of a child that say what a start should say."""
