"""ESMTP parameters of MAIL and RCPT (RFC 5321 4.1.2): each one an object, read strictly.

A value is accepted only when it matches its pattern whole: `int()` and `isdigit()` take signs,
underscores and digits of other scripts, so no number is read before the pattern has seen it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from mta.protocol.replies import Refusal, Reply

if TYPE_CHECKING:
    from mta.protocol.smtp_server import SmtpServer

Keyword: TypeAlias = "Callable[[SmtpServer], str]"
"""The line an object adds to the reply to EHLO; empty when it is not offered now."""

_well_formed = re.compile(rb"[A-Za-z0-9][A-Za-z0-9-]*(?:=[!-<>-~]+)?").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter: its name, how it is written, what its value must match (None: it has no value)."""

    name: bytes
    syntax: str
    value: re.Pattern[bytes] | None
    keyword: Keyword

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

MAIL_PARAMETERS: Final = (SIZE, BODY, SMTPUTF8)
RCPT_PARAMETERS: Final[tuple[Parameter, ...]] = ()


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
