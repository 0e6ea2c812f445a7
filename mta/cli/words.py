"""Words of a command line as values; what is none ends the command with its usage."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Final, TypeVar

from mta.config import units

T = TypeVar("T")

NO_BOUND: Final = "none"


def _fit(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except units.Unfit as error:
        raise ArgumentTypeError(f"{error} ({error.hint})" if error.hint else str(error)) from error


def domain(text: str) -> str:
    """A domain, as lower-case A-labels."""
    return _fit(units.parse_domain, text)


def duration(text: str) -> float:
    """Seconds, of `1h`."""
    return _fit(units.parse_duration, text)


def size(text: str) -> int:
    """Octets, of `1GB`; 0 of `none`."""
    return 0 if text == NO_BOUND else _fit(units.parse_size, text)


def count(text: str) -> int:
    """A number; 0 of `none`."""
    if text == NO_BOUND:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise ArgumentTypeError(f"{text[:40]!a} is no number")
    return int(text)
