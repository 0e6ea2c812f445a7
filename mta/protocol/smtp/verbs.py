"""The verbs: each one an object that knows its syntax, its help, its place in the order, its EHLO line,
its effect.

An effect checks the argument and returns either the reply, when the session can answer by itself, or the
event that asks the host; it raises Refusal when the command is wrong. To add a verb is to add one object
to VERBS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from mta.protocol import replies
from mta.protocol.address import NULL_PATH, Address, normal_literal, parse_path
from mta.protocol.events import Data, Question, Recipient, Sender, StartTls, Statistic, Verify
from mta.protocol.replies import Refusal, Reply
from mta.protocol.smtp import auth as smtp_auth
from mta.protocol.smtp import states
from mta.protocol.smtp.parameters import (
    AUTH_PARAMETERS,
    MAIL_PARAMETERS,
    RCPT_PARAMETERS,
    Keyword,
    Parameter,
    by_name,
    check_auth,
    notify_of,
    orcpt_of,
    parse_parameters,
)

if TYPE_CHECKING:
    from mta.protocol.smtp.server import SmtpServer


def _nothing(session: SmtpServer) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    name: str
    syntax: str
    help: str
    order: states.Order
    effect: Callable[[SmtpServer, bytes], Reply | Question]
    keyword: Keyword = _nothing
    offered: Callable[[SmtpServer], bool] | None = None
    """Whether this session knows the verb at all; None: every session does."""
    mail: bool = False
    """A verb of the mail transaction: what refuses it ends in the session id."""
    idle: bool = False
    """Moves no mail; too many of these are a flood."""

    def wrong(self, enhanced: str = "5.5.4") -> Refusal:
        """501 that names the right syntax."""
        return Refusal(Reply(501, enhanced, f"syntax: {self.syntax}"))

    def out_of_order(self, session: SmtpServer) -> Refusal:
        """503 that names the verbs which get further now."""
        getting_on = " ".join(
            verb.name
            for verb in VERBS.values()
            if session.state in verb.order and verb.order is not states.ANY_TIME and is_offered(verb, session)
        )
        return Refusal(Reply(503, "5.5.1", f"{self.name} is out of order; possible now: {getting_on}"))


def is_offered(verb: Verb, session: SmtpServer) -> bool:
    return verb.offered is None or verb.offered(session)


# --- naming


_client_name = re.compile(rb"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9_.])?").fullmatch
"""Laxer than a domain: mail is not refused for a name that clients get wrong (RFC 5321 4.1.4), as long as it
can do no harm in a Received line."""


def _name_of(verb: Verb, argument: bytes) -> bytes:
    if _client_name(argument):
        return argument
    literal = normal_literal(argument.decode("ascii", "replace"))
    if literal is None:
        raise verb.wrong()
    return literal.encode("ascii")


def _ehlo(session: SmtpServer, argument: bytes) -> Reply:
    session.helo = _name_of(EHLO, argument)
    session.extended = True
    return Reply(250, "", session.terms.hostname.decode("ascii"), *_keywords(session))


def _keywords(session: SmtpServer) -> Iterator[str]:
    for keyword in KEYWORDS:
        line = keyword(session)
        if line:
            yield line


def _helo(session: SmtpServer, argument: bytes) -> Reply:
    session.helo = _name_of(HELO, argument)
    session.extended = False
    return Reply(250, "", session.terms.hostname.decode("ascii"))


# --- envelope


_mail_parameters = by_name(MAIL_PARAMETERS)
_mail_parameters_with_auth = by_name(MAIL_PARAMETERS + AUTH_PARAMETERS)
_rcpt_parameters = by_name(RCPT_PARAMETERS)


def _path_of(verb: Verb, session: SmtpServer, argument: bytes, start: int) -> tuple[Address, bytes]:
    parsed = parse_path(argument, start, loose=session.trusted)
    if parsed is None:
        raise verb.wrong("5.1.7" if verb is MAIL else "5.1.3")
    return parsed


def _values(session: SmtpServer, rest: bytes, known: Mapping[bytes, Parameter]) -> dict[bytes, bytes]:
    if not rest:
        return {}
    if not session.extended:
        raise Refusal(replies.NO_PARAMETERS)
    return parse_parameters(rest, known)


def _mail(session: SmtpServer, argument: bytes) -> Sender:
    smtp_auth.require_login(session)
    if argument[:5].upper() != b"FROM:":
        raise MAIL.wrong()
    path, rest = _path_of(MAIL, session, argument, 5)
    values = _values(session, rest, _known_to(session))
    utf8 = b"SMTPUTF8" in values
    if not (utf8 or argument.isascii()):
        raise Refusal(replies.NON_ASCII)
    if b"AUTH" in values:
        check_auth(values[b"AUTH"])
    if not path.domain and path != NULL_PATH:
        raise MAIL.wrong("5.1.7")
    sender = Sender(path, _size(session, values.get(b"SIZE")), _body(values.get(b"BODY", b"7BIT")), utf8)
    return sender if _REPORTING.isdisjoint(values) else _reporting(sender, values)


def _known_to(session: SmtpServer) -> Mapping[bytes, Parameter]:
    return _mail_parameters if session.terms.login is None else _mail_parameters_with_auth


_REPORTING: Final = frozenset((b"RET", b"ENVID"))


def _reporting(sender: Sender, values: Mapping[bytes, bytes]) -> Sender:
    ret, envid = (values.get(name, b"").decode("ascii") for name in (b"RET", b"ENVID"))
    return sender._replace(ret=ret.upper(), envid=envid)


def _body(value: bytes) -> Literal["7BIT", "8BITMIME"]:
    return "8BITMIME" if value.upper() == b"8BITMIME" else "7BIT"


def _size(session: SmtpServer, digits: bytes | None) -> int | None:
    if digits is None:
        return None
    size = int(digits)
    if size > session.terms.message_limit:
        raise Refusal(replies.TOO_BIG)
    return size


def _rcpt(session: SmtpServer, argument: bytes) -> Recipient:
    if argument[:3].upper() != b"TO:":
        raise RCPT.wrong()
    address, rest = _path_of(RCPT, session, argument, 3)
    values = _values(session, rest, _rcpt_parameters)
    if address == NULL_PATH:
        raise RCPT.wrong("5.1.3")
    if not (session.smtputf8 or argument.isascii()):
        raise Refusal(replies.NON_ASCII)
    if session.recipients >= session.terms.recipient_limit:
        raise Refusal(replies.TOO_MANY_RECIPIENTS)
    if not address.domain or address.is_literal:
        address = _home(session, address)
    if not values:
        return Recipient(address)
    return Recipient(address, notify_of(values.get(b"NOTIFY", b"")), orcpt_of(values.get(b"ORCPT", b"")))


def _home(session: SmtpServer, address: Address) -> Address:
    """An address without a domain, or at a literal, as one of our first domain (RFC 5321 4.1.3, 4.5.1)."""
    terms = session.terms
    if address.is_literal:
        if address.literal_address not in terms.own_addresses:
            raise Refusal(replies.FOREIGN_LITERAL)
    elif not session.trusted and address.local.lower() != "postmaster":
        raise RCPT.wrong("5.1.3")
    return Address(address.local, terms.local_domain)


# --- text


_chunk = re.compile(rb"BDAT +([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE).fullmatch


def chunk_of(line: bytes) -> tuple[int, bool] | None:
    """Octets of the chunk that follows this line, and whether it is the last; None when the line is wrong."""
    found = _chunk(line)
    return (int(found[1]), found[2] is not None) if found else None


def _data(session: SmtpServer, argument: bytes) -> Data:
    if argument:
        raise DATA.wrong()
    return Data(chunked=False)


def _bdat(session: SmtpServer, argument: bytes) -> Data:
    if not session.extended:
        raise Refusal(replies.NOT_EXTENDED)
    if chunk_of(b"BDAT " + argument) is None:
        raise BDAT.wrong()
    return Data(chunked=True)


# --- the rest


def _rset(session: SmtpServer, argument: bytes) -> Reply:
    if argument:
        raise RSET.wrong()
    return replies.OK


def _noop(session: SmtpServer, argument: bytes) -> Reply:
    return replies.OK


def _quit(session: SmtpServer, argument: bytes) -> Reply:
    if argument:
        raise QUIT.wrong()
    return replies.BYE


def _vrfy(session: SmtpServer, argument: bytes) -> Reply | Verify:
    parsed = parse_path(argument, loose=True)
    if parsed is None or parsed[0] == NULL_PATH or parsed[1].upper() not in (b"", b"SMTPUTF8"):
        raise VRFY.wrong()
    address, rest = parsed
    if not (rest or argument.isascii()):
        raise Refusal(replies.NON_ASCII)
    if not session.trusted:
        return replies.CANNOT_VERIFY
    return Verify(address if address.domain and not address.is_literal else _home(session, address))


STATISTICS: Final = ("TOTAL", "CURRENT", "BYTES", "MAILS")


def _xstat(session: SmtpServer, argument: bytes) -> Statistic:
    name = argument.strip().upper().decode("ascii", "replace")
    if name not in STATISTICS:
        raise XSTAT.wrong()
    return Statistic(name)


def _help(session: SmtpServer, argument: bytes) -> Reply:
    if not argument:
        names = " ".join(verb.name for verb in VERBS.values() if is_offered(verb, session))
        return Reply(214, "2.0.0", f"verbs: {names}", "HELP VERB explains one")
    verb = VERBS.get(argument.upper())
    if verb is None or not is_offered(verb, session):
        raise Refusal(replies.NO_SUCH_HELP)
    return Reply(214, "2.0.0", f"syntax: {verb.syntax}", verb.help)


def _starttls(session: SmtpServer, argument: bytes) -> StartTls:
    if argument:
        raise STARTTLS.wrong()
    if session.tls:
        raise Refusal(replies.ALREADY_TLS)
    return StartTls()


EHLO: Final = Verb(
    name="EHLO",
    syntax="EHLO name",
    help="Says who you are and asks what this server can do; begins anew.",
    order=states.NAMING,
    effect=_ehlo,
    idle=True,
)
HELO: Final = Verb(
    name="HELO",
    syntax="HELO name",
    help="Says who you are, without extensions; begins anew.",
    order=states.NAMING,
    effect=_helo,
    idle=True,
)
MAIL: Final = Verb(
    name="MAIL",
    syntax="MAIL FROM:<address> [SIZE=n] [BODY=7BIT|8BITMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=xtext]",
    help="Begins a message; <> is the sender that wants no reports.",
    order=states.BEGINNING,
    effect=_mail,
    mail=True,
)
RCPT: Final = Verb(
    name="RCPT",
    syntax="RCPT TO:<address> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=type;xtext]",
    help="Names a recipient; say it once for each.",
    order=states.ADDRESSING,
    effect=_rcpt,
    mail=True,
)
DATA: Final = Verb(
    name="DATA",
    syntax="DATA",
    help="Then the message, after the reply 354; a line that holds only a dot ends it.",
    order=states.SENDING,
    effect=_data,
    mail=True,
)
BDAT: Final = Verb(
    name="BDAT",
    syntax="BDAT octets [LAST]",
    help="Then exactly so many octets of the message, without waiting.",
    order=states.CHUNKING,
    effect=_bdat,
    keyword=lambda session: "" if session.terms.datagrams else "CHUNKING",
    offered=lambda session: not session.terms.datagrams,
    mail=True,
)
RSET: Final = Verb(
    name="RSET",
    syntax="RSET",
    help="Forgets the message begun.",
    order=states.RESETTING,
    effect=_rset,
    idle=True,
)
NOOP: Final = Verb(
    name="NOOP",
    syntax="NOOP [anything]",
    help="Does nothing.",
    order=states.ANY_TIME,
    effect=_noop,
    idle=True,
)
VRFY: Final = Verb(
    name="VRFY",
    syntax="VRFY address",
    help="Asks whether a mailbox is here; strangers are not told.",
    order=states.ANY_TIME,
    effect=_vrfy,
    idle=True,
)
XSTAT: Final = Verb(
    name="XSTAT",
    syntax="XSTAT TOTAL|CURRENT|BYTES|MAILS",
    help="Tells connections since the start, connections now, octets and messages accepted.",
    order=states.ANY_TIME,
    effect=_xstat,
    offered=lambda session: session.trusted,
    idle=True,
)
HELP: Final = Verb(
    name="HELP",
    syntax="HELP [verb]",
    help="Lists the verbs, or explains one.",
    order=states.ANY_TIME,
    effect=_help,
    keyword=lambda session: "HELP",
    idle=True,
)
STARTTLS: Final = Verb(
    name="STARTTLS",
    syntax="STARTTLS",
    help="Goes on under TLS, and begins anew there.",
    order=states.SECURING,
    effect=_starttls,
    keyword=lambda session: "STARTTLS" if session.terms.starttls and not session.tls else "",
    offered=lambda session: session.terms.starttls,
)
AUTH: Final = Verb(
    name="AUTH",
    syntax=smtp_auth.SYNTAX,
    help="Logs in; * cancels.",
    order=states.IDENTIFYING,
    effect=smtp_auth.begin,
    keyword=smtp_auth.keyword,
    offered=lambda session: session.terms.login is not None,
)
QUIT: Final = Verb(
    name="QUIT",
    syntax="QUIT",
    help="Ends the session.",
    order=states.LEAVING,
    effect=_quit,
)

VERBS: Final = {
    verb.name.encode("ascii"): verb
    for verb in (EHLO, HELO, MAIL, RCPT, DATA, BDAT, RSET, NOOP, VRFY, XSTAT, HELP, STARTTLS, AUTH, QUIT)
}

KEYWORDS: Final[tuple[Keyword, ...]] = (
    lambda session: "" if session.terms.datagrams else "PIPELINING",
    lambda session: "ENHANCEDSTATUSCODES",
    lambda session: f"LIMITS RCPTMAX={session.terms.recipient_limit}",
    *(parameter.keyword for parameter in MAIL_PARAMETERS + RCPT_PARAMETERS),
    *(verb.keyword for verb in VERBS.values()),
)
"""What EHLO lists: extensions that are a promise only, then those with a parameter, then those with a
verb."""

TABLE: Final = {(state, verb.name): after for verb in VERBS.values() for state, after in verb.order.items()}
"""The order of commands as a whole, for whoever wants to draw it."""
