"""Why something was not accepted, in the few words that are counted: read off the codes of the reply.

The reply is all there is to go by, whoever made it, so that nobody who refuses anything has to count.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from mta.counters import REJECTS, Counter
from mta.protocol.replies import Reply

_BOTH: Final[Mapping[tuple[bytes, bytes], str]] = {
    (b"550", b"5.7.1"): "relay_denied",
    (b"554", b"5.5.1"): "syntax",  # not SMTP, or out of step
}
_ENHANCED: Final[Mapping[bytes, str]] = {
    b"5.1.1": "no_such_user",
    b"5.3.4": "size",
    b"4.5.3": "too_many",
}
_CODES: Final[Mapping[bytes, str]] = {
    **dict.fromkeys((b"500", b"501", b"502", b"504", b"555"), "syntax"),
    b"503": "order",
    **dict.fromkeys((b"530", b"535", b"538"), "login"),
    b"552": "size",
    **dict.fromkeys((b"451", b"452", b"454"), "fault"),
    b"421": "too_many",
}


def reason_of(reply: Reply) -> Counter:
    """The counter of rejects that this reply is one of."""
    return _by_codes(reply.octets[:3], reply.octets[4:9])


@lru_cache(maxsize=256)
def _by_codes(code: bytes, enhanced: bytes) -> Counter:
    return REJECTS[_BOTH.get((code, enhanced)) or _ENHANCED.get(enhanced) or _CODES.get(code) or "policy"]
