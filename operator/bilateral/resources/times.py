"""Times on the wire of the Kubernetes API: RFC 3339, UTC, whole seconds, ending in ``Z``.

Inside, a time is an integer: seconds since 1970-01-01T00:00:00Z. One spelling is accepted, the
one that the API server itself writes, so that equal times are equal texts and a status compares
without parsing. Reads no clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from bilateral.resources.errors import MalformedTime

TIME_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
_TIME = re.compile(TIME_PATTERN.rstrip("$") + r"\Z", re.ASCII)
_LATEST = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


@lru_cache(maxsize=4096)  # the times of one status are mostly one another's, and are read at every look
def parse_time(text: str) -> int:
    """Parse to seconds since the epoch ``2026-11-21T14:31:07Z``.

    Raises MalformedTime for every other spelling (fractions, offsets, a leap second) and for years
    before 1970.
    """
    if _TIME.match(text) is None:
        raise MalformedTime
    try:
        seconds = int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        raise MalformedTime from None
    if seconds < 0:
        raise MalformedTime
    return seconds


def format_time(seconds: int) -> str:
    """Write a time in seconds since the epoch. Raises MalformedTime outside 1970 to 9999."""
    if not 0 <= seconds <= _LATEST:
        raise MalformedTime
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read(value: object) -> int:
    if isinstance(value, str):
        return parse_time(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LATEST:
        return value
    raise MalformedTime


Time = Annotated[
    int,
    BeforeValidator(_read),
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 20, "pattern": TIME_PATTERN}),
]
"""A member that is seconds since the epoch in Python and an RFC 3339 text on the wire."""
