"""Records for human eyes: the same line, with the time dimmed and the level and event in colour.

Values are escaped before they come here, so the only escape sequences a terminal sees are these.
"""

from __future__ import annotations

import re

_RECORD = re.compile(rb"^(\S+) (\S+) (\S+) (\S+)(.*)$", re.MULTILINE)
_KEY = re.compile(rb'( [^ ="]+=)("(?:[^"\\]|\\.)*"|[^ ]*)')
_DIM, _BOLD, _RESET = b"\x1b[2m", b"\x1b[1m", b"\x1b[0m"
_LEVELS = {b"DEBUG": b"\x1b[36m", b"INFO": b"\x1b[32m", b"WARNING": b"\x1b[33m", b"ERROR": b"\x1b[31m"}


def coloured(records: bytes) -> bytes:
    """Whole records, each with its colours."""
    return _RECORD.sub(_paint, records)


def _paint(record: re.Match[bytes]) -> bytes:
    time, level, process, event, fields = record.groups()
    colour = _LEVELS.get(level, b"")
    words = (_DIM + time + _RESET, colour + level + _RESET, process, _BOLD + event + _RESET)
    return b" ".join(words) + _KEY.sub(_paint_key, fields)


def _paint_key(field: re.Match[bytes]) -> bytes:
    return _DIM + field[1] + _RESET + field[2]
