"""Where a client is in a list: a text that it hands back as it got it, and that says nothing to it.

It is not signed: whoever makes one up reads rows of their own in another order, and nothing else.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

LONGEST = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# What PostgreSQL has for an id.
HIGHEST = 2**63 - 1


class Unreadable(ValueError):  # noqa: N818 - said to clients, not raised by a fault
    """It is none of ours."""


def write(*parts: int | str | None) -> str:
    text = json.dumps(parts, separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(cursor: str) -> list[Any]:
    """What `write` was given: whole numbers, texts and None. Raises `Unreadable`."""
    if not cursor.isascii() or len(cursor) > LONGEST:
        raise Unreadable
    padding = "=" * (-len(cursor) % 4)
    try:
        parts = json.loads(urlsafe_b64decode(cursor + padding))
    except (ValueError, RecursionError, binascii.Error) as error:
        raise Unreadable from error
    if not isinstance(parts, list) or not all(_is_part(part) for part in parts):
        raise Unreadable
    return parts


def _is_part(part: Any) -> bool:
    if isinstance(part, bool) or not isinstance(part, int | str | None):
        return False
    return not isinstance(part, int) or -HIGHEST <= part <= HIGHEST


def number_of(at: datetime | None) -> int | None:
    """A time to the microsecond, as PostgreSQL has it."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def time_of(number: Any) -> datetime | None:
    if number is None:
        return None
    try:
        at: datetime = _EPOCH + number * _MICROSECOND
        return at
    except (OverflowError, TypeError) as error:
        raise Unreadable from error
