"""Why something was not accepted, in the few words that are counted: read off the codes of the reply.

The reply is all there is to go by, whoever made it, so that nobody who refuses anything has to count.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from mta.counters import REJECTS, Counter
from mta.protocol.replies import Reply

_ENHANCED: Final[Mapping[bytes, str]] = {
    b"5.1.1": "no_such_user",
    b"5.7.8": "login",  # RFC 4954 6
    b"5.7.9": "login",
    b"5.3.4": "size",
    b"4.3.0": "fault",
    b"4.3.1": "fault",
    b"4.2.2": "fault",
    b"4.5.3": "too_many",
    b"4.7.0": "too_many",
}
_CODES: Final[Mapping[bytes, str]] = {
    **dict.fromkeys((b"500", b"501", b"502", b"504", b"555"), "syntax"),
    b"503": "order",
    **dict.fromkeys((b"530", b"535", b"538", b"454"), "login"),
    b"552": "size",
    **dict.fromkeys((b"451", b"452"), "fault"),
    b"421": "too_many",
}


def reason_of(reply: Reply) -> Counter:
    """The counter of rejects that this reply is one of."""
    return _by_codes(reply.octets[:9])


@lru_cache(maxsize=256)
def _by_codes(head: bytes) -> Counter:
    """`head`: code, blank or hyphen, enhanced code: `550 5.7.1`."""
    code, enhanced = head[:3], head[4:9]
    if head == b"550 5.7.1":
        return REJECTS["relay_denied"]
    return REJECTS[_ENHANCED.get(enhanced) or _CODES.get(code) or "policy"]
