"""The verbs of POP3: each one an object that knows its syntax, its place in the order, its line of CAPA, its
effect.

An effect checks the argument and returns a reply, or the lines of a long one, when the session can answer by
itself; or the question that the host has to answer; it raises Refusal when the command is wrong. To add a
verb is to add one object to VERBS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from mta.protocol.events import StartTls
from mta.protocol.pop3 import replies, states
from mta.protocol.pop3.events import Question, Retrieve, Update
from mta.protocol.pop3.replies import Refusal, Reply, err, ok
from mta.protocol.sasl import Password

if TYPE_CHECKING:
    from mta.protocol.pop3.server import Pop3Server


class Lines(NamedTuple):
    """A reply of several lines (RFC 1939 3); they come in portions, as there may be very many."""

    first: Reply
    portions: Iterator[bytes]
    """Whole lines with their ends, none of which begins with a dot."""


Outcome: TypeAlias = Reply | Lines | Question | None
"""None: the exchange of an AUTH has sent what there is to say."""


def _nothing(session: Pop3Server) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verb:
    """There is one of each, so they are told apart by identity."""

    name: str
    syntax: str
    help: str
    order: states.Order
    effect: Callable[[Pop3Server, bytes], Outcome]
    capability: Callable[[Pop3Server], str] = _nothing
    """Its line of CAPA in this session now; empty for none."""

    def wrong(self) -> Refusal:
        """The reply that names the right syntax."""
        return Refusal(err(f"syntax: {self.syntax}. {self.help}"))

    def out_of_order(self, session: Pop3Server) -> Refusal:
        """The reply that names the verbs which get further now."""
        possible = " ".join(verb.name for verb in VERBS.values() if session.state in verb.order)
        return Refusal(err(f"{self.name} is out of order; possible now: {possible}"))


def _bare(verb: Verb, argument: bytes) -> None:
    """A verb that takes no argument."""
    if argument:
        raise verb.wrong()


# --- before the login


def _user(session: Pop3Server, argument: bytes) -> Reply:
    if not argument:
        raise USER.wrong()
    if not session.takes_passwords:
        raise Refusal(replies.NEEDS_TLS)
    session.user = argument.decode("utf-8")
    return ok("now the password")  # whoever it is: names are not for guessing (RFC 1939 13)


def _pass(session: Pop3Server, argument: bytes) -> Question:
    """The whole rest of the line is the password, spaces too (RFC 1939 7)."""
    if not argument:
        raise PASS.wrong()
    session.mechanism = USER.name
    return Password(session.user, argument.decode("utf-8"))


def _auth(session: Pop3Server, argument: bytes) -> Outcome:
    """Without an argument the mechanisms are listed, as clients older than CAPA ask for them."""
    if not argument:
        return Lines(ok("mechanisms"), _portions(session.mechanisms))
    name, given, initial = argument.partition(b" ")
    mechanism = name.decode("utf-8").upper()
    if mechanism not in session.mechanisms:
        raise Refusal(replies.NO_MECHANISM if session.takes_passwords else replies.NEEDS_TLS)
    return session.begin_exchange(mechanism, initial if given else None)


def _stls(session: Pop3Server, argument: bytes) -> StartTls:
    _bare(STLS, argument)
    if session.tls:
        raise Refusal(replies.ALREADY_TLS)
    if not session.terms.starttls:
        raise Refusal(replies.UNKNOWN)
    return StartTls()


def _utf8(session: Pop3Server, argument: bytes) -> Reply:
    _bare(UTF8, argument)
    session.utf8 = True
    return ok("header fields may be UTF-8")


# --- at any time


def _capa(session: Pop3Server, argument: bytes) -> Lines:
    _bare(CAPA, argument)
    return Lines(ok("capabilities"), _portions(capabilities(session)))


LANGUAGES: Final = {"i-default": "Default language", "en": "English"}


def _lang(session: Pop3Server, argument: bytes) -> Reply | Lines:
    """RFC 6856 3. `*` asks for the server's choice."""
    if not argument:
        return Lines(ok("languages"), _portions(f"{tag} {name}" for tag, name in LANGUAGES.items()))
    tag = "i-default" if argument == b"*" else argument.decode("utf-8").lower()
    if tag not in LANGUAGES:
        raise Refusal(replies.NO_LANGUAGE)
    return ok(f"{tag} language chosen")


