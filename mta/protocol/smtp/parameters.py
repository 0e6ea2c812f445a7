"""ESMTP parameters of MAIL and RCPT (RFC 5321 4.1.2): each one an object, read strictly.

A value is accepted only when it matches its pattern whole: `int()` and `isdigit()` take signs,
underscores and digits of other scripts, so no number is read before the pattern has seen it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from mta.protocol.address import parse_path
from mta.protocol.replies import Refusal, Reply

if TYPE_CHECKING:
    from mta.protocol.smtp.server import SmtpServer

Keyword: TypeAlias = "Callable[[SmtpServer], str]"
"""The line an object adds to the reply to EHLO; empty when it is not offered now."""

_well_formed = re.compile(rb"[A-Za-z0-9][A-Za-z0-9-]*(?:=[!-<>-~\x80-\xff]+)?").fullmatch

_XTEXT: Final = rb"(?:[!-*,-<>-~]|\+(?:[2-6][0-9A-F]|7[0-9A-E]))"
"""One character of xtext (RFC 3461 4). What hides behind a plus sign is a printable character too, so that no
value holds a line end, however it is decoded later."""
_ORCPT_LIMIT: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter: its name, how it is written, what its value must match (None: it has no value)."""

    name: bytes
    syntax: str
    value: re.Pattern[bytes] | None
    keyword: Keyword = lambda session: ""

    def allows(self, value: bytes | None) -> bool:
        """None: given without a value."""
        if self.value is None:
            return value is None
        return value is not None and self.value.fullmatch(value) is not None


SIZE: Final = Parameter(
    name=b"SIZE",
    syntax="SIZE=number",
    value=re.compile(rb"[0-9]{1,20}"),
    keyword=lambda session: f"SIZE {session.terms.message_limit}",
)
BODY: Final = Parameter(
    name=b"BODY",
    syntax="BODY=7BIT or BODY=8BITMIME",
    value=re.compile(rb"7BIT|8BITMIME", re.IGNORECASE),
    keyword=lambda session: "8BITMIME",
)
SMTPUTF8: Final = Parameter(
    name=b"SMTPUTF8", syntax="SMTPUTF8 without a value", value=None, keyword=lambda session: "SMTPUTF8"
)

# What the sender wants to be told (RFC 3461 4).
RET: Final = Parameter(
    name=b"RET",
    syntax="RET=FULL or RET=HDRS",
    value=re.compile(rb"FULL|HDRS", re.IGNORECASE),
    keyword=lambda session: "DSN",
)
ENVID: Final = Parameter(
    name=b"ENVID",
    syntax="ENVID=xtext, at most 100 characters",
    value=re.compile(rb"(?=.{1,100}\Z)%b+" % _XTEXT),
)
NOTIFY: Final = Parameter(
    name=b"NOTIFY",
    syntax="NOTIFY=NEVER, or some of NOTIFY=SUCCESS,FAILURE,DELAY",
    value=re.compile(rb"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*", re.IGNORECASE),
)
ORCPT: Final = Parameter(
    name=b"ORCPT",
    syntax="ORCPT=type;xtext, at most 500 characters",
    value=re.compile(
        rb"(?=.{1,%d}\Z)(?:[A-Za-z0-9][A-Za-z0-9-]*;%b+|(?i:utf-8);(?:%b|[\x80-\xff])+)"
        % (_ORCPT_LIMIT, _XTEXT, _XTEXT)
    ),
)

# Who has sent it, in the eyes of the client (RFC 4954 5).
AUTH: Final = Parameter(
    name=b"AUTH", syntax="AUTH=<> or AUTH=address as xtext", value=re.compile(rb"<>|%b{1,500}" % _XTEXT)
)

MAIL_PARAMETERS: Final = (SIZE, BODY, SMTPUTF8, RET, ENVID)
RCPT_PARAMETERS: Final = (NOTIFY, ORCPT)
AUTH_PARAMETERS: Final = (AUTH,)
"""Of MAIL, where AUTH is offered; its keyword is that of the verb."""


def by_name(parameters: tuple[Parameter, ...]) -> Mapping[bytes, Parameter]:
    return {parameter.name: parameter for parameter in parameters}


def parse_parameters(octets: bytes, known: Mapping[bytes, Parameter]) -> dict[bytes, bytes]:
    """Upper-case names and their values (b"" without one).

    Raises Refusal: 501 for a form that is no parameter, a wrong value or a repetition; 555 for an unknown one
    (RFC 5321 4.1.1.11)."""
    values: dict[bytes, bytes] = {}
    for word in octets.split():
        if not _well_formed(word):
            raise Refusal(Reply(501, "5.5.4", "a parameter is written name or name=value"))
        name, equals, value = word.partition(b"=")
        parameter = known.get(name.upper())
        if parameter is None:
            raise Refusal(Reply(555, "5.5.4", f"parameter {name.decode('ascii')} is not known here"))
        if parameter.name in values:
            raise Refusal(Reply(501, "5.5.4", f"{name.decode('ascii')} is given twice"))
        if not parameter.allows(value if equals else None):
            raise Refusal(Reply(501, "5.5.4", f"syntax: {parameter.syntax}"))
        values[parameter.name] = value
    return values


def notify_of(value: bytes) -> str:
    """The value of NOTIFY in upper case, each word once."""
    return ",".join(dict.fromkeys(value.decode("ascii").upper().split(",")))


def orcpt_of(value: bytes) -> str:
    r"""The value of ORCPT in ASCII: what is not becomes `\x{...}`, which every host can take (RFC 6533 3).

    Raises Refusal."""
    wrong = Refusal(Reply(501, "5.5.4", f"syntax: {ORCPT.syntax}"))
    try:
        text = "".join(c if c.isascii() else rf"\x{{{ord(c):X}}}" for c in value.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise wrong from error
    if len(text) > _ORCPT_LIMIT:
        raise wrong
    return text


def original_recipient(address: str) -> str:
    """ORCPT for a recipient that had none and is sent on under another address (RFC 3461 4.2); empty for one
    that is not ASCII."""
    if not address.isascii():
        return ""
    xtext = "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in address)
    return f"rfc822;{xtext}"


def check_auth(value: bytes) -> None:
    """The value of AUTH must be an address. It is believed of nobody, and so goes no further (RFC 4954 5).

    Raises Refusal."""
    path = b"<%b>" % _xtext_decoded(value) if value != b"<>" else value
    parsed = parse_path(path)
    if parsed is None or parsed[1]:
        raise Refusal(Reply(501, "5.5.4", f"syntax: {AUTH.syntax}"))


def _xtext_decoded(value: bytes) -> bytes:
    return re.sub(rb"\+([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode("ascii")), value)
