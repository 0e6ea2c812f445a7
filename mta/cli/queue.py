"""`mta queue`: what waits to be sent on, why it waits, and what is to become of it."""

from __future__ import annotations

import argparse
import json
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mta import identifier
from mta.cli import tables
from mta.cli.actions import Actions
from mta.cli.reach import Asker, reach
from mta.cli.words import domain, duration
from mta.daemon.errors import CannotStart
from mta.daemon.reload import Source

Message = dict[str, Any]
Act = Callable[[Asker, argparse.Namespace], int]

_WHICH = "ID (a letter at all its domains), DOMAIN/ID (at one), or DOMAIN (all that wait for it)"


def run(source: Source, words: Sequence[str]) -> int:
    """Do as the words say. Raises ConfigError or CannotStart."""
    parser = _parser()
    arguments = parser.parse_args(words)
    _check(parser, arguments)
    act: Act = arguments.act
    return act(reach(source.load().settings), arguments)


def _parser() -> argparse.ArgumentParser:
    actions = Actions("queue", __doc__)
    _add_filters(actions.add("list", "show the letters that wait", _list))
    show = actions.add("show", "show all that is known of a letter", _show)
    show.add_argument("id", metavar="ID", type=_letter, help="ID or DOMAIN/ID")
    show.add_argument("--message", action="store_true", help="its message instead, as it came in")
    actions.add("why", "show why letters wait, by domain and reason, and what to do about it", _why)
    actions.add("stats", "show each domain: letters, the oldest, the pace, the last error", _stats)
    retry = actions.add("retry", "try letters now", _act("retry", "due now"))
    _add_which(retry, needed=False)
    retry.add_argument("--all", action="store_true", help="all that wait")
    retry.add_argument("--reason", metavar="REASON", default="", help="those that wait for this; see why")
    _add_errors(retry, "move letters back from error/")
    _add_which(actions.add("hold", "try letters no more until they are released", _act("hold", "held")))
    _add_which(actions.add("release", "let held letters go", _act("release", "released")))
    delete = actions.add("delete", "remove letters; nobody is told", _act("delete", "deleted"))
    _add_which(delete)
    _add_errors(delete, "those in error/")
    _add_which(actions.add("bounce", "give letters up and tell their senders", _act("bounce", "given up")))
    reroute = actions.add("reroute", "send the letters that wait for a domain to another host", _reroute)
    reroute.add_argument("domain", metavar="DOMAIN", type=domain)
    reroute.add_argument(
        "host", metavar="HOST", nargs="?", default="", help="smtp://host:25, host:25 or host"
    )
    reroute.add_argument("--undo", action="store_true", help="send them where others go")
    actions.add("scan", "look now for letters that were put there or taken away by hand", _scan)
    return actions.parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """What the parser cannot check."""
    if arguments.action == "retry" and not (arguments.which or arguments.all or arguments.reason):
        parser.error("retry: say which letters, --all, or --reason REASON")
    if arguments.action == "retry" and arguments.all and arguments.which:
        parser.error("retry: all, or these")
    if arguments.action == "reroute" and bool(arguments.host) == arguments.undo:
        parser.error("reroute: say a host, or --undo")


def _add_which(parser: argparse.ArgumentParser, *, needed: bool = True) -> None:
    parser.add_argument("which", metavar="LETTERS", nargs="+" if needed else "*", type=_which, help=_WHICH)


def _add_errors(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--errors", action="store_true", help=what)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--domain", type=domain, help="those for this domain")
    add("--sender", metavar="ADDRESS", default="", help="those from this address, @domain, or <>")
    add("--recipient", metavar="ADDRESS", default="", help="those to this address, or @domain")
    add("--older", metavar="TIME", type=duration, default=0.0, help="those that came longer ago: 30m, 2h, 5d")
    add("--reason", default="", help="those that wait for this; see why")
    _add_errors(parser, "those that were given up and lie in error/")


# words


def _which(text: str) -> str:
    place, slash, letter = text.rpartition("/")
    if slash:
        return f"{domain(place)}/{letter}"
    return text if identifier.PATTERN.fullmatch(text) else domain(text)


def _letter(text: str) -> str:
    if identifier.PATTERN.fullmatch(text.rpartition("/")[2]) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no ID; mta queue list shows them")
    return _which(text)


