"""`mta story`: what happened to a message, or in a session, told in order from the log."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from mta.cli.tables import duration, printable
from mta.cli.telling import told
from mta.config import Settings
from mta.config.units import Unfit, parse_duration
from mta.daemon.errors import NOT_PERMITTED, USAGE, CannotStart
from mta.daemon.local import NoServer, ask
from mta.daemon.reload import Source
from mta.log.index import seconds_of
from mta.log.logfmt import Record
from mta.log.search import LogFiles
from mta.log.story import IDENTIFIER, Story, story_of

_NOT_FOUND: Final = 1
_MOST: Final = 20


def run(source: Source, words: Sequence[str]) -> int:
    """Tell the story. Raises ConfigError or CannotStart."""
    parser = _parser()
    arguments = parser.parse_args(words)
    if arguments.subject is None and not (arguments.to or arguments.sender or arguments.since):
        parser.error("say an ID, a SESSION, --to, --from or --since")
    settings = source.load().settings
    archive = Archive.of(settings, arguments.since)
    stories = _wanted(archive, arguments)
    if arguments.json:
        print(json.dumps([_as_json(story) for story in stories], indent=2))
    elif stories:
        print("\n\n".join("\n".join(_lines(story, settings)) for story in stories))
    return _conclude(archive, stories, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mta story", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add(
        "subject",
        nargs="?",
        metavar="ID | SESSION",
        type=_subject,
        help="of a message, or of a session, as a reject names it",
    )
    add("--to", metavar="ADDRESS", default="", help="messages for this recipient, and what was refused to it")
    add("--from", dest="sender", metavar="ADDRESS", default="", help="messages from this sender")
    add("--since", metavar="TIME", type=_since, help="30m, 2h or 5d ago, or 2026-11-20T18:40")
    add("--limit", metavar="N", type=int, default=_MOST, help=f"the latest N of them (default {_MOST})")
    add("--json", action="store_true", help="as JSON")
    return parser


def _subject(text: str) -> str:
    word = text.rpartition("/")[2]  # DOMAIN/ID, as mta queue shows it
    if not IDENTIFIER.fullmatch(word):
        raise argparse.ArgumentTypeError(f"{text!r} is no id: those have 20 of a-z and 0-9")
    return word


def _since(text: str) -> float:
    with suppress(Unfit):
        return time.time() - parse_duration(text)
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: say 2h, or 2026-11-20T18:40") from None


class Archive:
    """The log and the transcript, to be searched."""

    def __init__(self, paths: Sequence[Path], since: float) -> None:
        self._since = since
        self._logs = [LogFiles(path) for path in paths]

    @classmethod
    def of(cls, settings: Settings, since: float | None) -> Archive:
        """Raises CannotStart when the log is in no file."""
        log = settings.application.log
        if not log.path:
            raise CannotStart(USAGE, "the log goes to standard error; set application.log.path to a file")
        paths = [Path(path) for path in (log.path, log.transcript) if path]
        for path in paths:
            _check_rights(path.parent)
        return cls(paths, since or 0.0)

    def find(self, asked: Sequence[str]) -> Iterator[Record]:
        for log in self._logs:
            yield from log.find(asked, self._since)

    def since(self) -> Iterator[Record]:
        """All records of the log since then."""
        for record in self._logs[0].all_since(self._since):
            if (seconds_of(record.time) or 0) >= self._since:
                yield record

    @property
    def is_empty(self) -> bool:
        return not any(log.paths for log in self._logs)

    @property
    def unreadable(self) -> list[str]:
        return [complaint for log in self._logs for complaint in log.unreadable]


def _check_rights(folder: Path) -> None:
    """A folder that may not be looked into would seem to be an empty one. Raises CannotStart."""
    try:
        os.listdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        text = f"{folder}: {error.strerror}; be root, or the user of the server"
        raise CannotStart(NOT_PERMITTED, text) from error


def _wanted(archive: Archive, arguments: argparse.Namespace) -> list[Story]:
    if arguments.subject:
        story = story_of(arguments.subject, archive.find)
        return [story] if story else []
    subjects = list(dict.fromkeys(_subjects(archive, arguments)))[-max(arguments.limit, 1) :]
    stories = (story_of(subject, archive.find) for subject in subjects)
    return [story for story in stories if story]


def _subjects(archive: Archive, arguments: argparse.Namespace) -> Iterator[str]:
    """Messages that were taken and sessions in which one was refused, as the addresses have it."""
    address = arguments.to or arguments.sender
    for record in archive.find([address]) if address else archive.since():
        if record.event in ("accepted", "recipients") and _is_meant(record, arguments):
            yield record.fields["id"]
        elif record.event == "rejected" and (not address or _is_named(record, arguments)):
            yield record.fields["session"]


def _is_meant(record: Record, arguments: argparse.Namespace) -> bool:
    if arguments.to and arguments.to.lower() not in map(str.lower, _named(record)):
        return False
    return not arguments.sender or record.fields.get("sender", "").lower() == arguments.sender.lower()


def _named(record: Record) -> list[str]:
    """Recipients, and the aliases that led to them."""
    return [word for key in ("recipients", "via") if key in record.fields for word in record.list(key)]


def _is_named(record: Record, arguments: argparse.Namespace) -> bool:
    command = record.text("command").lower()
    return any(
        address and command.startswith(verb) and f"<{address.lower()}>" in command
        for verb, address in (("rcpt", arguments.to), ("mail", arguments.sender))
    )


# output


def _lines(story: Story, settings: Settings) -> Iterator[str]:
    day = ""
    for record in story.records:
        date, _, clock = record.time.rstrip("Z").partition("T")
        if date != day:
            yield f"{date} (UTC)"
            day = date
        yield f"  {clock}  {told(record)}"
    if story.is_message:
        yield from _now(story, settings)


def _now(story: Story, settings: Settings) -> Iterator[str]:
    """Who has not got it yet, as the queue of the running server has it."""
    request = {"child": "relay", "request": {"request": "show", "id": story.subject}}
    try:
        answer = ask(settings.application.socket, request)
    except (NoServer, CannotStart):
        return
    for letter in answer.get("letters", ()):
        due = letter.get("next")
        when = f"; next try in {duration(due - answer['now'])}" if due is not None else ""
        yield f"  now           {letter['domain']}: {printable(letter['text'])}{when}"


def _as_json(story: Story) -> dict[str, Any]:
    return {"subject": story.subject, "records": [_plain(record) for record in story.records]}


def _plain(record: Record) -> dict[str, Any]:
    fields = {key: record.text(key) for key in record.fields}
    return {**asdict(record), "fields": fields, "told": told(record)}


def _conclude(archive: Archive, stories: Sequence[Story], arguments: argparse.Namespace) -> int:
    for complaint in archive.unreadable:
        print(f"mta story: not read: {complaint}", file=sys.stderr)
    if stories:
        return 0
    what = arguments.subject or arguments.to or arguments.sender or "that time"
    why = "there is no log yet" if archive.is_empty else f"the log knows nothing of {printable(what)}"
    print(f"mta story: {why}", file=sys.stderr)
    return _NOT_FOUND