def _quit(session: Pop3Server, argument: bytes) -> Reply | Update:
    _bare(QUIT, argument)
    if session.state is states.TRANSACTION:
        return Update(sorted(session.deleted))
    return replies.BYE


# --- with the mail drop

_number: Final = re.compile(rb"[1-9][0-9]{0,9}").fullmatch
_count: Final = re.compile(rb"[0-9]{1,19}").fullmatch
_PORTION: Final = 500
"""Lines made at once of a listing that may have a hundred thousand."""


def _position(verb: Verb, session: Pop3Server, digits: bytes) -> int:
    if not _number(digits):
        raise verb.wrong()
    position = int(digits) - 1
    if position >= len(session.listing.sizes):
        raise Refusal(err(f"no such message, there are {len(session.listing.sizes)}"))
    if position in session.deleted:
        raise Refusal(err(f"message {position + 1} is deleted"))
    return position


def _stat(session: Pop3Server, argument: bytes) -> Reply:
    _bare(STAT, argument)
    return ok(f"{session.messages} {session.octets}")


def _list(session: Pop3Server, argument: bytes) -> Reply | Lines:
    if argument:
        position = _position(LIST, session, argument)
        return ok(f"{position + 1} {session.listing.sizes[position]}")
    return Lines(ok(f"{session.messages} messages ({session.octets} octets)"), _listed(session, _size_line))


def _uidl(session: Pop3Server, argument: bytes) -> Reply | Lines:
    if argument:
        position = _position(UIDL, session, argument)
        return ok(f"{position + 1} {session.listing.identities[position]}")
    return Lines(ok(f"{session.messages} messages"), _listed(session, _identity_line))


def _size_line(session: Pop3Server, position: int) -> str:
    return f"{position + 1} {session.listing.sizes[position]}\r\n"


def _identity_line(session: Pop3Server, position: int) -> str:
    return f"{position + 1} {session.listing.identities[position]}\r\n"


def _listed(session: Pop3Server, line: Callable[[Pop3Server, int], str]) -> Iterator[bytes]:
    total, deleted = len(session.listing.sizes), session.deleted
    for start in range(0, total, _PORTION):
        portion = range(start, min(start + _PORTION, total))
        yield "".join(line(session, at) for at in portion if at not in deleted).encode("ascii")


def _retr(session: Pop3Server, argument: bytes) -> Retrieve:
    return Retrieve(_position(RETR, session, argument), None, session.utf8)


def _top(session: Pop3Server, argument: bytes) -> Retrieve:
    number, _, lines = argument.partition(b" ")
    if not _count(lines):
        raise TOP.wrong()
    return Retrieve(_position(TOP, session, number), int(lines), session.utf8)


def _dele(session: Pop3Server, argument: bytes) -> Reply:
    position = _position(DELE, session, argument)
    session.mark(position)
    return ok(f"message {position + 1} is deleted")


def _rset(session: Pop3Server, argument: bytes) -> Reply:
    _bare(RSET, argument)
    session.unmark_all()
    return ok(f"{session.messages} messages ({session.octets} octets)")


def _noop(session: Pop3Server, argument: bytes) -> Reply:
    _bare(NOOP, argument)
    return replies.NOTHING


def _portions(lines: Iterable[str]) -> Iterator[bytes]:
    yield "".join(f"{line}\r\n" for line in lines).encode("ascii")


