"""HTTP as far as a scraper needs it (RFC 9112), as a value: one request in octets, its answer in octets.

A connection carries one request without a body and ends. Whatever else a client sends is answered by a status
and thrown away, and a request that does not end is cut off. No header but Accept means anything here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from mta.protocol.asking import AskingSession
from mta.protocol.events import NEED_DATA, Signal

HEAD_LIMIT: Final = 8192
"""Octets of a request's line and headers."""
_METHODS: Final = ("GET", "HEAD")
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
PLAIN: Final = "text/plain; charset=utf-8"

_request_line = re.compile(r"([A-Z]{1,20}) (/[!-~]{0,2000}) HTTP/([0-9])\.[0-9]").fullmatch
_accept = re.compile(r"^accept[ \t]*:(.*)$", re.IGNORECASE | re.MULTILINE)
_end_of_head = re.compile(rb"\r?\n\r?\n")


class Request(NamedTuple):
    """GET or HEAD: answer with `reply`."""

    path: str
    """Without the query; not decoded."""
    accept: str
    """What the client takes, "" when it does not say."""


class Answer(NamedTuple):
    status: int
    content: bytes
    kind: str = PLAIN


class HttpSession(AskingSession[Request]):
    """One request."""

    __slots__ = ("_bare",)

    def __init__(self) -> None:
        super().__init__()
        self._bare = False
        """The answer has no content (HEAD)."""

    # --- the host's side

    def reply(self, answer: Answer) -> None:
        """Answers the request; then comes Closed."""
        self._asked = None
        head = "\r\n".join(_head(answer)).encode("ascii")
        self._send_octets(head + (b"" if self._bare else answer.content))
        self._close("served")

    def refuse(self, status: int) -> None:
        """Instead of serving."""
        self.reply(Answer(status, f"{_REASONS[status]}\n".encode()))

    def tls_started(self) -> None:
        """Never: this is served in the clear."""

    def time_out(self) -> None:
        """The client was silent too long."""
        self.refuse(408)

    # --- the request

    def _read(self) -> Request | Signal | None:
        end = _end_of_head.search(self._input, 0, HEAD_LIMIT)
        if end is not None:
            return self._serve(self._input[: end.start()].decode("latin-1"))
        if len(self._input) >= HEAD_LIMIT:
            self.refuse(431)
        elif self._eof:
            self._close("lost")
        else:
            return NEED_DATA
        return None

    def _serve(self, head: str) -> Request | None:
        line = _request_line(head.partition("\n")[0].rstrip("\r"))
        if line is None:
            self.refuse(400)
        elif line[3] != "1":
            self.refuse(505)
        elif line[1] not in _METHODS:
            self.refuse(405)
        else:
            self._bare = line[1] == "HEAD"
            accept = _accept.search(head)
            return self._ask(Request(line[2].partition("?")[0], accept[1].strip() if accept else ""))
        return None


def _head(answer: Answer) -> Iterator[str]:
    yield f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}"
    yield f"Content-Type: {answer.kind}"
    yield f"Content-Length: {len(answer.content)}"
    yield "X-Content-Type-Options: nosniff"
    if answer.status == 405:
        yield f"Allow: {', '.join(_METHODS)}"
    yield "Connection: close"
    yield from ("", "")
