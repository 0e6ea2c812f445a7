"""The kinds of value a key can have, as pydantic takes them.

A Kind reads a value of the file (bool, number, text) and writes it back in the same form, so that settings
written out are a configuration again: the same validation serves the file, `--set` and the snapshot that
crosses a pipe. All kinds are strict; `1` is not true and `25` is not text. Lists are tuples of a kind,
checked by pydantic element by element so that each error finds its place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import core_schema

from mta.config import units
from mta.config.tokens import Scalar
from mta.config.units import Unfit

_SOCKET_PATH = 107
"""Octets of a socket's path, unix(7)."""


@dataclass(frozen=True)
class Kind:
    """How one kind of value is called, read and written; `span` tells its range to people."""

    name: str
    parse: Callable[[Any, Path], Any]
    show: Callable[[Any], Scalar]
    span: str = ""
    textual: bool = True

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            lambda value, info: self.parse(value, info.context or Path()),
            serialization=core_schema.plain_serializer_function_ser_schema(self.show),
        )


Parse = Callable[[str], Any]
Show = Callable[[Any], str]
Element = TypeVar("Element")
Many = Annotated[tuple[Element, ...], Field(strict=False)]
Some = Annotated[tuple[Element, ...], Field(strict=False, min_length=1)]


def _text(value: object, example: str = "text") -> str:
    if not isinstance(value, str):
        raise Unfit("must be text in quotes", f'such as "{example}"')
    if not value.isprintable():
        raise Unfit("must not hold control characters")
    return value


def _of_text(name: str, example: str, parse: Parse, show: Show = str, span: str = "") -> Kind:
    return Kind(name, lambda value, _: parse(_text(value, example)), show, span)


def _bounded(name: str, example: str, parse: Parse, show: Show, least: str, most: str) -> Kind:
    low, high = parse(least), parse(most)

    def within(text: str) -> object:
        value = parse(text)
        if not low <= value <= high:
            raise Unfit(f'"{text[:40]}" is out of range', f"from {least} to {most}")
        return value

    return _of_text(name, example, within, show, f"{least} to {most}")


def duration(least: str, most: str) -> Kind:
    """Seconds as a float, written `"5m"`."""
    return _bounded("duration", "5m", units.parse_duration, units.show_duration, least, most)


def size(least: str, most: str) -> Kind:
    """Octets as an int, written `"50MB"`."""
    return _bounded("size", "50MB", units.parse_size, units.show_size, least, most)


def whole(least: int, most: int) -> Kind:
    """An integer from `least` to `most`."""

    def parse(value: object, _: Path) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Unfit("must be a whole number", "without quotes" if isinstance(value, str) else "")
        if not least <= value <= most:
            raise Unfit(f"{value} is out of range", f"from {least} to {most}")
        return value

    return Kind("number", parse, int, f"{least} to {most}", textual=False)


def choice(*words: str) -> Kind:
    """One of a few words."""

    def parse(text: str) -> str:
        if text not in words:
            raise Unfit(
                f'"{text[:40]}" is not one of the choices', "one of " + ", ".join(f'"{w}"' for w in words)
            )
        return text

    return _of_text("", words[0], parse, span=" or ".join(f'"{word}"' for word in words))


def _parse_flag(value: object, _: Path) -> bool:
    if not isinstance(value, bool):
        raise Unfit("must be true or false", "without quotes" if value in ("true", "false") else "")
    return value


def _parse_path(value: object, folder: Path) -> Path:
    text = _text(value, "folder/file")
    if not text:
        raise Unfit("a path is needed here")
    return Path(os.path.normpath(folder.resolve() / text))


def _parse_optional_path(value: object, folder: Path) -> Path | None:
    return None if value == "" else _parse_path(value, folder)


def _parse_socket(value: object, folder: Path) -> Path:
    path = _parse_path(value, folder)
    if len(os.fsencode(path)) > _SOCKET_PATH:
        raise Unfit(f"the path of the socket is longer than {_SOCKET_PATH} octets: {path}")
    return path


def _parse_user(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}", text):
        raise Unfit(f'"{text[:40]}" is not the name of a user')
    return text


def _parse_database(value: object, folder: Path) -> str:
    text = _text(value, "sqlite:///users.db")
    scheme, found, rest = text.partition("://")
    if not found or not re.fullmatch(r"[a-z][a-z0-9+]*", scheme) or not rest:
        raise Unfit(
            "this is not the URL of a database",
            'such as "sqlite:///users.db" or "postgresql://user@host/name"',
        )
    if scheme.partition("+")[0] not in ("sqlite", "postgresql", "postgres"):
        raise Unfit(f'"{scheme[:40]}" is a kind of database that we do not know', "sqlite or postgresql")
    if scheme == "sqlite":
        if not rest.startswith("/") or rest == "/":
            raise Unfit("names no file", 'three slashes and a relative path, or four: "sqlite:///users.db"')
        return f"sqlite:///{_parse_path(rest[1:], folder)}"
    return text


def _parse_smarthost(text: str) -> str:
    return units.parse_relay_url(text) if text else ""


Flag = Annotated[bool, Kind("true or false", _parse_flag, bool, textual=False)]
FilePath = Annotated[Path, Kind("path", _parse_path, str)]
SocketPath = Annotated[Path, Kind("path", _parse_socket, str)]
OptionalPath = Annotated[Path | None, Kind("path", _parse_optional_path, lambda path: str(path or ""))]
User = Annotated[str, _of_text("user", "mta", _parse_user)]
Domain = Annotated[str, _of_text("domain", "example.org", units.parse_domain)]
Listener = Annotated[units.Endpoint, _of_text("address with port", "127.0.0.1:25", units.parse_endpoint)]
Net = Annotated[units.Network, _of_text("network", "192.0.2.0/24", units.parse_network)]
Nameserver = Annotated[str, _of_text("address", "192.0.2.53", units.parse_nameserver)]
Database = Annotated[str, Kind("URL", _parse_database, str)]
Smarthost = Annotated[str, _of_text("URL", "smtps://user@host:465", _parse_smarthost)]
Route = Annotated[str, _of_text("route", "example.org smtp://host:25", units.parse_route)]
