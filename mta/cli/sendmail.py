"""`mta sendmail`: what other programs expect at the name sendmail, by SMTP.

A message from standard input goes to the first SMTP listener of the configuration that loopback reaches. It
is sent to all of its recipients or to none: who calls this learns one exit status only, and would send it
again to those who have it already. Exit statuses are those of sysexits.h, 75 when the server cannot take it
now.
"""

from __future__ import annotations

import getopt
import os
import pwd
import re
import smtplib
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formataddr, formatdate, getaddresses, make_msgid
from ipaddress import ip_address
from typing import Final

from mta.config import Settings
from mta.config.units import Endpoint
from mta.daemon.errors import CONFIGURATION, NOT_PERMITTED, TEMPORARY, CannotStart
from mta.daemon.reload import Source

USAGE: Final = 64
DATA: Final = 65
NO_USER: Final = 67
UNAVAILABLE: Final = 69

_PATIENCE: Final = 300.0
"""Seconds for each reply: that to the end of the data may take long (RFC 5321 4.5.3.2.6)."""

_TAKING_VALUES: Final = "ABCDFLMNORVXbdfhopr"
_FLAGS: Final = "GUimnstv"
"""Those that are not known to `_take` have no meaning here, or say what is done anyway."""
_USAGE_TEXT: Final = """\
usage: mta sendmail [-ti] [-f SENDER] [-F NAME] [-N NOTIFY] [-R RET] [-V ENVID] [ADDRESS ...]
       mta sendmail -bp | -q

Send a message from standard input, or show the queue, or try all of it now. See mta-sendmail(8)."""

_NOBODY = re.compile(r'[^",:;<>()]*:\s*;')
"""A group without members: `undisclosed-recipients:;`."""
_COMMAS = re.compile(r",(\s*,)+")
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_LINE_END = re.compile(rb"\r\n?|\n")
_RECIPIENTS: Final = ("to", "cc", "bcc")
_HIDDEN: Final = ("bcc", "resent-bcc")


@dataclass
class Options:
    """What the command line says."""

    recipients: list[str]
    sender: str | None = None
    """`-f`; empty for `<>`."""
    name: str = ""
    """`-F`: of the sender, as people write it."""
    from_header: bool = False
    """`-t`: the header names recipients too."""
    dots: bool = False
    """`-i`: a line with a dot alone does not end the message."""
    mode: str = "m"
    """`-b`: m to send, p to show the queue."""
    retry: bool = False
    """`-q`."""
    notify: str = ""
    ret: str = ""
    envid: str = ""


def run(source: Source, words: Sequence[str]) -> int:
    """Do as sendmail would. Raises ConfigError or CannotStart."""
    if list(words) in (["--help"], ["-h"]):
        print(_USAGE_TEXT)
        return 0
    options = parse(words)
    if options.retry or options.mode == "p":
        from mta.cli import queue

        return queue.run(source, ["retry", "--all"] if options.retry else ["list"])
    if options.mode != "m":
        raise CannotStart(USAGE, f"sendmail: -b{options.mode} is not offered")
    return _send(source.load().settings, options)


# the command line


def parse(words: Sequence[str]) -> Options:
    """The options of sendmail, with or without a blank before their values. Raises CannotStart."""
    # -q and -d may have a value, but only without a blank, which getopt does not know.
    end = words.index("--") if "--" in words else len(words)
    odd = [word for word in words[:end] if word.startswith(("-q", "-d"))]
    plain = [*(word for word in words[:end] if word not in odd), *words[end:]]
    shape = _FLAGS + "".join(f"{letter}:" for letter in _TAKING_VALUES)
    try:
        pairs, rest = getopt.gnu_getopt(plain, shape)
    except getopt.GetoptError as error:
        raise CannotStart(USAGE, f"sendmail: {error}") from error
    recipients = [address for word in rest for address in _addresses(word)]
    options = Options(recipients, retry=any(word.startswith("-q") for word in odd))
    for flag, value in pairs:
        _take(options, flag[1], value)
    return options


