"""What a request of the local socket asks for, as values: the gate between words and the desk.

A request is a JSON object that any program of the server's user may have written, so nothing in it is
believed: what has the wrong form is BadRequest here, and nothing else anywhere behind. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from mta import identifier
from mta.config.units import Unfit
from mta.relay.outcome import Reason
from mta.relay.routing.targets import parse_target
from mta.store import Domain

T = TypeVar("T")

_MOST_TARGETS = 10_000


class BadRequest(Exception):
    """The text says what is wrong."""


class Target(NamedTuple):
    """Letters that are meant: all of a domain, one at all its domains, or one at one."""

    domain: str | None
    id: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The letters a request is about."""

    targets: tuple[Target, ...] = ()
    everything: bool = False
    reason: str = ""
    """Only those that wait for this: a word of the catalogue."""
    errors: bool = False
    """Those in the error folders, instead of those in the queue."""

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Wanted:
        """Raises BadRequest; something has to be wanted."""
        which = member(request, "which", list, [])
        everything, reason = member(request, "all", bool, False), _reason(request)
        errors = member(request, "errors", bool, False)
        if not (which or everything or reason) or len(which) > _MOST_TARGETS:
            raise BadRequest("say which letters")
        return cls(tuple(map(parse_which, which)), everything, reason, errors)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters a list shows; what is empty asks for nothing."""

    domain: str = ""
    sender: str = ""
    """An address, `@domain`, or `<>`."""
    recipient: str = ""
    older: float = 0.0
    """Seconds since arrival."""
    reason: str = ""
    errors: bool = False

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Filter:
        """Raises BadRequest."""
        domain = member(request, "domain", str, "")
        return cls(
            domain=_domain(domain) if domain else "",
            sender=member(request, "sender", str, ""),
            recipient=member(request, "recipient", str, ""),
            older=_seconds(request),
            reason=_reason(request),
            errors=member(request, "errors", bool, False),
        )


def member(request: Mapping[str, Any], key: str, kind: type[T], default: T) -> T:
    """A member of this type, or the default without one. Raises BadRequest."""
    value = request.get(key, default)
    if not isinstance(value, kind):
        raise BadRequest(f"{key} is no {kind.__name__}")
    return value


def parse_which(word: object) -> Target:
    """`ID`, `DOMAIN/ID` or `DOMAIN`, the domain as lower-case A-labels. Raises BadRequest."""
    if not isinstance(word, str):
        raise BadRequest("which letters: words")
    domain, slash, letter = word.rpartition("/")
    if slash:
        return Target(_domain(domain), _letter(letter))
    if identifier.PATTERN.fullmatch(word):
        return Target(None, word)
    return Target(_domain(word), None)


def parse_reroute(url: str) -> str:
    """Where letters are to go instead, as in `relay.routes`; empty: where others go. Raises BadRequest."""
    if url:
        try:
            parse_target(url)
        except Unfit as error:
            raise BadRequest(f"{error}; {error.hint}" if error.hint else str(error)) from error
    return url


def _domain(name: str) -> str:
    try:
        return Domain(name).name
    except ValueError as error:
        raise BadRequest(str(error)) from error


def _letter(word: str) -> str:
    if identifier.PATTERN.fullmatch(word) is None:
        raise BadRequest(f"{word[:40]!r} is no identifier of a letter")
    return word


def _reason(request: Mapping[str, Any]) -> str:
    word = member(request, "reason", str, "")
    try:
        return Reason.of(word).word if word else ""
    except KeyError:
        words = ", ".join(reason.word for reason in Reason)
        raise BadRequest(f"{word[:40]!r} is no reason; there are: {words}") from None


def _seconds(request: Mapping[str, Any]) -> float:
    value = request.get("older", 0)
    if not isinstance(value, int | float) or not value >= 0:
        raise BadRequest("older is no number of seconds")
    return float(value)