CAPA: Final = Verb(
    name="CAPA",
    syntax="CAPA",
    help="Asks what this server can do.",
    order=states.ANY_TIME,
    effect=_capa,
)
USER: Final = Verb(
    name="USER",
    syntax="USER name",
    help="Says who you are.",
    order=states.NAMING,
    effect=_user,
    capability=lambda session: "USER" if session.takes_passwords else "",
)
PASS: Final = Verb(
    name="PASS",
    syntax="PASS password",
    help="Logs in, right after USER.",
    order=states.PROVING,
    effect=_pass,
)
AUTH: Final = Verb(
    name="AUTH",
    syntax="AUTH mechanism [initial response]",
    help="Logs in (RFC 5034).",
    order=states.AUTHORIZING,
    effect=_auth,
    capability=lambda session: " ".join(("SASL", *session.mechanisms)) if session.mechanisms else "",
)
STLS: Final[Verb] = Verb(
    name="STLS",
    syntax="STLS",
    help="Goes on under TLS, and begins anew there.",
    order=states.SECURING,
    effect=_stls,
    capability=lambda session: (
        "STLS" if session.terms.starttls and not session.tls and session.state in STLS.order else ""
    ),
)
UTF8: Final = Verb(
    name="UTF8",
    syntax="UTF8",
    help="Takes header fields in UTF-8 (RFC 6856).",
    order=states.PREPARING,
    effect=_utf8,
    capability=lambda session: "UTF8 USER",
)
LANG: Final = Verb(
    name="LANG",
    syntax="LANG [tag]",
    help="Lists the languages of the replies, or chooses one.",
    order=states.ANY_TIME,
    effect=_lang,
    capability=lambda session: "LANG",
)
STAT: Final = Verb(
    name="STAT",
    syntax="STAT",
    help="Counts the messages and their octets.",
    order=states.READING,
    effect=_stat,
)
LIST: Final = Verb(
    name="LIST",
    syntax="LIST [message]",
    help="Tells the octets of each message.",
    order=states.READING,
    effect=_list,
)
UIDL: Final = Verb(
    name="UIDL",
    syntax="UIDL [message]",
    help="Tells the unique-id of each message.",
    order=states.READING,
    effect=_uidl,
    capability=lambda session: "UIDL",
)
RETR: Final = Verb(
    name="RETR",
    syntax="RETR message",
    help="Sends a message.",
    order=states.READING,
    effect=_retr,
)
TOP: Final = Verb(
    name="TOP",
    syntax="TOP message lines",
    help="Sends the header of a message and so many lines of its body.",
    order=states.READING,
    effect=_top,
    capability=lambda session: "TOP",
)
DELE: Final = Verb(
    name="DELE",
    syntax="DELE message",
    help="Marks a message, which QUIT removes.",
    order=states.READING,
    effect=_dele,
)
RSET: Final = Verb(
    name="RSET",
    syntax="RSET",
    help="Takes all marks back.",
    order=states.READING,
    effect=_rset,
)
NOOP: Final = Verb(
    name="NOOP",
    syntax="NOOP",
    help="Does nothing.",
    order=states.READING,
    effect=_noop,
)
QUIT: Final = Verb(
    name="QUIT",
    syntax="QUIT",
    help="Removes what is marked, and ends the session.",
    order=states.LEAVING,
    effect=_quit,
)

VERBS: Final = {
    verb.name.encode("ascii"): verb
    for verb in (
        *(CAPA, USER, PASS, AUTH, STLS, UTF8, LANG),
        *(STAT, LIST, UIDL, RETR, TOP, DELE, RSET, NOOP, QUIT),
    )
}

PROMISES: Final = ("PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER", "IMPLEMENTATION mta")
"""Lines of CAPA that come with no verb: RFC 2449 6, RFC 3206."""

TABLE: Final = {(state, verb.name): after for verb in VERBS.values() for state, after in verb.order.items()}
"""The order of commands as a whole, for whoever wants to draw it."""


def capabilities(session: Pop3Server) -> Iterator[str]:
    """The lines of CAPA in this session now."""
    return chain(filter(None, (verb.capability(session) for verb in VERBS.values())), PROMISES)