def _take(options: Options, letter: str, value: str) -> None:
    match letter:
        case "t":
            options.from_header = True
        case "i":
            options.dots = True
        case "o":
            options.dots = options.dots or value == "i"
        case "f" | "r":
            options.sender = "" if value == "<>" else value
        case "F":
            options.name = value
        case "b":
            options.mode = value
        case "N":
            options.notify = value.upper()
        case "R":
            options.ret = value.upper()
        case "V":
            options.envid = value


# the message


def _send(settings: Settings, options: Options) -> int:
    domain = settings.local.domains[0]
    sender = _complete(options.sender if options.sender is not None else _user(), domain)
    header, body = split(_input(dots=options.dots))
    recipients = list(options.recipients)
    if options.from_header:
        recipients += recipients_in(header)
        header = [field for field in header if _name(field) not in _HIDDEN]
    recipients = list(dict.fromkeys(_complete(address, domain) for address in recipients))
    if not recipients:
        raise CannotStart(USAGE, "sendmail: nobody to send it to; name recipients, or use -t")
    header += missing(header, sender or _complete(_user(), domain), options.name, domain)
    submit(settings, options, sender, recipients, b"".join(header) + b"\r\n" + body)
    return 0


def _input(*, dots: bool) -> bytes:
    """Standard input with CRLF line ends; without `dots`, up to a line with a dot alone."""
    text = _LINE_END.sub(b"\r\n", sys.stdin.buffer.read())
    if text and not text.endswith(b"\r\n"):
        text += b"\r\n"
    return text if dots else re.split(rb"(?m)^\.\r\n", text, maxsplit=1)[0]


def split(text: bytes) -> tuple[list[bytes], bytes]:
    """The fields of the header, each with its folds, and the body; line ends are CRLF.

    The header ends where a line is none of it, whether or not that line is empty."""
    lines = text.splitlines(keepends=True)
    if lines and lines[0].startswith(b"From "):
        del lines[0]  # what separates messages in a file of them
    fields: list[bytes] = []
    for number, line in enumerate(lines):
        if fields and line[:1] in (b" ", b"\t"):
            fields[-1] += line
        elif _FIELD.match(line):
            fields.append(line)
        else:
            return fields, b"".join(lines[number + (line == b"\r\n") :])
    return fields, b""


def recipients_in(header: Iterable[bytes]) -> list[str]:
    """The addresses that the header names as recipients; of one that was sent on, those it was sent on to."""
    fields = [(_name(field), _value(field)) for field in header]
    resent = [value for name, value in fields if name.removeprefix("resent-") in _RECIPIENTS and "-" in name]
    first = [value for name, value in fields if name in _RECIPIENTS]
    return [address for value in resent or first for address in _addresses(value)]


def _addresses(text: str) -> list[str]:
    """The addresses of a list, as people write them. Raises CannotStart when one cannot be read: it is sent
    to all of them or to none."""
    spared = _COMMAS.sub(",", _NOBODY.sub("", text)).strip(", ")  # RFC 5322 4.4: a comma too many is fine
    for each in (text, spared):
        found = [address for _, address in getaddresses([each])]
        if all(found):
            return found
    raise CannotStart(DATA, f"sendmail: {text[:80]!a} has something that is no address")


def missing(header: Iterable[bytes], sender: str, name: str, domain: str) -> list[bytes]:
    """The fields that every message has, as far as these lack them (RFC 5322 3.6, RFC 6409 8); `domain` is
    ours."""
    there = {_name(field) for field in header}
    made = {
        "From": formataddr((name, sender)) if sender.isascii() else f"<{sender}>",
        "Date": formatdate(localtime=True),
        "Message-ID": make_msgid(domain=domain),
    }
    return [f"{key}: {value}\r\n".encode() for key, value in made.items() if key.lower() not in there]


def _name(field: bytes) -> str:
    return field.partition(b":")[0].strip().decode("ascii").lower()


def _value(field: bytes) -> str:
    return " ".join(field.partition(b":")[2].decode(errors="surrogateescape").split())


