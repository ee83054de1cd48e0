"""From bytes to JSON, and from any JSON value to a clean one of the type that was hoped for.

A value of a wrong type counts as missing; only ids and times may be text or number alike (CONTRACT.md section 14).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NoReturn

from kapso_sync.formats.item import Json

MAX_NESTING = 512  # of a body: below Python's own limit, which depends on how deep the caller stands
MAX_INTEGER_DIGITS = 1000
MAX_DEPTH = 32  # of what is kept as data
NAME_LENGTH = 255
USER_ID_LENGTH = 256
WAMID_LENGTH = 255
SESSION_ID_LENGTH = 128
NUMBER_ID_LENGTH = 64

# PostgreSQL refuses U+0000 in text and in jsonb; lone surrogates cannot be encoded as UTF-8.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(2009, 1, 1, tzinfo=UTC)  # WhatsApp's first year
MILLISECONDS = 10**12  # a larger number is not one of seconds
NUMERIC = re.compile(r"[0-9]{1,16}(\.[0-9]{1,9})?")

WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,59}")

# A user id where a phone belongs: "PE.1180022933441177553", "user.<hex>"; never a word such as "unknown" or a JID.
OPAQUE_ID = re.compile(r"(?=.*[0-9.])[A-Za-z][A-Za-z0-9._-]{5,255}")
PARENT_ID = re.compile(r"[A-Za-z]{2}\.ENT\..+")


class Unparseable(Exception):  # noqa: N818 - a kind of body, not a fault of ours
    """The body is not JSON that we accept; str() is the reason in plain words."""


def parse(body: bytes) -> object:
    """The body as JSON. Stricter than json.loads: the same bytes must mean one thing to every reader."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unparseable(f"not UTF-8 at byte {error.start}") from None
    if not text.strip():
        raise Unparseable("it is empty")
    if text.startswith("\ufeff"):
        raise Unparseable("it starts with a byte order mark")
    try:
        payload: object = DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Unparseable(f"not JSON: {error.msg} (character {error.pos})") from None
    except RecursionError:
        raise Unparseable("nested too deeply") from None
    if body.count(b"{") + body.count(b"[") > MAX_NESTING and _deeper_than(payload, MAX_NESTING):
        raise Unparseable("nested too deeply")
    return payload


def _distinct(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unparseable("an object has the same key twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise Unparseable(f"an integer of more than {MAX_INTEGER_DIGITS} digits")
    return int(digits)


def _no_constant(name: str) -> NoReturn:
    raise Unparseable(f"{name} is not JSON")


DECODER = json.JSONDecoder(object_pairs_hook=_distinct, parse_int=_integer, parse_constant=_no_constant)


def _deeper_than(payload: object, limit: int) -> bool:
    level = [payload]
    for _ in range(limit):
        level = [child for value in level for child in _children(value)]
        if not level:
            return False
    return True


def _children(value: object) -> Collection[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def table(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def rows(value: object) -> list[Any]:
    """The elements of a list; an object in a list's place is a list of one."""
    if isinstance(value, dict):
        return [value]
    return value if isinstance(value, list) else []


def dig(value: object, *path: str) -> Any:
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def clean_text(value: str) -> str:
    if "\x00" not in value and (value.isascii() or _can_be_encoded(value)):
        return value
    return UNSTORABLE.sub("\ufffd", value)


def _can_be_encoded(value: str) -> bool:
    """Tried, since that takes a tenth of the time of looking for what could not."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def clean(value: object, depth: int = MAX_DEPTH) -> Any:
    """Any JSON value as data that PostgreSQL takes, in text and in jsonb; deeper than `depth` it is None."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, int):
        return value
    if depth <= 0:
        return None
    if isinstance(value, dict):
        return {clean_text(str(key)): clean(child, depth - 1) for key, child in value.items()}
    return [clean(child, depth - 1) for child in value] if isinstance(value, list) else None


def text(value: object) -> str:
    return clean_text(value) if isinstance(value, str) else ""


def word(value: object, length: int) -> str:
    """One of the provider's own words, of an open set: trimmed and cut."""
    found = text(value)
    return found.strip()[:length].rstrip() if found else ""


def vocabulary(value: object) -> str:
    """A word of the provider's vocabulary (an event, a type, a key), for counting: anything else stays unsaid.

    Where such words stand, a phone, an id or a sentence would be a value, and values are not counted by.
    """
    found = text(value).strip()
    return found if WORD.fullmatch(found) and sum(map(str.isdigit, found)) < 4 else "(no usual word)"


def name(value: object) -> str | None:
    return word(value, NAME_LENGTH) or None


def username(value: object) -> str | None:
    return name(text(value).strip().removeprefix("@"))


def number_id(value: object) -> str:
    """A business phone_number_id: a string of digits or an integer, else ""."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**NUMBER_ID_LENGTH:
        return str(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= NUMBER_ID_LENGTH:
        return value
    return ""


def identifier(value: object, length: int) -> str:
    """An opaque id: text or an integer; one longer than `length` becomes its hash, so that it stays distinct."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**WAMID_LENGTH:
        value = str(value)
    found = text(value).strip()
    return found if len(found) <= length else f"sha256:{sha256(found.encode()).hexdigest()}"


def wamid(value: object) -> str:
    return identifier(value, WAMID_LENGTH)


def session_id(value: object) -> str:
    found = text(value).strip()
    return found if len(found) <= SESSION_ID_LENGTH else ""


def phone(value: object, own: Collection[str] = ()) -> str | None:
    """The digits of a phone; None where it is none, or is the business's own. Letters make it no phone at all."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        value = str(value)
    if not isinstance(value, str) or len(value) > 64:
        return None
    digits = value.removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()):  # seldom
        if any(map(str.isalpha, value)):
            return None
        digits = "".join(str(int(digit)) for digit in value if digit.isdecimal())
    digits = digits.removeprefix("00")
    return digits if 7 <= len(digits) <= 15 and digits not in own else None


def user_id(value: object) -> str | None:
    """A business-scoped user id, exactly as received: opaque, without spaces."""
    found = text(value)
    return found if 0 < len(found) <= USER_ID_LENGTH and not any(map(str.isspace, found)) else None


def user_id_for_phone(value: object) -> str | None:
    """A user id that came where a phone belongs, as some senders do for people who hide theirs."""
    found = text(value)
    return found if OPAQUE_ID.fullmatch(found) and not PARENT_ID.fullmatch(found) else None


def parent_id_for_phone(value: object) -> str | None:
    found = text(value)
    return found if OPAQUE_ID.fullmatch(found) and PARENT_ID.fullmatch(found) else None


def moment(value: object, received_at: datetime) -> datetime | None:
    """Unix seconds or milliseconds, or ISO 8601; None where it is absurd or ahead of its delivery by over a day."""
    if isinstance(value, str):
        value = value.strip()
        if NUMERIC.fullmatch(value):
            found = _from_unix(float(value) if "." in value else int(value))
        else:
            found = _from_iso(value)
    else:
        found = _from_unix(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if found is None or not EARLIEST <= found <= received_at + timedelta(days=1):
        return None
    return found


def _from_unix(number: float) -> datetime | None:
    if not 0 < number < MILLISECONDS * 100:
        return None
    if number > MILLISECONDS:
        return EPOCH + timedelta(milliseconds=number)
    return EPOCH + timedelta(seconds=number) if number < MILLISECONDS / 10 else None


def _from_iso(value: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def first_moment(received_at: datetime, *values: object) -> datetime | None:
    return next((found for value in values if (found := moment(value, received_at))), None)