def _url(host: str) -> str:
    if not host or "://" in host:
        return host
    bare_ipv6 = host.count(":") > 1 and not host.startswith("[")
    return f"smtp://[{host}]" if bare_ipv6 else f"smtp://{host}"


# looking


def _list(ask: Asker, arguments: argparse.Namespace) -> int:
    wanted = ("sender", "recipient", "older", "reason", "errors")
    request = {"request": "list", **{name: getattr(arguments, name) for name in wanted}}
    request["domain"] = arguments.domain or ""
    pages = _pages(ask, request)
    if arguments.json:
        rows = (row for page in pages for row in page["letters"])
        return _print_json(rows)
    count = 0
    for page in pages:
        count += len(page["letters"])
        for line in tables.letters(page["letters"], page["now"]):
            print(line)
    print(f"{tables.counted(count, 'letter')}" if count else tables.EMPTY, file=sys.stderr)
    return 0


def _pages(ask: Asker, request: Message) -> Iterator[Message]:
    after: list[str] | None = ["", ""]
    while after is not None:
        page = ask({**request, "after": after})
        if page["status"]:
            raise CannotStart(page["status"], page["text"])
        yield page
        after = page["after"]


def _print_json(rows: Iterator[Message]) -> int:
    """A list, one row on each line, without holding all of them."""
    between = "["
    for row in rows:
        print(f"{between}\n{json.dumps(row)}", end="")
        between = ","
    print("[]" if between == "[" else "\n]")
    return 0


def _show(ask: Asker, arguments: argparse.Namespace) -> int:
    if arguments.message:
        return _show_message(ask, arguments.id)
    answer = ask({"request": "show", "id": arguments.id})
    return _print(answer, arguments, tables.shown)


def _show_message(ask: Asker, letter: str) -> int:
    offset, last = 0, False
    while not last:
        answer = ask({"request": "read", "id": letter, "offset": offset})
        if answer["status"]:
            return _complain(answer)
        octets, last = b64decode(answer["octets"]), answer["last"]
        offset += len(octets)
        sys.stdout.buffer.write(octets)
    sys.stdout.flush()
    return 0


def _why(ask: Asker, arguments: argparse.Namespace) -> int:
    return _print(ask({"request": "why"}), arguments, tables.why)


def _stats(ask: Asker, arguments: argparse.Namespace) -> int:
    return _print(ask({"request": "stats"}), arguments, tables.stats)


def _print(answer: Message, arguments: argparse.Namespace, lines: Callable[[Message], Iterator[str]]) -> int:
    if answer["status"]:
        return _complain(answer)
    if arguments.json:
        print(json.dumps(answer, indent=2))
    else:
        print("\n".join(lines(answer)))
    return 0


# acting


def _act(request: str, done: str) -> Act:
    """What to do for a request about letters, which are `done` afterwards."""

    def act(ask: Asker, arguments: argparse.Namespace) -> int:
        wanted = {name: getattr(arguments, name, default) for name, default in _WANTED.items()}
        return _report(ask({"request": request, **wanted}), arguments, done)

    return act


_WANTED = {"which": [], "all": False, "reason": "", "errors": False}


def _reroute(ask: Asker, arguments: argparse.Namespace) -> int:
    request = {"request": "reroute", "which": [arguments.domain], "to": _url(arguments.host)}
    return _report(
        ask(request), arguments, f"to go to {arguments.host}" if arguments.host else "to go as usual"
    )


def _scan(ask: Asker, arguments: argparse.Namespace) -> int:
    answer = ask({"request": "scan"})
    if arguments.json:
        print(json.dumps(answer))
    elif answer["status"]:
        _complain(answer)
    else:
        print(f"looking through {tables.counted(answer['domains'], 'domain')}")
    return int(answer["status"])


def _report(answer: Message, arguments: argparse.Namespace, done: str) -> int:
    if arguments.json:
        print(json.dumps(answer))
    else:
        if answer.get("letters"):
            print(f"{tables.counted(answer['letters'], 'letter')} {done}")
        if answer["text"]:
            _complain(answer)
    return int(answer["status"])


def _complain(answer: Message) -> int:
    print(f"mta: {tables.printable(answer['text'])}", file=sys.stderr)
    return int(answer["status"])