def _complete(address: str, domain: str) -> str:
    """The address with our first domain if it has none. Raises CannotStart for one that nobody can have."""
    address = address.removeprefix("<").removesuffix(">") if address.startswith("<") else address
    if not address.isprintable() or (" " in address and not address.startswith('"')):
        raise CannotStart(DATA, f"sendmail: {address!r} is no address")
    return f"{address}@{domain}" if address and "@" not in address else address


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise CannotStart(NO_USER, f"sendmail: user {os.getuid()} has no name; use -f") from None


# SMTP


def submit(settings: Settings, options: Options, sender: str, recipients: list[str], text: bytes) -> None:
    """Hand it over to all of them or to nobody. Raises CannotStart."""
    listener = _listener(settings)
    try:
        session = smtplib.SMTP(listener.host, listener.port, settings.hostname, _PATIENCE)
        try:
            session.ehlo_or_helo_if_needed()
            _offer(session, options, sender, recipients, text)
        finally:
            _part(session)
    except smtplib.SMTPDataError as error:
        _require((error.smtp_code, _octets(error.smtp_error)), "the message")
    except OSError as error:  # all of smtplib's are such
        raise CannotStart(
            TEMPORARY, f"sendmail: {listener}: no server takes it now: {error.strerror or error}"
        ) from error


def _part(session: smtplib.SMTP) -> None:
    """What is said now changes nothing any more."""
    with suppress(OSError):
        session.quit()
    session.close()


def _listener(settings: Settings) -> Endpoint:
    """The first one that loopback reaches."""
    for endpoint in settings.smtp.listen:
        if endpoint.is_loopback:
            return endpoint
        if ip_address(endpoint.host).is_unspecified:
            return Endpoint("::1" if ":" in endpoint.host else "127.0.0.1", endpoint.port)
    raise CannotStart(CONFIGURATION, "sendmail: smtp.listen has no address that loopback reaches")


def _offer(session: smtplib.SMTP, options: Options, sender: str, recipients: list[str], text: bytes) -> None:
    if not session.has_extn("smtputf8") and not all(map(str.isascii, (sender, *recipients))):
        raise CannotStart(UNAVAILABLE, "sendmail: the server takes no such addresses: it lacks SMTPUTF8")
    _require(session.mail(sender, _mail_options(session, options, sender, recipients, text)), sender)
    wishes = [f"NOTIFY={options.notify}"] if options.notify and session.has_extn("dsn") else []
    for address in recipients:
        _require(session.rcpt(address, wishes), address, refused=NO_USER)
    _require(session.data(text), "the message")


def _mail_options(
    session: smtplib.SMTP, options: Options, sender: str, recipients: list[str], text: bytes
) -> list[str]:
    wanted = {
        "size": f"SIZE={len(text)}",
        "8bitmime": "" if text.isascii() else "BODY=8BITMIME",
        "smtputf8": "" if all(map(str.isascii, (sender, *recipients))) else "SMTPUTF8",
        "dsn": " ".join(_dsn(options)),
    }
    return [parameter for name, parameter in wanted.items() if parameter and session.has_extn(name)]


def _dsn(options: Options) -> list[str]:
    return [
        *([f"RET={options.ret}"] if options.ret else []),
        *([f"ENVID={_xtext(options.envid)}"] if options.envid else []),
    ]


def _xtext(text: str) -> str:
    """RFC 3461 4."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)


def _require(answer: tuple[int, bytes], what: str, refused: int = UNAVAILABLE) -> None:
    """Raises CannotStart when the server has not taken it."""
    code, said = answer
    if code < 300:
        return
    # 5.7: it knows the address, but not for us (RFC 3463 3.8).
    status = TEMPORARY if code < 500 else NOT_PERMITTED if said.startswith(b"5.7.") else refused
    raise CannotStart(status, f"sendmail: {what}: {code} {_said(said)}")


def _octets(said: bytes | str) -> bytes:
    return said if isinstance(said, bytes) else said.encode()


def _said(reply: bytes) -> str:
    return " ".join(reply.decode(errors="replace").split())
