"""The services: what is configured is served, by whom it is said to be, and counted."""

from __future__ import annotations

from mta import counters
from mta.config.rules import LISTENERS
from mta.daemon.start import RECEIVER, WORKERS, served
from mta.server.services import SERVICES


def test_the_supervisor_gives_the_receiver_the_listeners_that_it_serves() -> None:
    assert RECEIVER.services == SERVICES.keys()


def test_somebody_answers_at_every_listener_that_can_be_configured() -> None:
    assert served(WORKERS) == set(LISTENERS)


def test_the_connections_of_every_service_are_counted() -> None:
    assert set(counters.SERVICES) == SERVICES.keys()
    assert set(counters.MAIL_SERVICES) <= SERVICES.keys()
